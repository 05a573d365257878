package tests

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"souk/apps/order"
	"souk/apps/order/internal/repository"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/money"
	"souk/pkg/personal"
	"souk/pkg/rpc"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the order service, fakes of the services that it calls, and clients of it.
type harness struct {
	*moduletest.Service
	*fakes
	t      testing.TB
	client orderv1.OrderServiceClient // as the gateway
	auth   orderv1.OrderServiceClient
	store  *repository.Store // on the service's database, for what no call reaches
}

// setup starts the service with fields of its configuration.
func setup(t testing.TB, fields ...map[string]any) *harness {
	t.Helper()
	var options []moduletest.Option
	for _, f := range fields {
		options = append(options, moduletest.Config(f))
	}
	return setupWith(t, options...)
}

func setupWith(t testing.TB, options ...moduletest.Option) *harness {
	t.Helper()
	h := &harness{fakes: newFakes(), t: t}
	h.Service = moduletest.Start(t, order.Module, append(h.register(), options...)...)
	h.client = orderv1.NewOrderServiceClient(h.Client("gateway"))
	h.auth = orderv1.NewOrderServiceClient(h.Client("auth"))
	keyring := keyringv1.NewKeyringServiceClient(h.Client("user"))
	h.store = repository.New(h.Pool, personal.New(keyring, clock.System{}), func() {})
	return h
}

func user(name string) identity.Actor {
	return identity.Actor{Kind: identity.KindUser, ID: "usr_" + name}
}

// newCustomer returns a customer with items of two shops in the cart: BRL 3 * 10.00 + 19.99.
func (h *harness) newCustomer() identity.Actor {
	c := user(id.New(id.User))
	h.offer("var_a", "shp_1", "10.00", 1_000_000)
	h.offer("var_b", "shp_2", "19.99", 1_000_000)
	h.fill(c.ID, line("var_a", 3), line("var_b", 1))
	return c
}

func checkoutRequest(token string) *orderv1.CheckoutRequest {
	return &orderv1.CheckoutRequest{
		ShippingAddress: &orderv1.ShippingAddress{
			Name: "Ana <script>", Line1: "Rua 1'; drop table orders; --",
			City: "São Paulo", PostalCode: "01310-100", CountryCode: "BR",
		},
		Payment: &orderv1.PaymentInput{Method: "card", Token: token},
	}
}

func (h *harness) checkout(c identity.Actor, key string, r *orderv1.CheckoutRequest) (*orderv1.Order, error) {
	res, err := h.client.Checkout(rpc.WithIdempotencyKey(h.As(c), key), r)
	return res.GetOrder(), err
}

// confirmedOrder places an order and waits until its saga has ended.
func (h *harness) confirmedOrder(c identity.Actor) *orderv1.Order {
	o, err := h.checkout(c, id.New("key"), checkoutRequest("tok_ok"))
	require.NoError(h.t, err)
	h.waitForSagas()
	return o
}

// waitForSagas waits until no saga runs any more.
func (h *harness) waitForSagas() {
	h.t.Helper()
	waittest.Until(h.t, func() bool {
		return moduletest.Value[int](h.Service,
			`select count(*) from saga where state in ('running', 'compensating')`) == 0
	}, "a saga does not end")
}

// paymentEvent returns the event that payment publishes for the order and the payment status.
func (h *harness) paymentEvent(orderID, status string, version int64) event.Event {
	h.t.Helper()
	subject, m := "evt.payment.completed", proto.Message(
		&paymentv1.PaymentCompleted{PaymentId: "pay_" + orderID, OrderId: orderID},
	)
	if status == "refunded" {
		subject, m = "evt.payment.refunded", &paymentv1.PaymentRefunded{
			PaymentId: "pay_" + orderID, OrderId: orderID, Status: status, TotalRefunded: money.New(1, "BRL").ToProto(),
		}
	}
	e, err := event.New(h.t.Context(), subject, "pay_"+orderID, version, time.Now(), m)
	require.NoError(h.t, err)
	return e
}

// handlePayment publishes the event of one payment status and waits until the service has handled it.
func (h *harness) handlePayment(orderID, status string, version int64) {
	h.t.Helper()
	h.Deliver("payment", h.paymentEvent(orderID, status, version))
}

// requireConsistent waits for the sagas. It fails the test unless all invariants hold, no stock stays reserved and
// no card payment stays authorized.
func (h *harness) requireConsistent() {
	h.t.Helper()
	h.waitForSagas()
	findings, err := order.Module.Verify(h.t.Context(), h.Pool)
	require.NoError(h.t, err)
	for _, f := range findings {
		require.Zero(h.t, f.Wrong, "%s: %s", f.Check, f.Example)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requireGivenBack()
	for v, n := range h.reserved {
		require.Zero(h.t, n, "%s stays reserved", v)
	}
	for o, p := range h.money {
		if p.GetMethod() != "cod" {
			require.NotEqual(h.t, "authorized", p.GetStatus(), "order %s: money stays held", o)
		}
	}
}

// requireGivenBack fails the test unless exactly the money and the lines of cancelled shop orders were given back. The
// lock is held.
func (h *harness) requireGivenBack() {
	h.t.Helper()
	rows, err := h.Pool.Query(h.t.Context(), `
		select o.id, sum(s.total) filter (where s.status = 'cancelled'),
			array(select i.variant_id from order_item i join shop_order p on p.id = i.shop_order_id
				where i.order_id = o.id and p.status = 'cancelled')
		from orders o join shop_order s on s.order_id = o.id where o.confirmed_at is not null group by o.id`)
	require.NoError(h.t, err)
	var orderID string
	var total *int64
	var variants []string
	_, err = pgx.ForEachRow(rows, []any{&orderID, &total, &variants}, func() error {
		want := int64(0)
		if total != nil {
			want = *total
		}
		require.Equal(h.t, want, h.givenBack[orderID], "money of order %s", orderID)
		var back []string
		for _, l := range h.lines[orderID] {
			if h.back[orderID+"/"+l.GetVariantId()] {
				back = append(back, l.GetVariantId())
			}
		}
		require.ElementsMatch(h.t, variants, back, "lines of order %s", orderID)
		return nil
	})
	require.NoError(h.t, err)
}
