// Package service implements the use cases of order: the checkout, the sagas, and the changes of an order after its
// checkout.
package service

import (
	"context"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/order/internal/domain"
	addressv1 "souk/gen/go/souk/address/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/membership"
	"souk/pkg/money"
	"souk/pkg/saga"
)

// Cipher encrypts and decrypts data of a person for a place; see package personal.
type Cipher interface {
	Encrypt(ctx context.Context, owner, place string, data []byte) ([]byte, error)
	Decrypt(ctx context.Context, place string, sealed []byte) ([]byte, error)
}

// Products is the product service, as far as order needs it.
type Products interface {
	BatchGetVariants(
		ctx context.Context, r *productv1.BatchGetVariantsRequest, opts ...grpc.CallOption,
	) (*productv1.BatchGetVariantsResponse, error)
	ReserveInventory(
		ctx context.Context, r *productv1.ReserveInventoryRequest, opts ...grpc.CallOption,
	) (*productv1.ReserveInventoryResponse, error)
	ReleaseInventory(
		ctx context.Context, r *productv1.ReleaseInventoryRequest, opts ...grpc.CallOption,
	) (*productv1.ReleaseInventoryResponse, error)
	CommitInventory(
		ctx context.Context, r *productv1.CommitInventoryRequest, opts ...grpc.CallOption,
	) (*productv1.CommitInventoryResponse, error)
	RestockInventory(
		ctx context.Context, r *productv1.RestockInventoryRequest, opts ...grpc.CallOption,
	) (*productv1.RestockInventoryResponse, error)
}

// Payments is the payment service, as far as order needs it.
type Payments interface {
	Authorize(
		ctx context.Context, r *paymentv1.AuthorizeRequest, opts ...grpc.CallOption,
	) (*paymentv1.AuthorizeResponse, error)
	Capture(
		ctx context.Context, r *paymentv1.CaptureRequest, opts ...grpc.CallOption,
	) (*paymentv1.CaptureResponse, error)
	Void(ctx context.Context, r *paymentv1.VoidRequest, opts ...grpc.CallOption) (*paymentv1.VoidResponse, error)
	Refund(ctx context.Context, r *paymentv1.RefundRequest, opts ...grpc.CallOption) (*paymentv1.RefundResponse, error)
	AdoptPayments(
		ctx context.Context, r *paymentv1.AdoptPaymentsRequest, opts ...grpc.CallOption,
	) (*paymentv1.AdoptPaymentsResponse, error)
}

// Carts is the cart service, as far as order needs it.
type Carts interface {
	GetLines(ctx context.Context, r *cartv1.GetLinesRequest, opts ...grpc.CallOption) (*cartv1.GetLinesResponse, error)
	RemoveOrdered(
		ctx context.Context, r *cartv1.RemoveOrderedRequest, opts ...grpc.CallOption,
	) (*cartv1.RemoveOrderedResponse, error)
}

// SagaStore stores the changes that sagas make to orders.
//
// Errors: those of postgres.Err.
type SagaStore interface {
	// Refuse cancels the order of a refused checkout, gives back its claims of the cart, and appends newEvent's event.
	// Repeating it has no effect.
	Refuse(
		ctx context.Context, orderID string, claimIDs []string, why domain.Refusal, at time.Time,
		newEvent func(version int64) (event.Event, error),
	) error
	// CheckoutEnded reports whether the checkout's saga has ended.
	//
	// Errors: conflict (the saga is parked).
	CheckoutEnded(ctx context.Context, orderID string) (bool, error)
	// Change locks an order, changes it, and appends the events.
	Change(ctx context.Context, orderID string, change func(*domain.Order) ([]event.Event, error)) (domain.Order, error)
	// ConfirmStep returns the pivot of a checkout, which confirms the order with the values of confirmation.
	ConfirmStep(name string, confirmation func(*saga.Run) (domain.Confirmation, event.Event, error)) saga.Step
	// AcceptStep returns a pivot that writes nothing but the saga's progress.
	AcceptStep(name string) saga.Step
	// LostStep returns a pivot that is refused (conflict) if there is an order with the ID that orderID returns.
	LostStep(name string, orderID func(*saga.Run) (string, error)) saga.Step
}

