package service

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"souk/apps/order/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/money"
	"souk/pkg/saga"
)

// Sagas defines the order service's sagas. Their steps call the participants with the order's ID as the key.
type Sagas struct {
	Store    SagaStore
	Products Products
	Payments Payments
	Carts    Carts
	Vouchers Vouchers
	Cipher   Cipher
	Clock    clock.Clock
	Logger   *zap.Logger
	// Deadline is how long a checkout or a cancellation may take to reach its pivot.
	Deadline time.Duration
	// ReserveFor is how long stock stays reserved for a checkout.
	ReserveFor time.Duration
	// AuthorizeTimeout bounds one attempt to authorize the payment.
	AuthorizeTimeout time.Duration
}

// Definitions returns the definitions for the runner.
func (s *Sagas) Definitions() []saga.Definition {
	return slices.Concat(s.cancel(), s.checkout(), []saga.Definition{s.collect(), s.undoLost()})
}

// Names of the results that steps store for later steps.
const (
	resultPayment   = "payment"
	resultConfirmed = "confirmed_at"
	resultRefusal   = "refusal"
	resultCollect   = "collect"
	resultCleared   = "cart_cleared"
)

// checkoutInput is the input of a checkout's saga, with which any process can continue it. Amounts are minor units.
type checkoutInput struct {
	CustomerID string         `json:"customer_id"`
	Number     string         `json:"number"`
	Currency   money.Currency `json:"currency"`
	Total      int64          `json:"total"`
	Method     string         `json:"method"`
	// Sealed is the payment's token, encrypted. Token is that of a saga that a former version has started.
	Sealed []byte `json:"sealed,omitempty"`
	Token  string `json:"token,omitempty"`
	// CartVersion is the version of the cart, and ClaimIDs are the owners under whose IDs it is claimed.
	CartVersion int64          `json:"cart_version"`
	ClaimIDs    []string       `json:"claim_ids"`
	Parts       []checkoutPart `json:"parts"`
	Lines       []checkoutLine `json:"lines"`
	// Vouchers are those that the checkout redeems. Mailbox is a digest of a guest's mailbox; it is set if there are
	// any.
	Vouchers []checkoutVoucher `json:"vouchers,omitempty"`
	Mailbox  []byte            `json:"mailbox,omitempty"`
}

type checkoutVoucher struct {
	ID             string `json:"id"`
	CodeIndex      int    `json:"code_index"`
	Amount         int64  `json:"amount"`
	OperatorAmount int64  `json:"operator_amount"`
}

type checkoutPart struct {
	ID     string `json:"id"`
	ShopID string `json:"shop_id"`
	Total  int64  `json:"total"`
}

type checkoutLine struct {
	VariantID string `json:"variant_id"`
	Quantity  int64  `json:"quantity"`
}

// checkout defines the saga of a checkout, in the current version and in that of the previous release, which redeems no
// vouchers. The order is pending from the start: its rows are written together with the saga's. The steps reserve
// stock, redeem the vouchers, authorize the payment, confirm the order (pivot), take the ordered items out of the cart,
// capture the payment, and commit the stock.
func (s *Sagas) checkout() []saga.Definition {
	begin := []saga.Step{
		{Name: "create", Do: func(context.Context, *saga.Run) error { return nil }, Undo: s.refuse},
		{Name: "reserve", Do: s.reserve, Undo: s.release},
	}
	redeem := saga.Step{Name: "redeem", Do: s.redeem, Undo: s.releaseVouchers}
	end := []saga.Step{
		{Name: "authorize", Do: s.authorize, Undo: s.void, Timeout: s.AuthorizeTimeout},
		s.Store.ConfirmStep("confirm", s.confirmation),
		// Prompt: the customer's next checkout is refused until the ordered items have left the cart.
		{Name: "clear_cart", Do: s.clearCart, Prompt: true},
		{Name: "capture", Do: s.capture},
		{Name: "commit", Do: s.commit},
		{Name: "clear_cart_later", Do: s.clearCartLater},
	}
	define := func(version int, steps ...[]saga.Step) saga.Definition {
		return saga.Definition{
			Type: domain.CheckoutSaga, Version: version, Deadline: s.Deadline, Steps: slices.Concat(steps...),
		}
	}
	return []saga.Definition{define(1, begin, end), define(2, begin, []saga.Step{redeem}, end)}
}

