// Package service is the use cases of payment.
//
// Money moves outside of any transaction: what is about to be asked is written first, the provider is
// called with the payment's ID as its key, and what it said is written by the rules of the domain. So a
// process may die anywhere: whoever comes back (the caller, the reconciler, a webhook) asks again with the
// same key and settles the same state. That is why an authorization may be answered before it is written (unwritten).
package service

import (
	"context"
	"errors"

	"souk/apps/payment/internal/domain"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/id"
	"souk/pkg/logging"
	"souk/pkg/money"
)

// Subjects of the events that payment tells.
const (
	SubjectInitiated = "evt.payment.initiated"
	SubjectCompleted = "evt.payment.completed"
	SubjectFailed    = "evt.payment.failed"
	SubjectRefunded  = "evt.payment.refunded"
)

// The windows between two writes, where tests stop the process.
const (
	FailAfterInitiate          = "payment.after_initiate"
	FailAfterProviderAuthorize = "payment.after_provider_authorize"
	FailBeforeProviderCapture  = "payment.before_provider_capture"
	FailAfterProviderCapture   = "payment.after_provider_capture"
	FailAfterVoidRequest       = "payment.after_void_request"
	FailAfterProviderVoid      = "payment.after_provider_void"
	FailAfterRefundRequest     = "payment.after_refund_request"
	FailAfterProviderRefund    = "payment.after_provider_refund"
)

// Failpoints lists them.
var Failpoints = []string{
	FailAfterInitiate, FailAfterProviderAuthorize, FailBeforeProviderCapture, FailAfterProviderCapture,
	FailAfterVoidRequest, FailAfterProviderVoid, FailAfterRefundRequest, FailAfterProviderRefund,
}

// Service is payment's use cases. It may be used by several goroutines.
type Service struct {
	Deps
	unwritten unwritten
}

// New returns a Service.
func New(d Deps) *Service { return &Service{Deps: d} }

// Authorize holds an order's total with the provider. The first call of an order makes its payment; a
// later one with the same request gets the same answer, or asks the provider again when there is none yet.
// A void that comes while the provider answers shows at the capture, not here.
//
// Its errors: payment_declined, card_number_refused, invalid_argument, idempotency_mismatch (another request for the
// order), conflict (the payment was given up), timeout and unavailable (unknown: call again).
func (s *Service) Authorize(ctx context.Context, r domain.Request) (domain.Payment, error) {
	if logging.ContainsCard([]byte(r.Token)) {
		return domain.Payment{}, errs.New(errs.CardNumberRefused, "send a token of the payment provider, never a card number")
	}
	made, err := domain.New(r, s.ProviderName, s.Clock.Now())
	if err != nil {
		return domain.Payment{}, err
	}
	told, err := s.tell(ctx, SubjectInitiated, made)
	if err != nil {
		return domain.Payment{}, err
	}
	p, err := s.Store.Initiate(ctx, made, told)
	if err != nil {
		return domain.Payment{}, err
	}
	switch {
	case p.IsTombstone():
		return p, p.Authorization()
	case p.RequestHash != made.RequestHash:
		return domain.Payment{}, errs.New(errs.IdempotencyMismatch, "the order has a payment with other terms")
	case p.Status != domain.Pending || p.VoidRequested:
		return p, p.Authorization()
	}
	if err := failpoint.Hit(ctx, FailAfterInitiate); err != nil {
		return domain.Payment{}, err
	}
	charge, err := s.ask(ctx, func(ctx context.Context) (domain.Charge, error) {
		return s.Provider.Authorize(ctx, p.ID, r.Token, p.Amount)
	})
	if err != nil {
		return domain.Payment{}, err
	}
	if err := failpoint.Hit(ctx, FailAfterProviderAuthorize); err != nil {
		return domain.Payment{}, err
	}
	if charge.State == domain.ChargeAuthorized {
		s.unwritten.add(authorization{payment: p, charge: charge, at: s.Clock.Now()})
		p.Status = domain.Authorized
	} else if p, err = s.settle(ctx, p, charge); err != nil {
		return domain.Payment{}, err
	}
	return p, p.Authorization()
}