// Store stores orders.
//
// Errors: those of postgres.Err, not_found (also for another customer's order).
type Store interface {
	// Create writes an order, its claim of the cart, its event and the start of its checkout's saga.
	//
	// Errors: already_exists (the key is taken), checkout_in_progress (another order holds the cart's claim).
	Create(
		ctx context.Context, o domain.Order, cart domain.Cart, created event.Event, input func(domain.Order) any,
	) (domain.Order, error)
	// ClaimHolders returns the orders that hold a claim of a cart.
	ClaimHolders(ctx context.Context, claimIDs []string) ([]domain.ClaimHolder, error)
	// CheckoutEnded reports whether the checkout's saga has ended.
	//
	// Errors: conflict (the saga is parked).
	CheckoutEnded(ctx context.Context, orderID string) (bool, error)
	// ChangeAndStart is Change that also starts the saga that change returns, unless its ID is "".
	ChangeAndStart(
		ctx context.Context, orderID string, change func(*domain.Order) ([]event.Event, domain.Start, error),
	) (domain.Order, error)
	// ByKey returns the checkout of a customer's idempotency key.
	//
	// Errors: not_found.
	ByKey(ctx context.Context, customerID, idemKey string) (domain.Attempt, error)
	// KeepRefusal stores a refusal for the request's key.
	//
	// Errors: already_exists (the key is taken).
	KeepRefusal(ctx context.Context, r domain.Request, why domain.Refusal, at time.Time) error
	// Unshipped reports whether something of a customer's orders is to be shipped, and whether users have adopted
	// orders of the customer, a guest.
	Unshipped(ctx context.Context, customerID string) (unshipped, adopted bool, err error)
	// HasOrder reports whether a customer has a confirmed order that was not cancelled.
	HasOrder(ctx context.Context, customerID string) (bool, error)
	// OrdersOf returns the IDs of at most limit orders of a customer.
	OrdersOf(ctx context.Context, customerID string, limit int) ([]string, error)
	// Standing returns what a customer keeps without having paid for it, and how often the customer cancelled.
	Standing(ctx context.Context, customerID string, mailbox []byte, now time.Time) (domain.Standing, error)
	// FindPurchase returns the shop from which a customer has bought a product. It is "" if the customer has not, or if
	// all of it was cancelled.
	FindPurchase(ctx context.Context, customerID, productID string) (shopID string, err error)
	// Adopt transfers those of the orders that belong to the guest to the user.
	Adopt(ctx context.Context, guestID, userID string, orderIDs []string) error
	ByID(ctx context.Context, orderID string) (domain.Order, error)
	Owned(ctx context.Context, orderID, customerID string) (domain.Order, error)
	// PartOwner returns the order and the shop of a shop order.
	//
	// Errors: not_found.
	PartOwner(ctx context.Context, partID string) (orderID, shopID string, err error)
	History(ctx context.Context, customerID string, after domain.Position, limit int) ([]domain.Order, error)
	ShopHistory(
		ctx context.Context, shopID string, status domain.Status, after domain.Position, limit int,
	) ([]domain.ShopOrder, error)
	// Sales returns what a shop sold on the days from first to last, by day and currency.
	Sales(ctx context.Context, shopID string, first, last time.Time) ([]domain.SalesDay, error)
}

// Users is the user service, as far as order needs it.
type Users interface {
	BatchGetUsers(
		ctx context.Context, r *userv1.BatchGetUsersRequest, opts ...grpc.CallOption,
	) (*userv1.BatchGetUsersResponse, error)
}

// Runner runs sagas; see saga.Runner.
type Runner interface {
	Execute(ctx context.Context, id string) (saga.Outcome, error)
	Wait(ctx context.Context, id string) (saga.Outcome, error)
	Detach(id string)
}

// Addresses is the address service, as far as order needs it.
type Addresses interface {
	GetUserAddress(
		ctx context.Context, r *addressv1.GetUserAddressRequest, opts ...grpc.CallOption,
	) (*addressv1.GetUserAddressResponse, error)
}

// Vouchers is the voucher service, as far as order needs it.
type Vouchers interface {
	EvaluateVouchers(
		ctx context.Context, r *voucherv1.EvaluateVouchersRequest, opts ...grpc.CallOption,
	) (*voucherv1.EvaluateVouchersResponse, error)
	RedeemVouchers(
		ctx context.Context, r *voucherv1.RedeemVouchersRequest, opts ...grpc.CallOption,
	) (*voucherv1.RedeemVouchersResponse, error)
	ReleaseVouchers(
		ctx context.Context, r *voucherv1.ReleaseVouchersRequest, opts ...grpc.CallOption,
	) (*voucherv1.ReleaseVouchersResponse, error)
	AdoptVoucherUses(
		ctx context.Context, r *voucherv1.AdoptVoucherUsesRequest, opts ...grpc.CallOption,
	) (*voucherv1.AdoptVoucherUsesResponse, error)
}

// Deps are the dependencies of a Service. All are required except ShippingRates.
type Deps struct {
	Store    Store
	Runner   Runner
	Products Products
	Carts    Carts
	Payments Payments
	Shops    membership.Shops
	Users    Users
	// Addresses is called for checkouts with an address of the customer's address book.
	Addresses Addresses
	// Vouchers is called for checkouts with codes.
	Vouchers Vouchers
	// Cipher encrypts payment tokens.
	Cipher Cipher
	Clock  clock.Clock
	Logger *zap.Logger
	// Limits returns the bounds, as they are now, of what customers may keep without paying for it.
	Limits func() domain.Limits
	// ShippingRates is the flat rate per shop order, by currency. Shipping in other currencies is free.
	ShippingRates map[money.Currency]money.Money
}

// Service implements order's use cases. It is safe for concurrent use.
type Service struct{ Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{Deps: d} }

// Subjects of the events that order publishes.
const (
	SubjectCreated   = "evt.order.created"
	SubjectConfirmed = "evt.order.confirmed"
	SubjectShipped   = "evt.order.shipped"
	SubjectDelivered = "evt.order.delivered"
	SubjectCancelled = "evt.order.cancelled"
	SubjectErased    = "evt.order.guest_erased"
)
