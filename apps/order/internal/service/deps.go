// Package service is the use cases of order: the checkout and the sagas behind it, and what happens to an order afterwards.
package service

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/order/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/money"
	"souk/pkg/saga"
)

// Products is what order needs of the product service.
type Products interface {
	BatchGetVariants(ctx context.Context, r *productv1.BatchGetVariantsRequest, opts ...grpc.CallOption) (*productv1.BatchGetVariantsResponse, error)
	ReserveInventory(ctx context.Context, r *productv1.ReserveInventoryRequest, opts ...grpc.CallOption) (*productv1.ReserveInventoryResponse, error)
	ReleaseInventory(ctx context.Context, r *productv1.ReleaseInventoryRequest, opts ...grpc.CallOption) (*productv1.ReleaseInventoryResponse, error)
	CommitInventory(ctx context.Context, r *productv1.CommitInventoryRequest, opts ...grpc.CallOption) (*productv1.CommitInventoryResponse, error)
	RestockInventory(ctx context.Context, r *productv1.RestockInventoryRequest, opts ...grpc.CallOption) (*productv1.RestockInventoryResponse, error)
}

// Payments is what order needs of the payment service.
type Payments interface {
	Authorize(ctx context.Context, r *paymentv1.AuthorizeRequest, opts ...grpc.CallOption) (*paymentv1.AuthorizeResponse, error)
	Capture(ctx context.Context, r *paymentv1.CaptureRequest, opts ...grpc.CallOption) (*paymentv1.CaptureResponse, error)
	Void(ctx context.Context, r *paymentv1.VoidRequest, opts ...grpc.CallOption) (*paymentv1.VoidResponse, error)
	Refund(ctx context.Context, r *paymentv1.RefundRequest, opts ...grpc.CallOption) (*paymentv1.RefundResponse, error)
	AdoptPayments(ctx context.Context, r *paymentv1.AdoptPaymentsRequest, opts ...grpc.CallOption) (*paymentv1.AdoptPaymentsResponse, error)
}

// Carts is what order needs of the cart service.
type Carts interface {
	GetLines(ctx context.Context, r *cartv1.GetLinesRequest, opts ...grpc.CallOption) (*cartv1.GetLinesResponse, error)
	RemoveOrdered(ctx context.Context, r *cartv1.RemoveOrderedRequest, opts ...grpc.CallOption) (*cartv1.RemoveOrderedResponse, error)
}

// Shops is what order needs of the shop service.
type Shops interface {
	CheckMembership(ctx context.Context, r *shopv1.CheckMembershipRequest, opts ...grpc.CallOption) (*shopv1.CheckMembershipResponse, error)
}

// SagaStore is what sagas do to orders in their own database. Its errors are those of postgres.Err.
type SagaStore interface {
	// Refuse ends a checkout that was refused, once.
	Refuse(ctx context.Context, orderID string, why domain.Refusal, at time.Time, tell func(version int64) (event.Event, error)) error
	// CheckoutEnded reports whether nothing of the checkout is left to do; conflict when it is parked.
	CheckoutEnded(ctx context.Context, orderID string) (bool, error)
	Change(ctx context.Context, orderID string, change func(*domain.Order) ([]event.Event, error)) (domain.Order, error)
	ConfirmStep(name string, decide func(*saga.Run) (domain.Confirmation, event.Event, error)) saga.Step
	AcceptStep(name string) saga.Step
	CancelStep(name string, decide func(*saga.Run) (domain.Cancellation, event.Event, error)) saga.Step
}

// Store keeps orders. Its errors are those of postgres.Err; what is not there, or not theirs, is not_found.
type Store interface {
	// Begin begins a checkout, which is under way until end is called; among many it waits a moment for others.
	Begin(ctx context.Context) (begun context.Context, end func(), err error)
	// Create writes an order, its event and the start of its checkout; already_exists when the key has an order.
	Create(ctx context.Context, o domain.Order, told event.Event, input func(domain.Order) any) (domain.Order, error)
	// ChangeAndStart changes an order that nobody else changes meanwhile, and starts a saga with it (no ID: none).
	ChangeAndStart(ctx context.Context, orderID string, change func(*domain.Order) ([]event.Event, domain.Start, error)) (domain.Order, error)
	ByKey(ctx context.Context, customerID, idemKey string) (domain.Attempt, error)
	// KeepRefusal keeps the refusal of a request for its key; already_exists when there is something for that.
	KeepRefusal(ctx context.Context, r domain.Request, why domain.Refusal, at time.Time) error
	// OrdersOf returns the IDs of at most so many of a customer's orders; Adopt makes such orders of a guest a user's.
	OrdersOf(ctx context.Context, customerID string, limit int) ([]string, error)
	Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error
	ByID(ctx context.Context, orderID string) (domain.Order, error)
	Owned(ctx context.Context, orderID, customerID string) (domain.Order, error)
	PartOwner(ctx context.Context, partID string) (orderID, shopID string, err error)
	History(ctx context.Context, customerID string, after domain.Position, limit int) ([]domain.Order, error)
	ShopHistory(ctx context.Context, shopID string, status domain.Status, after domain.Position, limit int) ([]domain.ShopOrder, error)
}

// Runner runs sagas: see saga.Runner.
type Runner interface {
	Execute(ctx context.Context, id string) (saga.Outcome, error)
	Wait(ctx context.Context, id string) (saga.Outcome, error)
	Detach(id string)
}

// Deps are what a Service needs. All are required but ShippingRates.
type Deps struct {
	Store    Store
	Runner   Runner
	Products Products
	Carts    Carts
	Payments Payments
	Shops    Shops
	Clock    clock.Clock
	Logger   *zap.Logger
	// ShippingRates is the flat rate a shop, by currency; a currency without one ships free.
	ShippingRates map[money.Currency]money.Money
}

// Service is order's use cases. It may be used by several goroutines.
type Service struct{ Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{Deps: d} }

// Subjects of the events that order tells.
const (
	SubjectCreated   = "evt.order.created"
	SubjectConfirmed = "evt.order.confirmed"
	SubjectShipped   = "evt.order.shipped"
	SubjectDelivered = "evt.order.delivered"
	SubjectCancelled = "evt.order.cancelled"
)