// Capture takes an order's authorized money, once. Whether a pending payment was authorized its provider knows.
//
// Its errors: not_found (no payment), conflict (given up), payment_declined, timeout and unavailable (unknown, or not
// authorized yet: call again).
func (s *Service) Capture(ctx context.Context, orderID string) (domain.Payment, error) {
	p, err := s.Store.ByOrder(ctx, orderID)
	if err != nil {
		return domain.Payment{}, missing(err)
	}
	if err := p.CanCapture(); err != nil || p.Status.HasCapture() {
		return p, err
	}
	charge := domain.Charge{State: domain.ChargeCaptured}
	if p.Provider != "" {
		if err := failpoint.Hit(ctx, FailBeforeProviderCapture); err != nil {
			return domain.Payment{}, err
		}
		charge, err = s.ask(ctx, func(ctx context.Context) (domain.Charge, error) { return s.Provider.Capture(ctx, p.ID) })
		switch {
		case p.Status == domain.Pending && errs.Is(err, errs.NotFound):
			return domain.Payment{}, domain.Unanswered()
		case err != nil:
			return domain.Payment{}, err
		}
	}
	if err := failpoint.Hit(ctx, FailAfterProviderCapture); err != nil {
		return domain.Payment{}, err
	}
	if p, err = s.settle(ctx, p, charge); err != nil {
		return domain.Payment{}, err
	}
	s.unwritten.remove(p.ID)
	return p, p.CanCapture()
}

// Void gives an order's payment up. When the order has none, it leaves a tombstone that refuses a late
// Authorize, and returns a payment for which IsTombstone holds.
//
// Its errors: conflict (captured already: refund it), timeout and unavailable (unknown: call again).
func (s *Service) Void(ctx context.Context, orderID string) (domain.Payment, error) {
	p, err := s.Store.ByOrder(ctx, orderID)
	if errs.Is(err, errs.NotFound) {
		p, err = s.Store.Bury(ctx, domain.Tombstone(orderID, s.Clock.Now()))
	}
	if err != nil {
		return domain.Payment{}, err
	}
	return s.void(ctx, p)
}

func (s *Service) void(ctx context.Context, p domain.Payment) (domain.Payment, error) {
	switch {
	case p.Status == domain.Voided || p.Status == domain.Failed:
		return p, nil
	case p.Status.HasCapture():
		return p, captured()
	}
	charge := domain.Charge{State: domain.ChargeVoided}
	if p.Provider != "" {
		err := s.Store.RequestVoid(ctx, p.ID, s.Clock.Now())
		if err != nil {
			return domain.Payment{}, err
		}
		if err := failpoint.Hit(ctx, FailAfterVoidRequest); err != nil {
			return domain.Payment{}, err
		}
		charge, err = s.ask(ctx, func(ctx context.Context) (domain.Charge, error) { return s.Provider.Void(ctx, p.ID) })
		if err != nil {
			return domain.Payment{}, err
		}
		if err := failpoint.Hit(ctx, FailAfterProviderVoid); err != nil {
			return domain.Payment{}, err
		}
	}
	p, err := s.settle(ctx, p, charge)
	if err != nil {
		return p, err
	}
	s.unwritten.remove(p.ID)
	if p.Status.HasCapture() {
		err = captured()
	}
	return p, err
}

func captured() error {
	return errs.New(errs.Conflict, "the payment was captured: it can be refunded, not voided")
}

// Refund pays captured money back, once for each key: the amount, or all that is left when it is nil.
//
// Its errors: not_found (no payment), conflict, unprocessable and invalid_argument (see domain.Payment.Claim),
// idempotency_mismatch (the key had another amount), timeout and unavailable (unknown: call again).
func (s *Service) Refund(ctx context.Context, orderID, key string, amount *money.Money) (domain.Payment, error) {
	p, r, err := s.Store.BeginRefund(ctx, orderID, domain.Refund{ID: id.New("ref"), Key: key}, amount, s.Clock.Now())
	if err != nil {
		return domain.Payment{}, missing(err)
	}
	return s.finishRefund(ctx, p, r)
}

func (s *Service) finishRefund(ctx context.Context, p domain.Payment, r domain.Refund) (domain.Payment, error) {
	refused := errs.New(errs.Unprocessable, "the payment provider refused the refund")
	switch r.State {
	case domain.RefundDone:
		return p, nil
	case domain.RefundRefused:
		return p, refused
	}
	if err := failpoint.Hit(ctx, FailAfterRefundRequest); err != nil {
		return domain.Payment{}, err
	}
	end := domain.RefundEnd{RefundID: r.ID, State: domain.RefundDone, At: s.Clock.Now()}
	if p.Provider != "" {
		_, err := s.ask(ctx, func(ctx context.Context) (domain.Charge, error) {
			return domain.Charge{}, s.Provider.Refund(ctx, p.ID, r.ID, money.New(r.Amount, p.Amount.Currency()))
		})
		switch {
		case errs.Is(err, errs.Conflict):
			end.State = domain.RefundRefused
		case err != nil:
			return domain.Payment{}, err
		}
	}
	if err := failpoint.Hit(ctx, FailAfterProviderRefund); err != nil {
		return domain.Payment{}, err
	}
	p, err := s.Store.EndRefund(ctx, end, tellRefund(ctx))
	if err == nil && end.State == domain.RefundRefused {
		err = refused
	}
	return p, err
}