// keepRefusal stores the error of a refused step as a result, which refuse reads, and returns the error. It stores
// nothing if the outcome is unknown.
func keepRefusal(r *saga.Run, err error) error {
	if err == nil || errs.OutcomeUnknown(err) {
		return err
	}
	e := errs.From(err)
	why := domain.Refusal{Code: e.Code, Message: e.Message, Fields: e.Fields}
	if setErr := r.Set(resultRefusal, why); setErr != nil {
		return setErr
	}
	return err
}

// refuse cancels the pending order of a refused checkout.
func (s *Sagas) refuse(ctx context.Context, r *saga.Run) error {
	var in checkoutInput
	if err := r.Input(&in); err != nil {
		return err
	}
	why := domain.Refusal{Code: errs.Unavailable, Message: "the checkout could not be finished in time"}
	why.Fault = r.Get(resultRefusal, &why) != nil // no step was refused: the saga ran out of time
	at := s.Clock.Now()
	return s.Store.Refuse(ctx, r.ID(), in.ClaimIDs, why, at, func(version int64) (event.Event, error) {
		return event.New(ctx, SubjectCancelled, r.ID(), version, at, &orderv1.OrderCancelled{
			OrderId: r.ID(), Number: in.Number, CustomerId: in.CustomerID, Reason: string(why.Code),
		})
	})
}

func (s *Sagas) reserve(ctx context.Context, r *saga.Run) error {
	var in checkoutInput
	if err := r.Input(&in); err != nil {
		return err
	}
	seconds := int32(s.ReserveFor / time.Second) //nolint:gosec // checked by Config
	req := &productv1.ReserveInventoryRequest{OrderId: r.ID(), TtlSeconds: seconds}
	for _, l := range in.Lines {
		req.Lines = append(req.Lines, &productv1.Line{VariantId: l.VariantID, Quantity: l.Quantity})
	}
	_, err := s.Products.ReserveInventory(ctx, req)
	return keepRefusal(r, reservationRefused(err))
}

func (s *Sagas) release(ctx context.Context, r *saga.Run) error {
	_, err := s.Products.ReleaseInventory(ctx, &productv1.ReleaseInventoryRequest{OrderId: r.ID()})
	return err
}

func (s *Sagas) authorize(ctx context.Context, r *saga.Run) error {
	var in checkoutInput
	if err := r.Input(&in); err != nil {
		return err
	}
	if in.Total == 0 { // vouchers pay for all of it
		return r.Set(resultPayment, domain.Payment{Status: domain.PaymentCaptured, Method: in.Method})
	}
	token, err := s.Cipher.Decrypt(ctx, tokenPlace(r.ID()), in.Sealed)
	if err != nil {
		return err
	}
	res, err := s.Payments.Authorize(ctx, &paymentv1.AuthorizeRequest{
		OrderId:    r.ID(),
		CustomerId: in.CustomerID,
		Amount:     money.New(in.Total, in.Currency).ToProto(),
		Method:     in.Method,
		Token:      cmp.Or(string(token), in.Token),
	})
	if err != nil {
		return keepRefusal(r, err)
	}
	p := res.GetPayment()
	return r.Set(resultPayment, domain.Payment{ID: p.GetId(), Status: p.GetStatus(), Method: in.Method})
}

func tokenPlace(orderID string) string { return "token/" + orderID }

