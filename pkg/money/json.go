package money

import (
	"bytes"
	"encoding/json"

	"souk/pkg/errs"
)

type jsonMoney struct {
	CurrencyCode string `json:"currencyCode"`
	Amount       string `json:"amount"`
}

// MarshalJSON writes {"currencyCode":"BRL","amount":"53.98"}, as the REST API shows money. The zero
// Money is null.
func (m Money) MarshalJSON() ([]byte, error) {
	if m == (Money{}) {
		return []byte("null"), nil
	}
	return json.Marshal(jsonMoney{CurrencyCode: string(m.currency), Amount: m.Amount()})
}

// UnmarshalJSON reads the form that MarshalJSON writes.
//
// Errors: invalid_argument.
func (m *Money) UnmarshalJSON(b []byte) error {
	if bytes.Equal(bytes.TrimSpace(b), []byte("null")) {
		*m = Money{}
		return nil
	}
	var j jsonMoney
	if err := json.Unmarshal(b, &j); err != nil {
		return errs.Wrap(err, errs.Invalid, "money must be an object with currencyCode and amount")
	}
	parsed, err := Parse(j.Amount, j.CurrencyCode)
	if err != nil {
		return err
	}
	*m = parsed
	return nil
}