func tellRefund(ctx context.Context) Telling {
	return func(p domain.Payment, amount money.Money) (event.Event, error) {
		return event.New(ctx, SubjectRefunded, p.ID, p.Version, p.UpdatedAt, &paymentv1.PaymentRefunded{
			PaymentId: p.ID, OrderId: p.OrderID, Amount: amount.Proto(), TotalRefunded: p.RefundedAmount().Proto(), Status: string(p.Status),
		})
	}
}

// Get returns the customer's payment; not_found when it is not theirs.
func (s *Service) Get(ctx context.Context, paymentID, customerID string) (domain.Payment, error) {
	p, err := s.Store.Owned(ctx, paymentID, customerID)
	if err == nil && p.Status == domain.Pending && !p.VoidRequested && s.unwritten.has(p.ID) {
		p.Status = domain.Authorized
	}
	return p, missing(err)
}

// Adopt makes a guest's payments for the orders a user's.
func (s *Service) Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error {
	return s.Store.Adopt(ctx, guestID, userID, orderIDs)
}

// ask calls the provider behind its breaker, for no longer than one call may take.
func (s *Service) ask(ctx context.Context, call func(context.Context) (domain.Charge, error)) (domain.Charge, error) {
	var charge domain.Charge
	err := s.Breakers.Do(ctx, s.ProviderName, func() error {
		ctx, cancel := context.WithTimeout(ctx, s.ProviderTimeout)
		defer cancel()
		var err error
		charge, err = call(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			err = errs.Wrap(err, errs.Timeout, "the payment provider did not answer in time")
		}
		return err
	})
	return charge, err
}

// settle moves p to where the provider says it is, and returns how it is then. Older news than what is
// known already changes nothing.
func (s *Service) settle(ctx context.Context, p domain.Payment, c domain.Charge) (domain.Payment, error) {
	for p.Status.CanBecome(c.Status()) {
		settlement, told, err := s.settlement(ctx, p, c)
		if err != nil {
			return p, err
		}
		version := p.Version
		if p, err = s.Store.Settle(ctx, settlement, told); err != nil || p.Version == version {
			return p, err
		}
		if p.VoidRequested && c.Status() == domain.Authorized {
			return p, nil // whoever voids it takes it from here
		}
	}
	return p, nil
}

// settlement says how p is moved to where the provider says it is.
func (s *Service) settlement(ctx context.Context, p domain.Payment, c domain.Charge) (out domain.Settlement, told event.Event, err error) {
	out = domain.Settlement{PaymentID: p.ID, Status: c.Status(), ProviderRef: c.Ref, Reason: c.Reason, At: s.Clock.Now()}
	p.FailureReason, p.UpdatedAt = c.Reason, out.At
	switch out.Status {
	case domain.Captured:
		told, err = s.tell(ctx, SubjectCompleted, p)
	case domain.Failed:
		told, err = s.tell(ctx, SubjectFailed, p)
	}
	return out, told, err
}

// tell makes an event. The store gives it the version that the payment then has.
func (s *Service) tell(ctx context.Context, subject string, p domain.Payment) (event.Event, error) {
	switch subject {
	case SubjectInitiated:
		return event.New(ctx, subject, p.ID, p.Version, p.UpdatedAt, &paymentv1.PaymentInitiated{PaymentId: p.ID, OrderId: p.OrderID, Amount: p.Amount.Proto()})
	case SubjectCompleted:
		return event.New(ctx, subject, p.ID, p.Version, p.UpdatedAt, &paymentv1.PaymentCompleted{PaymentId: p.ID, OrderId: p.OrderID, Amount: p.Amount.Proto()})
	default:
		return event.New(ctx, subject, p.ID, p.Version, p.UpdatedAt, &paymentv1.PaymentFailed{PaymentId: p.ID, OrderId: p.OrderID, Reason: p.FailureReason})
	}
}

// missing says what is missing when it is the payment.
func missing(err error) error {
	if errs.Is(err, errs.NotFound) {
		return errs.Wrap(err, errs.NotFound, "there is no such payment")
	}
	return err
}
