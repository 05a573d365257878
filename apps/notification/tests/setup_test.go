package tests

import (
	"bytes"
	"context"
	"net/mail"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"souk/apps/notification"
	"souk/apps/notification/internal/handler"
	"souk/apps/notification/internal/repository"
	"souk/apps/notification/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/devstack/mailsink"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/logging"
	"souk/pkg/migration"
	"souk/pkg/money"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// timeout is the longest wait of a test.
const timeout = 20 * time.Second

// others fakes the order service and the user service.
type others struct {
	mu     sync.Mutex
	orders map[string]*orderv1.GetOrderForNoticeResponse
	users  map[string]*userv1.User
	err    error
}

// GetOrderForNotice answers as the order service does.
func (o *others) GetOrderForNotice(
	_ context.Context,
	r *orderv1.GetOrderForNoticeRequest,
	_ ...grpc.CallOption,
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
	_ context.Context,
	r *userv1.BatchGetUsersRequest,
	_ ...grpc.CallOption,
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

// logs is a log that can be read while it is written.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// harness is the service's surroundings: its database, mail server and fakes.
type harness struct {
	pool   *pgxpool.Pool
	js     jetstream.JetStream
	others *others
	sink   *mailsink.Sink
	smtp   *repository.SMTP
	logs   *logs
	log    *zap.Logger
	giveUp time.Duration
	clock  clock.Clock
	mails  func(service.Mails) service.Mails // wraps the service's store; nil: no wrapper
}

func setup(t *testing.T) *harness {
	t.Helper()
	sink, err := mailsink.Start(t.Context(), mailsink.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sink.Stop(context.Background())) })
	js, err := jetstream.New(natstest.Conn(t))
	require.NoError(t, err)
	require.NoError(t, outbox.EnsureStreams(t.Context(), js, outbox.Streams{}))
	h := &harness{
		pool: pgtest.New(
			t,
			outbox.Migrations(),
			migration.Set{Name: "notification", FS: notification.Module.Migrations},
		),
		js:   js,
		sink: sink,
		others: &others{
			orders: map[string]*orderv1.GetOrderForNoticeResponse{},
			users:  map[string]*userv1.User{},
		},
		logs: &logs{},
		smtp: &repository.SMTP{
			Addr: sink.Addr(),
			TLS:  repository.TLSAuto,
			From: "shop@souk.example",
		},
		giveUp: time.Hour,
		clock:  clock.System{},
	}
	t.Cleanup(h.smtp.Close)
	h.log, err = logging.New(logging.Default(), h.logs)
	require.NoError(t, err)
	return h
}

