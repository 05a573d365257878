package money

import (
	moneyv1 "souk/gen/go/souk/money/v1"
	"souk/pkg/errs"
)

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

// FromField converts the money of a request's field. Its error names the field. A missing field is the zero Money.
//
// Errors: invalid_argument (the amount or the currency is invalid).
func FromField(path string, p *moneyv1.Money) (Money, error) {
	m, err := FromProto(p)
	if err == nil {
		return m, nil
	}
	field := ".amount"
	if _, unknown := ParseCurrency(p.GetCurrencyCode()); unknown != nil {
		field = ".currencyCode"
	}
	return m, errs.InvalidField(path+field, "%s", errs.From(err).Message)
}

// ToProto returns the wire form of m, which is nil for the zero Money.
func (m Money) ToProto() *moneyv1.Money {
	if m == (Money{}) {
		return nil
	}
	return &moneyv1.Money{CurrencyCode: string(m.currency), Amount: m.Amount()}
}