func (s *Sagas) void(ctx context.Context, r *saga.Run) error {
	var in checkoutInput
	if err := r.Input(&in); err != nil || in.Total == 0 {
		return err
	}
	_, err := s.Payments.Void(ctx, &paymentv1.VoidRequest{OrderId: r.ID()})
	return err
}

// confirmation returns the values and the event that confirm an order. It runs again when the write is retried, so
// it reads the clock each time.
func (s *Sagas) confirmation(r *saga.Run) (domain.Confirmation, event.Event, error) {
	var in checkoutInput
	c := domain.Confirmation{At: s.Clock.Now()}
	if err := r.Input(&in); err != nil {
		return c, event.Event{}, err
	}
	if err := r.Get(resultPayment, &c.Payment); err != nil {
		return c, event.Event{}, err
	}
	if err := r.Set(resultConfirmed, c.At); err != nil {
		return c, event.Event{}, err
	}
	msg := &orderv1.OrderConfirmed{
		OrderId:       r.ID(),
		Number:        in.Number,
		CustomerId:    in.CustomerID,
		Total:         money.New(in.Total, in.Currency).ToProto(),
		PaymentMethod: in.Method,
	}
	for _, p := range in.Parts {
		msg.Shops = append(msg.Shops,
			&orderv1.ShopPart{ShopOrderId: p.ID, ShopId: p.ShopID, Total: money.New(p.Total, in.Currency).ToProto()})
	}
	ev, err := event.New(r.Context(), SubjectConfirmed, r.ID(), 2, c.At, msg)
	return c, ev, err
}

func (s *Sagas) capture(ctx context.Context, r *saga.Run) error {
	var p domain.Payment
	if err := r.Get(resultPayment, &p); err != nil {
		return err
	}
	if p.Status == domain.PaymentCaptured {
		return nil // vouchers pay for all of it
	}
	if p.Method == domain.CashOnDelivery {
		return nil // captured when the last shop order is delivered
	}
	_, err := s.Payments.Capture(ctx, &paymentv1.CaptureRequest{OrderId: r.ID()})
	return err
}

func (s *Sagas) commit(ctx context.Context, r *saga.Run) error {
	_, err := s.Products.CommitInventory(ctx, &productv1.CommitInventoryRequest{OrderId: r.ID()})
	return err
}

// clearCart tries once to take the ordered items out of the cart. It never fails, because an unavailable cart
// service must delay neither money nor stock.
func (s *Sagas) clearCart(ctx context.Context, r *saga.Run) error {
	if err := s.removeOrdered(ctx, r); err != nil {
		s.Logger.Warn("cart not cleared at once", zap.String("order", r.ID()), zap.Error(err))
		return nil // clearCartLater retries
	}
	return r.Set(resultCleared, true)
}

// clearCartLater takes the ordered items out of the cart if clearCart failed. It is safe after a call with an
// unknown outcome, because the cart service removes each order's items only once.
func (s *Sagas) clearCartLater(ctx context.Context, r *saga.Run) error {
	var cleared bool
	if r.Get(resultCleared, &cleared) == nil && cleared {
		return nil
	}
	err := s.removeOrdered(ctx, r)
	if err != nil && !errs.OutcomeUnknown(err) { // an operator could not do anything about it
		s.Logger.Error("cart refused to be cleared", zap.String("order", r.ID()), zap.Error(err))
		return nil
	}
	return err
}

func (s *Sagas) removeOrdered(ctx context.Context, r *saga.Run) error {
	var in checkoutInput
	if err := r.Input(&in); err != nil {
		return err
	}
	req := &cartv1.RemoveOrderedRequest{OwnerId: in.CustomerID, OrderId: r.ID(), CartVersion: in.CartVersion}
	for _, l := range in.Lines {
		req.Lines = append(req.Lines, &cartv1.Line{VariantId: l.VariantID, Quantity: l.Quantity})
	}
	_, err := s.Carts.RemoveOrdered(ctx, req)
	return err
}