// run runs a process of the service until the test ends or stop is called.
func (h *harness) run(t *testing.T) (stop func(), metrics *prometheus.Registry) {
	t.Helper()
	from, err := mail.ParseAddress("Søuk <shop@souk.example>")
	require.NoError(t, err)
	renderer, err := service.NewRenderer(from, "https://souk.example/")
	require.NoError(t, err)
	metrics = prometheus.NewRegistry()
	store := repository.Open(h.pool, func() {})
	var mails service.Mails = store
	if h.mails != nil {
		mails = h.mails(store)
	}
	sender, err := service.New(service.Deps{
		Mails:       mails,
		Orders:      h.others,
		Users:       h.others,
		Post:        h.smtp,
		Renderer:    renderer,
		Clock:       h.clock,
		Logger:      h.log,
		Metrics:     metrics,
		Timeout:     10 * time.Second,
		Concurrency: 4,
		GiveUp:      h.giveUp,
	})
	require.NoError(t, err)
	consumer := outbox.NewConsumer(h.js, h.pool, outbox.ConsumerOptions{
		Service: "notification", Purpose: "orders", Subjects: handler.Subjects, Logger: h.log,
		Queue: store.Consume(handler.Read(h.clock)), Done: sender.Wake,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = sender.Run(ctx) })
	wg.Go(func() { _ = consumer.Run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)
	require.Eventually(t, func() bool { return consumer.Ready(ctx) == nil }, timeout, time.Millisecond)
	return stop, metrics
}

// place creates an order of a user with the e-mail address userEmail, or of a guest if it is empty.
// orderEmail is the address given at checkout.
func (h *harness) place(t *testing.T, userEmail, orderEmail string) (orderID string) {
	t.Helper()
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	orderID = id.New(id.Order)
	customer := id.New(id.Guest)
	if userEmail != "" {
		customer = id.New(id.User)
		h.others.users[customer] = &userv1.User{Id: customer, Email: userEmail, Name: "Zoë <Müller>"}
	}
	brl := func(minor int64) *orderv1.OrderItem {
		return &orderv1.OrderItem{LineTotal: money.New(minor, "BRL").Proto()}
	}
	tea := brl(3980)
	tea.Title, tea.Quantity, tea.Options = "<script>alert('chá')</script> Чай 🍵", 2, map[string]string{"Size": "M & L"}
	cup := brl(1418)
	cup.Title, cup.Quantity = "Cup\r\nBcc: everybody@example.com", 1
	h.others.orders[orderID] = &orderv1.GetOrderForNoticeResponse{
		CustomerId: customer, Email: orderEmail,
		Order: &orderv1.Order{
			Id:     orderID,
			Number: "S-Ünïcode-42",
			Status: "confirmed",
			Subtotal: money.New(5398, "BRL").
				Proto(),
			Discount: money.New(0, "BRL").Proto(),
			Shipping: money.New(990, "BRL").Proto(),
			Tax:      money.New(0, "BRL").Proto(),
			Total:    money.New(6388, "BRL").Proto(),
			ShopOrders: []*orderv1.ShopOrder{
				{
					ShopName: "Aurora & Söhne",
					Items:    []*orderv1.OrderItem{tea},
				},
				{ShopName: "Borealis", Items: []*orderv1.OrderItem{cup}},
			},
			ShippingAddress: &orderv1.ShippingAddress{
				Name:        "Zoë Müller",
				Line1:       "Secret Street 7",
				City:        "São Paulo",
				PostalCode:  "01000-000",
				CountryCode: "BR",
				Phone:       "+55 11 5555",
			},
		},
	}
	return orderID
}

func (h *harness) publishNew(t *testing.T, subject, orderID string, m proto.Message) event.Event {
	t.Helper()
	e, err := event.New(t.Context(), subject, orderID, 2, time.Now().UTC(), m)
	require.NoError(t, err)
	h.publish(t, e)
	return e
}

// publish publishes an event without the ID by which the stream drops duplicates.
func (h *harness) publish(t *testing.T, e event.Event) {
	t.Helper()
	msg := e.Msg("order")
	msg.Header.Del("Nats-Msg-Id")
	_, err := h.js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)
}

func (h *harness) confirm(t *testing.T, orderID string) event.Event {
	t.Helper()
	return h.publishNew(t, "evt.order.confirmed", orderID, &orderv1.OrderConfirmed{OrderId: orderID, Number: "S-42"})
}

// state waits until the mail about an order has the state.
func (h *harness) state(t *testing.T, orderID, want string) {
	t.Helper()
	var got, reason string
	require.Eventually(t, func() bool {
		err := h.pool.QueryRow(t.Context(), "select state, last_error from mail where order_id = $1", orderID).
			Scan(&got, &reason)
		return err == nil && got == want
	}, timeout, 2*time.Millisecond, "state")
}

// handled waits until the consumer has handled n events.
func (h *harness) handled(t *testing.T, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		cons, err := h.js.Consumer(t.Context(), outbox.StreamEvents, "notification_orders")
		if err != nil {
			return false
		}
		info, err := cons.Info(t.Context())
		return err == nil && info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Consumer >= uint64(n)
	}, timeout, 2*time.Millisecond, "events")
}

func value(t *testing.T, r *prometheus.Registry, name string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
