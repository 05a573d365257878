// Package service implements the use cases of payment.
//
// Money moves outside of any transaction: a request is written before it is sent, the provider is called with
// the payment's ID as its key, and the answer is applied by the rules of the domain. So a process may die
// anywhere: the caller, the reconciler or a webhook asks again with the same key and applies the same state.
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
	"souk/pkg/money"
)

// Subjects of the events that payment publishes.
const (
	SubjectInitiated = "evt.payment.initiated"
	SubjectCompleted = "evt.payment.completed"
	SubjectFailed    = "evt.payment.failed"
	SubjectRefunded  = "evt.payment.refunded"
)

// Failpoints between two writes, at which tests stop the process.
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

// Failpoints lists the failpoints above.
var Failpoints = []string{
	FailAfterInitiate, FailAfterProviderAuthorize, FailBeforeProviderCapture, FailAfterProviderCapture,
	FailAfterVoidRequest, FailAfterProviderVoid, FailAfterRefundRequest, FailAfterProviderRefund,
}

// Service implements payment's use cases. It is safe for concurrent use.
type Service struct {
	Deps
}

// New returns a Service.
func New(d Deps) *Service { return &Service{Deps: d} }

// Authorize holds an order's total with the provider. The first call of an order creates its payment. A later
// call with the same request returns the same answer, or asks the provider again if there is no answer yet. A
// void that comes while the provider answers shows at the capture, not here.
//
// Errors: payment_declined, invalid_argument, idempotency_mismatch (another request for
// the order), conflict (the payment was voided), timeout, unavailable (outcome unknown: call again).
func (s *Service) Authorize(ctx context.Context, r domain.Request) (domain.Payment, error) {
	made, err := domain.New(r, s.ProviderName, s.Clock.Now())
	if err != nil {
		return domain.Payment{}, err
	}
	ev, err := newEvent(ctx, SubjectInitiated, made)
	if err != nil {
		return domain.Payment{}, err
	}
	p, err := s.Store.Initiate(ctx, made, ev)
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
	if p, err = s.apply(ctx, p, charge); err != nil {
		return domain.Payment{}, err
	}
	return p, p.Authorization()
}

// Capture takes an order's authorized money, once. For a pending payment the provider decides whether it was
// authorized.
//
// Errors: not_found (no payment), conflict (voided), payment_declined, timeout, unavailable (outcome
// unknown, or not authorized yet: call again).
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
		charge, err = s.ask(ctx,
			func(ctx context.Context) (domain.Charge, error) { return s.Provider.Capture(ctx, p.ID) })
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
	if p, err = s.apply(ctx, p, charge); err != nil {
		return domain.Payment{}, err
	}
	return p, p.CanCapture()
}

// Void gives up an order's payment. If the order has none, Void leaves a tombstone that refuses a late
// Authorize, and returns a payment for which IsTombstone holds.
//
// Errors: conflict (captured already: refund it), timeout, unavailable (outcome unknown: call again).
func (s *Service) Void(ctx context.Context, orderID string) (domain.Payment, error) {
	p, err := s.Store.ByOrder(ctx, orderID)
	if errs.Is(err, errs.NotFound) {
		p, err = s.Store.CreateTombstone(ctx, domain.Tombstone(orderID, s.Clock.Now()))
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
	p, err := s.apply(ctx, p, charge)
	if err != nil {
		return p, err
	}
	if p.Status.HasCapture() {
		err = captured()
	}
	return p, err
}

func captured() error {
	return errs.New(errs.Conflict, "the payment was captured: it can be refunded, not voided")
}

// Refund pays captured money back, once per key: the amount, or all that is left if the amount is nil. Cash that was
// not collected yet is waived instead: it will not be collected, and a payment without any of it left is voided.
//
// Errors: not_found (no payment), conflict, unprocessable, invalid_argument (see domain.Payment.Claim),
// idempotency_mismatch (the key had another amount), timeout, unavailable (outcome unknown: call again).
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
	case domain.RefundDone, domain.RefundWaived:
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
	p, err := s.Store.EndRefund(ctx, end, newRefundEvent(ctx))
	if err == nil && end.State == domain.RefundRefused {
		err = refused
	}
	return p, err
}

