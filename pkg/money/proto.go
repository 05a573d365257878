package money

import moneyv1 "souk/gen/go/souk/money/v1"

// FromProto takes money off the wire. Nil is the zero Money: whether a field must be there is said
// in the contract. A wrong amount or currency is errs.Invalid.
func FromProto(p *moneyv1.Money) (Money, error) {
	if p == nil {
		return Money{}, nil
	}
	return Parse(p.GetAmount(), p.GetCurrencyCode())
}

// Proto puts money on the wire; nil for the zero Money.
func (m Money) Proto() *moneyv1.Money {
	if m == (Money{}) {
		return nil
	}
	return &moneyv1.Money{CurrencyCode: string(m.currency), Amount: m.Amount()}
}
