package tests

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"souk/apps/notification"
	cartv1 "souk/gen/go/souk/cart/v1"
	commentv1 "souk/gen/go/souk/comment/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/devstack/mailsink"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/money"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// others fakes the order service, the user service and the shop service.
type others struct {
	orderv1.UnimplementedOrderServiceServer
	userv1.UnimplementedUserServiceServer
	shopv1.UnimplementedShopServiceServer
	cartv1.UnimplementedCartServiceServer
	commentv1.UnimplementedCommentServiceServer
	voucherv1.UnimplementedVoucherServiceServer

	mu          sync.Mutex
	orders      map[string]*orderv1.GetOrderForNoticeResponse
	users       map[string]*userv1.User
	shops       map[string]*shopv1.GetShopForNoticeResponse
	invitations map[string]*shopv1.Invitation
	carts       map[int64]*cartv1.Cart // by version
	reviews     map[string]*commentv1.Review
	vouchers    map[string]*voucherv1.GetVoucherForNoticeResponse
	former      map[string]string // addresses by user
	err         error
}

// GetCartForNotice answers as the cart service does.
func (o *others) GetCartForNotice(
	_ context.Context, r *cartv1.GetCartForNoticeRequest,
) (*cartv1.GetCartForNoticeResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.carts[r.GetVersion()]; c != nil {
		return &cartv1.GetCartForNoticeResponse{Cart: c}, nil
	}
	return nil, errs.New(errs.NotFound, "the cart has changed")
}

// GetReviewForNotice answers as the comment service does.
func (o *others) GetReviewForNotice(
	_ context.Context, r *commentv1.GetReviewForNoticeRequest,
) (*commentv1.GetReviewForNoticeResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if v := o.reviews[r.GetId()]; v != nil {
		return &commentv1.GetReviewForNoticeResponse{Review: v}, nil
	}
	return nil, errs.New(errs.NotFound, "there is no such review")
}

// GetVoucherForNotice answers as the voucher service does.
func (o *others) GetVoucherForNotice(
	_ context.Context, r *voucherv1.GetVoucherForNoticeRequest,
) (*voucherv1.GetVoucherForNoticeResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.vouchers[r.GetId()], nil
}

// GetFormerEmail answers as the user service does.
func (o *others) GetFormerEmail(
	_ context.Context, r *userv1.GetFormerEmailRequest,
) (*userv1.GetFormerEmailResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return &userv1.GetFormerEmailResponse{Email: o.former[r.GetUserId()], Verified: true}, nil
}

// GetShopForNotice answers as the shop service does.
func (o *others) GetShopForNotice(
	_ context.Context, r *shopv1.GetShopForNoticeRequest,
) (*shopv1.GetShopForNoticeResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if res := o.shops[r.GetId()]; res != nil {
		return res, o.err
	}
	return nil, errs.New(errs.NotFound, "there is no such shop")
}

// GetInvitationForNotice answers as the shop service does.
func (o *others) GetInvitationForNotice(
	_ context.Context, r *shopv1.GetInvitationForNoticeRequest,
) (*shopv1.GetInvitationForNoticeResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i := o.invitations[r.GetId()]; i != nil {
		return &shopv1.GetInvitationForNoticeResponse{Invitation: i}, nil
	}
	return nil, errs.New(errs.NotFound, "there is no such invitation")
}

// GetOrderForNotice answers as the order service does.
func (o *others) GetOrderForNotice(
	_ context.Context, r *orderv1.GetOrderForNoticeRequest,
) (*orderv1.GetOrderForNoticeResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil, o.err
	}
	if res := o.orders[r.GetId()]; res != nil {
		return res, nil
	}
	return nil, errs.New(errs.NotFound, "there is no such order")
}

// BatchGetUsers answers as the user service does.
func (o *others) BatchGetUsers(
	_ context.Context, r *userv1.BatchGetUsersRequest,
) (*userv1.BatchGetUsersResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	res := &userv1.BatchGetUsersResponse{}
	for _, uid := range r.GetIds() {
		if u := o.users[uid]; u != nil {
			res.Users = append(res.Users, u)
		}
	}
	return res, nil
}

func (o *others) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// harness is the notification service with its mail server.
type harness struct {
	*moduletest.Service
	t      *testing.T
	others *others
	sink   *mailsink.Sink
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	o := &others{
		orders:      map[string]*orderv1.GetOrderForNoticeResponse{},
		users:       map[string]*userv1.User{},
		shops:       map[string]*shopv1.GetShopForNoticeResponse{},
		invitations: map[string]*shopv1.Invitation{},
		carts:       map[int64]*cartv1.Cart{},
		reviews:     map[string]*commentv1.Review{},
		vouchers:    map[string]*voucherv1.GetVoucherForNoticeResponse{},
		former:      map[string]string{},
	}
	sink := mailServer(t)
	return &harness{t: t, others: o, sink: sink, Service: moduletest.Start(t, notification.Module,
		append([]moduletest.Option{
			moduletest.Config(map[string]any{
				"smtp_addr": sink.Addr(), "from": "Søuk <shop@souk.example>", "public_url": "https://souk.example/",
				"hold": "0s",
			}),
			moduletest.Fake("order", func(r grpc.ServiceRegistrar) { orderv1.RegisterOrderServiceServer(r, o) }),
			moduletest.Fake("user", func(r grpc.ServiceRegistrar) { userv1.RegisterUserServiceServer(r, o) }),
			moduletest.Fake("cart", func(r grpc.ServiceRegistrar) { cartv1.RegisterCartServiceServer(r, o) }),
			moduletest.Fake("comment", func(r grpc.ServiceRegistrar) { commentv1.RegisterCommentServiceServer(r, o) }),
			moduletest.Fake("voucher", func(r grpc.ServiceRegistrar) { voucherv1.RegisterVoucherServiceServer(r, o) }),
			moduletest.Fake("shop", func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, o) }),
		}, opts...)...)}
}

