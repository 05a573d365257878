package money

import moneyv1 "souk/gen/go/souk/money/v1"

// FromProto converts money from its wire form. Nil is the zero Money; the contract defines whether a
// field is required.
//
// Errors: invalid_argument (the amount or the currency is invalid).
func FromProto(p *moneyv1.Money) (Money, error) {
	if p == nil {
		return Money{}, nil
	}
	return Parse(p.GetAmount(), p.GetCurrencyCode())
}

// ToProto returns the wire form of m, which is nil for the zero Money.
func (m Money) ToProto() *moneyv1.Money {
	if m == (Money{}) {
		return nil
	}
	return &moneyv1.Money{CurrencyCode: string(m.currency), Amount: m.Amount()}
}
