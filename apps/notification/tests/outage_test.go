package tests

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"souk/apps/notification"
	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository"
	"souk/apps/notification/internal/service"
	"souk/pkg/clock"
	"souk/pkg/devstack/mailsink"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/pgtest"
	"souk/pkg/waittest"
)

// outage starts an outage of the database right before the result of a mail is recorded for the first time.
type outage struct {
	service.Mails

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
func (o *outage) Sent(ctx context.Context, m domain.Mail, at time.Time, ev event.Event) error {
	return o.record(func() error { return o.Mails.Sent(ctx, m, at, ev) })
}

// Failed starts the outage and records.
func (o *outage) Failed(ctx context.Context, m domain.Mail, reason string) error {
	return o.record(func() error { return o.Mails.Failed(ctx, m, reason) })
}

// Retry starts the outage and records.
func (o *outage) Retry(ctx context.Context, m domain.Mail, reason string, at time.Time) error {
	return o.record(func() error { return o.Mails.Retry(ctx, m, reason, at) })
}

// TestOutageWhileSendingLosesNoResult: the result is recorded when the database is back, long before the
// claim ends, and no mail is sent twice.
func TestOutageWhileSendingLosesNoResult(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trouble *errs.Error // of the order service, until the database is back
		stops   bool        // the sender is stopped meanwhile
		state   string
		mails   int
	}{
		"it was sent":                {nil, false, "sent", 1},
		"it was sent, and all stops": {nil, true, "sent", 1},
		"it was not":                 {errs.New(errs.Unavailable, "order is away"), false, "sent", 1},
		"it was not, and all stops":  {errs.New(errs.Unavailable, "order is away"), true, "queued", 0},
		"it never will":              {errs.New(errs.NotFound, "there is no such order"), false, "failed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := setupSender(t)
			away, back := s.outages()
			o := &outage{Mails: s.store, begin: away, failed: make(chan error, 1)}
			s.orders.err.Store(c.trouble)
			s.queue()
			stop := s.run(o)
			require.Equal(t, errs.Unavailable, errs.CodeOf(waittest.Receive(t, o.failed)))
			var stopped sync.WaitGroup
			if c.stops {
				stopped.Go(stop)
			}
			back()
			s.orders.err.Store(nil)
			stopped.Wait()
			s.state(c.state)
			require.Len(t, s.sink.Messages(), c.mails)
		})
	}
}

// slow delays the return of the first claim until goOn is closed.
type slow struct {
	service.Mails
	t *testing.T

	once          sync.Once
	claimed, goOn chan struct{}
}

// Claim claims, and waits after the first claim that found a mail.
func (s *slow) Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error) {
	got, err := s.Mails.Claim(ctx, now, until, n)
	if len(got) > 0 {
		s.once.Do(func() {
			close(s.claimed)
			waittest.Receive(s.t, s.goOn)
		})
	}
	return got, err
}

// TestExpiredClaimSendsNothing: a process whose claim returns after its end leaves the mail to the next
// claim.
func TestExpiredClaimSendsNothing(t *testing.T) {
	t.Parallel()
	s := setupSender(t)
	c := clock.NewManual(time.Now())
	s.clock = c
	s.queue()
	first := &slow{Mails: s.store, t: t, claimed: make(chan struct{}), goOn: make(chan struct{})}
	stop := s.run(first)
	waittest.Receive(t, first.claimed)
	c.Advance(2 * time.Minute)
	s.run(s.store)
	s.state("sent")
	close(first.goOn)
	stop()
	require.Len(t, s.sink.Messages(), 1)
}

// TestReleasedMailKeepsItsReason: a mail released without an attempt keeps the last failure's reason.
func TestReleasedMailKeepsItsReason(t *testing.T) {
	t.Parallel()
	s := setupSender(t)
	s.queue()
	now := s.clock.Now()
	for _, reason := range []string{"smtp: the server cannot be reached", ""} {
		got, err := s.store.Claim(t.Context(), now, now.Add(time.Minute), 1)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.NoError(t, s.store.Retry(t.Context(), got[0], reason, now))
		var kept string
		const sql = `select last_error from mail where id = 'ntf_1' and state = 'queued'`
		require.NoError(t, s.pool.QueryRow(t.Context(), sql).Scan(&kept))
		require.Equal(t, "smtp: the server cannot be reached", kept)
	}
}

// sender is what a sender needs without its service: a database with one mail, the order service and a mail server.
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
		t: t, pool: pool, store: repository.New(pool, 10, func() {}), orders: &guestOrders{}, sink: mailServer(t),
		clock: clock.System{},
	}
}

// queue queues the mail.
func (s *sender) queue() {
	s.t.Helper()
	const sql = `insert into mail (id, kind, order_id, next_at, created_at)
		values ('ntf_1', 'order_confirmed', 'ord_1', $1, $1)`
	_, err := s.pool.Exec(s.t.Context(), sql, s.clock.Now())
	require.NoError(s.t, err)
}

// run runs a sender of the mails until the test ends or stop is called.
func (s *sender) run(mails service.Mails) (stop func()) {
	s.t.Helper()
	post := &repository.SMTP{Addr: s.sink.Addr(), TLS: repository.TLSAuto, From: "shop@souk.example"}
	s.t.Cleanup(post.Close)
	stop = sync.OnceFunc(run(newSender(s.t, service.Deps{
		Mails: mails, Orders: s.orders, Post: post, Clock: s.clock, Timeout: 10 * time.Second, Concurrency: 4,
	})))
	s.t.Cleanup(stop)
	return stop
}

// state waits until the mail has the state. The database may be away meanwhile.
func (s *sender) state(want string) {
	s.t.Helper()
	waittest.Until(s.t, func() bool {
		var got string
		err := s.pool.QueryRow(s.t.Context(), `select state from mail`).Scan(&got)
		return err == nil && got == want
	}, "the mail is not %s", want)
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
