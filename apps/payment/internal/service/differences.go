package service

import (
	"context"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/page"
)

// Comparison is the outcome of comparing a page of the provider's charges with the payments.
type Comparison struct {
	// Compared is the number of charges, and Applied that of payments that took the state of their charge.
	Compared, Applied int
	Differences       []Difference
	Next              string
}

// Difference is a charge that its payment does not match. Payment is zero if souk has no payment for it.
type Difference struct {
	Charge    domain.BookedCharge
	Payment   domain.Payment
	GivenBack bool
}

// Compare compares a page of the charges that the provider made since a time with the payments. A payment takes the
// state of its charge if the state may follow. What still differs is returned; so is a charge without a payment for
// which the provider has money. With giveBack such charges are voided or paid back.
//
// A payment is written before its provider is asked, and the charges are read before the payments. So a charge without
// a payment belongs to a payment that was lost, and not to one that is being made.
//
// Errors: invalid_argument (page token), timeout and unavailable (call again), unprocessable (the provider refuses
// to pay a charge back).
func (s *Service) Compare(ctx context.Context, since time.Time, r page.Request, giveBack bool) (Comparison, error) {
	charges, next, err := page.List(ctx, r, domain.ChargePosition{CreatedAt: since}, s.charges,
		func(c domain.BookedCharge) domain.ChargePosition {
			return domain.ChargePosition{CreatedAt: c.CreatedAt, PaymentID: c.PaymentID}
		})
	if err != nil {
		return Comparison{}, err
	}
	ids := make([]string, len(charges))
	for i, c := range charges {
		ids[i] = c.PaymentID
	}
	payments, err := s.Store.ByIDs(ctx, ids)
	if err != nil {
		return Comparison{}, err
	}
	out := Comparison{Compared: len(charges), Next: next}
	for _, c := range charges {
		p, known := payments[c.PaymentID]
		switch {
		case !known && !c.AtRisk():
			continue
		case !known:
			d := Difference{Charge: c}
			if giveBack {
				if err := s.giveBack(ctx, c); err != nil {
					return out, err
				}
				d.GivenBack = true
			}
			out.Differences = append(out.Differences, d)
			continue
		}
		after, err := s.apply(ctx, p, c.Charge)
		if err != nil {
			return out, err
		}
		if after.Version != p.Version {
			out.Applied++
		}
		if !c.Matches(after) {
			out.Differences = append(out.Differences, Difference{Charge: c, Payment: after})
		}
	}
	return out, nil
}

func (s *Service) charges(ctx context.Context, after domain.ChargePosition, limit int) ([]domain.BookedCharge, error) {
	var list []domain.BookedCharge
	_, err := s.ask(ctx, func(ctx context.Context) (domain.Charge, error) {
		var err error
		list, err = s.Provider.Charges(ctx, after, limit)
		return domain.Charge{}, err
	})
	return list, err
}

// giveBack voids a charge without a payment, or pays it back if it was captured. The keys are made of the payment's ID:
// a second call pays nothing twice.
func (s *Service) giveBack(ctx context.Context, c domain.BookedCharge) error {
	_, err := s.ask(ctx, func(ctx context.Context) (domain.Charge, error) {
		if c.State == domain.ChargeAuthorized {
			return s.Provider.Void(ctx, c.PaymentID)
		}
		left := money.New(c.Captured.Minor()-c.Refunded.Minor(), c.Captured.Currency())
		return domain.Charge{}, s.Provider.Refund(ctx, c.PaymentID, "lost_"+c.PaymentID, left)
	})
	if errs.Is(err, errs.Conflict) {
		return errs.Wrap(err, errs.Unprocessable, "the payment provider refuses to pay %s back", c.PaymentID)
	}
	if err == nil {
		s.Logger.Info("charge without a payment given back", zap.String("payment_id", c.PaymentID))
	}
	return err
}