func newRefundEvent(ctx context.Context) RefundEvent {
	return func(p domain.Payment, amount money.Money) (event.Event, error) {
		return event.New(ctx, SubjectRefunded, p.ID, p.Version, p.UpdatedAt, &paymentv1.PaymentRefunded{
			PaymentId:     p.ID,
			OrderId:       p.OrderID,
			Amount:        amount.ToProto(),
			TotalRefunded: p.RefundedAmount().ToProto(),
			Status:        string(p.Status),
		})
	}
}

// Get returns the customer's payment.
//
// Errors: not_found (also if it is another customer's).
func (s *Service) Get(ctx context.Context, paymentID, customerID string) (domain.Payment, error) {
	p, err := s.Store.Owned(ctx, paymentID, customerID)
	return p, missing(err)
}

// Any returns a payment of any customer.
//
// Errors: not_found.
func (s *Service) Any(ctx context.Context, paymentID string) (domain.Payment, error) {
	p, err := s.Store.ByID(ctx, paymentID)
	return p, missing(err)
}

// Adopt gives a guest's payments for the orders to a user.
func (s *Service) Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error {
	return s.Store.Adopt(ctx, guestID, userID, orderIDs)
}

// ask calls the provider through its circuit breaker, for ProviderTimeout at most.
func (s *Service) ask(ctx context.Context, call func(context.Context) (domain.Charge, error)) (domain.Charge, error) {
	var charge domain.Charge
	err := s.Breakers.Call(ctx, s.ProviderName, func() error {
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

// apply moves p to the state that the provider reports, and returns p as it is then. A report older than the
// known state changes nothing.
func (s *Service) apply(ctx context.Context, p domain.Payment, c domain.Charge) (domain.Payment, error) {
	for p.Status.CanBecome(c.Status()) {
		transition, ev, err := s.transition(ctx, p, c)
		if err != nil {
			return p, err
		}
		version := p.Version
		if p, err = s.Store.Apply(ctx, transition, ev); err != nil || p.Version == version {
			return p, err
		}
		if p.VoidRequested && c.Status() == domain.Authorized {
			return p, nil // the void in flight continues from here
		}
	}
	return p, nil
}

// transition returns the transition that moves p to the state of its charge c, and its event.
func (s *Service) transition(
	ctx context.Context, p domain.Payment, c domain.Charge,
) (out domain.Transition, ev event.Event, err error) {
	out = domain.Transition{
		PaymentID:   p.ID,
		Status:      c.Status(),
		ProviderRef: c.Ref,
		Reason:      c.Reason,
		At:          s.Clock.Now(),
	}
	p.FailureReason, p.UpdatedAt = c.Reason, out.At
	switch out.Status {
	case domain.Captured:
		ev, err = newEvent(ctx, SubjectCompleted, p)
	case domain.Failed:
		ev, err = newEvent(ctx, SubjectFailed, p)
	}
	return out, ev, err
}

// newEvent makes an event. The store sets its version to the payment's version after the change.
func newEvent(ctx context.Context, subject string, p domain.Payment) (event.Event, error) {
	switch subject {
	case SubjectInitiated:
		return event.New(ctx, subject, p.ID, p.Version, p.UpdatedAt,
			&paymentv1.PaymentInitiated{PaymentId: p.ID, OrderId: p.OrderID, Amount: p.Amount.ToProto()})
	case SubjectCompleted:
		return event.New(ctx, subject, p.ID, p.Version, p.UpdatedAt,
			&paymentv1.PaymentCompleted{PaymentId: p.ID, OrderId: p.OrderID, Amount: p.Amount.ToProto()})
	default:
		return event.New(ctx, subject, p.ID, p.Version, p.UpdatedAt,
			&paymentv1.PaymentFailed{PaymentId: p.ID, OrderId: p.OrderID, Reason: p.FailureReason})
	}
}

// missing names the payment in a not_found error.
func missing(err error) error {
	if errs.Is(err, errs.NotFound) {
		return errs.Wrap(err, errs.NotFound, "there is no such payment")
	}
	return err
}
