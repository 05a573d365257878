package tests

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/notification"
	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository"
	"souk/apps/notification/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/devstack/mailsink"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/pgtest"
	"souk/pkg/waittest"
)

// outage starts an outage of the database right before the result of a delivery is recorded for the first time.
type outage struct {
	service.Store

	begin  func()
	once   sync.Once
	failed chan error // the error of the first write
}

func (o *outage) record(write func() error) error {
	first := false
	o.once.Do(func() {
		first = true
		o.begin()
	})
	err := write()
	if first {
		o.failed <- err
	}
	return err
}

// Sent starts the outage and records.
func (o *outage) Sent(ctx context.Context, deliveryID string, at time.Time, ev event.Event) error {
	return o.record(func() error { return o.Store.Sent(ctx, deliveryID, at, ev) })
}

// EndDelivery starts the outage and records.
func (o *outage) EndDelivery(
	ctx context.Context, deliveryID string, state domain.State, reason string, at time.Time,
) error {
	return o.record(func() error { return o.Store.EndDelivery(ctx, deliveryID, state, reason, at) })
}

// DeliveryFailed starts the outage and records.
func (o *outage) DeliveryFailed(ctx context.Context, deliveryID, reason string) error {
	return o.record(func() error { return o.Store.DeliveryFailed(ctx, deliveryID, reason) })
}

// TestOutageWhileSendingLosesNoResult: the result is recorded when the database is back, and no mail is sent twice.
func TestOutageWhileSendingLosesNoResult(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trouble *errs.Error // of the order service
		state   string
		reason  string
		mails   int
	}{
		"it was sent":   {nil, "sent", "", 1},
		"it was not":    {errs.New(errs.Unavailable, "order is away"), "queued", "the content could not be read: unavailable", 0},
		"it never will": {errs.New(errs.NotFound, "there is no such order"), "failed", "there is no such order", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupSender(t)
			away, back := s.outages()
			o := &outage{Store: s.store, begin: away, failed: make(chan error, 1)}
			s.orders.err.Store(c.trouble)
			s.queue()
			ended := make(chan error, 1)
			svc := s.service(o)
			go func() { ended <- svc.Deliver(context.Background(), "dlv_1") }()
			require.Equal(t, errs.Unavailable, errs.CodeOf(waittest.Receive(t, o.failed)))
			back()
			err := waittest.Receive(t, ended)
			if c.reason == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.reason)
			}
			var state, reason string
			require.NoError(
				t,
				s.pool.QueryRow(t.Context(), `select state, last_error from delivery`).Scan(&state, &reason),
			)
			require.Equal(t, []string{c.state, c.reason}, []string{state, reason})
			require.Len(t, s.sink.Messages(), c.mails)

			// Another run of the job sends nothing more.
			s.orders.err.Store(nil)
			if c.state != "queued" {
				require.NoError(t, svc.Deliver(t.Context(), "dlv_1"))
				require.Len(t, s.sink.Messages(), c.mails)
			}
		})
	}
}

// sender is what deliveries need without the module: a database with one delivery, the order service and a mail server.
type sender struct {
	t      *testing.T
	pool   *pgxpool.Pool
	store  *repository.Store
	orders *guestOrders
	sink   *mailsink.Sink
	clock  clock.Clock
}

func setupSender(t *testing.T) *sender {
	t.Helper()
	pool := pgtest.New(t, notification.Module.Sets()...)
	return &sender{
		t:      t,
		pool:   pool,
		store:  repository.New(pool, nil, func() int64 { return 10 }, func() {}),
		orders: &guestOrders{},
		sink:   mailServer(t),
		clock:  clock.System{},
	}
}

// queue queues the delivery.
func (s *sender) queue() {
	s.t.Helper()
	const sql = `with n as (
			insert into notice (id, kind, order_id, state, due_at, created_at)
			values ('ntc_1', 'order_confirmed', 'ord_1', 'done', $1, $1)
		)
		insert into delivery (id, notice_id, channel, recipient, created_at) values ('dlv_1', 'ntc_1', 'email', 'ord_1', $1)`
	_, err := s.pool.Exec(s.t.Context(), sql, s.clock.Now())
	require.NoError(s.t, err)
}

// service returns the service on a store.
func (s *sender) service(store service.Store) *service.Service {
	s.t.Helper()
	renderer, err := service.NewRenderer("https://souk.example/")
	require.NoError(s.t, err)
	post := &repository.SMTP{Addr: s.sink.Addr(), TLS: repository.TLSAuto, From: "shop@souk.example"}
	s.t.Cleanup(post.Close)
	svc, err := service.New(service.Deps{
		Store:       store,
		Orders:      s.orders,
		Providers:   map[domain.Channel]service.Provider{domain.Email: post},
		Renderer:    renderer,
		Links:       service.NewLinks(s.store, ""),
		Mailboxes:   service.NewMailboxes(s.store),
		Templates:   s.store,
		Logger:      zap.NewNop(),
		Clock:       s.clock,
		Timeout:     10 * time.Second,
		GiveUp:      time.Hour,
		Concurrency: 1,
	})
	require.NoError(s.t, err)
	return svc
}

// guestOrders answers as the order service does, with err if it is set.
type guestOrders struct{ err atomic.Pointer[errs.Error] }

func (o *guestOrders) GetOrderForNotice(
	_ context.Context, r *orderv1.GetOrderForNoticeRequest, _ ...grpc.CallOption,
) (*orderv1.GetOrderForNoticeResponse, error) {
	if err := o.err.Load(); err != nil {
		return nil, err
	}
	return &orderv1.GetOrderForNoticeResponse{Order: &orderv1.Order{Id: r.GetId()}, Email: "guest@example.com"}, nil
}

// outages returns functions that begin and end an outage: away ends all sessions of the test's database and
// refuses new ones, back accepts them again.
func (s *sender) outages() (away, back func()) {
	t := s.t
	t.Helper()
	server, err := pgx.Connect(t.Context(), pgtest.Server(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close(context.Background())) })
	name := s.pool.Config().ConnConfig.Database
	accept := func(yes string) {
		_, err := server.Exec(context.Background(),
			"alter database "+pgx.Identifier{name}.Sanitize()+" allow_connections "+yes)
		if err != nil {
			t.Errorf("allow_connections %s: %v", yes, err)
		}
	}
	away = func() {
		accept("false")
		if _, err := server.Exec(
			context.Background(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name,
		); err != nil {
			t.Errorf("end all sessions: %v", err)
		}
	}
	return away, func() { accept("true") }
}
