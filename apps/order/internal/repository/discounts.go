package repository

import (
	"encoding/json"

	"souk/apps/order/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/money"
)

// storedDiscount is a domain.Discount in the database. Amounts are minor units of the order's currency.
type storedDiscount struct {
	VoucherID      string `json:"voucher_id"`
	Code           string `json:"code"`
	Title          string `json:"title"`
	Reason         string `json:"reason"`
	Amount         int64  `json:"amount"`
	OperatorAmount int64  `json:"operator_amount"`
}

// noDiscounts is what most lines have.
const noDiscounts = "[]"

func encodeDiscounts(all []domain.Discount) (string, error) {
	if len(all) == 0 {
		return noDiscounts, nil
	}
	stored := make([]storedDiscount, len(all))
	for i, d := range all {
		stored[i] = storedDiscount{
			VoucherID: d.VoucherID, Code: d.Code, Title: d.Title, Reason: d.Reason,
			Amount: d.Amount.Minor(), OperatorAmount: d.OperatorAmount.Minor(),
		}
	}
	b, err := json.Marshal(stored)
	if err != nil {
		return "", errs.Wrap(err, errs.Internal, "the discounts cannot be kept")
	}
	return string(b), nil
}

func decodeDiscounts(b []byte, c money.Currency) ([]domain.Discount, error) {
	if string(b) == noDiscounts {
		return nil, nil
	}
	var stored []storedDiscount
	if err := json.Unmarshal(b, &stored); err != nil {
		return nil, err
	}
	out := make([]domain.Discount, len(stored))
	for i, d := range stored {
		out[i] = domain.Discount{
			VoucherID: d.VoucherID, Code: d.Code, Title: d.Title, Reason: d.Reason,
			Amount: money.New(d.Amount, c), OperatorAmount: money.New(d.OperatorAmount, c),
		}
	}
	return out, nil
}