func mailServer(t *testing.T) *mailsink.Sink {
	t.Helper()
	sink, err := mailsink.Start(t.Context(), mailsink.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Stop(context.Background())) })
	return sink
}

// place creates an order of a user with the e-mail address userEmail, or of a guest if it is empty.
// orderEmail is the address given at checkout.
func (h *harness) place(userEmail, orderEmail string) (orderID string) {
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	orderID = id.New(id.Order)
	customer := id.New(id.Guest)
	if userEmail != "" {
		customer = id.New(id.User)
		h.others.users[customer] = &userv1.User{
			Id:            customer,
			Email:         userEmail,
			EmailVerified: true,
			Name:          "Zoë <Müller>",
		}
	}
	brl := func(minor int64) *orderv1.OrderItem {
		return &orderv1.OrderItem{LineTotal: money.New(minor, "BRL").ToProto()}
	}
	tea := brl(3980)
	tea.Title, tea.Quantity, tea.Options = "<script>alert('chá')</script> Чай 🍵", 2, map[string]string{"Size": "M & L"}
	cup := brl(1418)
	cup.Title, cup.Quantity = "Cup\r\nBcc: everybody@example.com", 1
	h.others.orders[orderID] = &orderv1.GetOrderForNoticeResponse{
		CustomerId: customer, Email: orderEmail,
		Order: &orderv1.Order{
			Id: orderID, Number: "S-Ünïcode-42", Status: "confirmed",
			Subtotal: money.New(5398, "BRL").ToProto(), Discount: money.New(0, "BRL").ToProto(),
			Shipping: money.New(990, "BRL").ToProto(), Tax: money.New(0, "BRL").ToProto(),
			Total: money.New(6388, "BRL").ToProto(),
			ShopOrders: []*orderv1.ShopOrder{
				{
					Id: id.New(id.ShopOrder), ShopName: "Aurora & Söhne", Items: []*orderv1.OrderItem{tea},
					Total: money.New(3980, "BRL").ToProto(),
				},
				{Id: id.New(id.ShopOrder), ShopName: "Borealis", Items: []*orderv1.OrderItem{cup}},
			},
			ShippingAddress: &orderv1.ShippingAddress{
				Name: "Zoë Müller", Line1: "Secret Street 7", City: "São Paulo", PostalCode: "01000-000",
				CountryCode: "BR", Phone: "+55 11 5555-0199",
			},
		},
	}
	return orderID
}

// event returns an event of the order service.
func (h *harness) event(subject, orderID string, m proto.Message) event.Event {
	h.t.Helper()
	e, err := event.New(h.t.Context(), subject, orderID, 2, time.Now().UTC(), m)
	require.NoError(h.t, err)
	return e
}

func (h *harness) confirmed(orderID string) event.Event {
	h.t.Helper()
	return h.event("evt.order.confirmed", orderID, &orderv1.OrderConfirmed{OrderId: orderID, Number: "S-42"})
}

// confirm publishes that an order was confirmed.
func (h *harness) confirm(orderID string) {
	h.t.Helper()
	h.Publish(h.confirmed(orderID), "order")
}

// states is the state of each mail, or of its notice while it has none, with the notice's order.
const states = `(select n.order_id, n.kind, coalesce(d.state, n.state) as state,
    coalesce(nullif(d.last_error, ''), n.last_error) as last_error, coalesce(d.attempts, n.attempts) as attempts, d.channel
    from notice n left join delivery d on d.notice_id = n.id and d.channel = 'email') s`

// state waits until what is sent about an order has the state.
func (h *harness) state(orderID, want string) {
	h.t.Helper()
	const sql = `select coalesce(max(state), '') from ` + states + ` where order_id = $1`
	waittest.Until(h.t, func() bool { return moduletest.Value[string](h.Service, sql, orderID) == want },
		"the delivery is not %s", want)
}

// attempted waits until an attempt to send a mail has failed and the time of the next one is recorded, and returns the
// reason.
func (h *harness) attempted(orderID string) (reason string) {
	h.t.Helper()
	const (
		sql     = `select coalesce(max(last_error), '') from ` + states + ` where order_id = $1`
		running = `select exists (select from river_job where state = 'running')`
	)
	waittest.Until(h.t, func() bool {
		reason = moduletest.Value[string](h.Service, sql, orderID)
		return reason != "" && !moduletest.Value[bool](h.Service, running)
	}, "no attempt failed")
	return reason
}
