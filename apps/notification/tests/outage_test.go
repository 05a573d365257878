package tests

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository"
	"souk/apps/notification/internal/service"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/pgtest"
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
		trouble func(h *harness) // in other services, until the database is back
		stops   bool             // the process is stopped meanwhile
		state   string
		mails   int
	}{
		"it was sent":                {func(*harness) {}, false, "sent", 1},
		"it was sent, and all stops": {func(*harness) {}, true, "sent", 1},
		"it was not":                 {func(h *harness) { h.others.fail(errs.New(errs.Unavailable, "order is away")) }, false, "sent", 1},
		"it was not, and all stops":  {func(h *harness) { h.others.fail(errs.New(errs.Unavailable, "order is away")) }, true, "queued", 0},
		"it never will":              {func(h *harness) { h.others.fail(errs.New(errs.NotFound, "there is no such order")) }, false, "failed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			away, back := h.outages(t)
			var o *outage
			h.mails = func(m service.Mails) service.Mails {
				o = &outage{Mails: m, begin: away, failed: make(chan error, 1)}
				return o
			}
			stop, _ := h.run(t)
			order := h.place(t, "zoe@example.com", "")
			c.trouble(h)
			h.confirm(t, order)
			select {
			case err := <-o.failed:
				require.Equal(t, errs.Unavailable, errs.CodeOf(err))
			case <-time.After(timeout):
				require.Fail(t, "no result was recorded")
			}
			var stopped sync.WaitGroup
			if c.stops {
				stopped.Go(stop)
			}
			back()
			h.others.fail(nil)
			stopped.Wait()
			h.state(t, order, c.state)
			require.Len(t, h.sink.Messages(), c.mails)
		})
	}
}

// slow delays the return of the first claim until goOn is closed.
type slow struct {
	service.Mails

	once          sync.Once
	claimed, goOn chan struct{}
}

// Claim claims, and waits after the first claim that found a mail.
func (s *slow) Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error) {
	got, err := s.Mails.Claim(ctx, now, until, n)
	if len(got) > 0 {
		s.once.Do(func() {
			close(s.claimed)
			select {
			case <-s.goOn:
			case <-time.After(2 * timeout): // the test has failed
			}
		})
	}
	return got, err
}

// TestExpiredClaimSendsNothing: a process whose claim returns after its end leaves the mail to the next
// claim.
func TestExpiredClaimSendsNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := clock.NewManual(time.Now())
	h.clock = c
	first := &slow{claimed: make(chan struct{}), goOn: make(chan struct{})}
	h.mails = func(m service.Mails) service.Mails {
		first.Mails = m
		return first
	}
	stop, _ := h.run(t)
	order := h.place(t, "zoe@example.com", "")
	h.confirm(t, order)
	select {
	case <-first.claimed:
	case <-time.After(timeout):
		require.Fail(t, "nothing was claimed")
	}
	c.Advance(2 * time.Minute)
	h.mails = nil
	h.run(t)
	h.state(t, order, "sent")
	close(first.goOn)
	stop()
	require.Len(t, h.sink.Messages(), 1)
}

// TestReleasedMailKeepsItsReason: a mail released without an attempt keeps the last failure's reason.
func TestReleasedMailKeepsItsReason(t *testing.T) {
	t.Parallel()
	h := setup(t)
	store := repository.Open(h.pool, func() {})
	now := time.Now()
	_, err := h.pool.Exec(
		t.Context(),
		`insert into mail (id, kind, order_id, next_at, created_at) values ('ntf_1', 'order_confirmed', 'ord_1', $1, $1)`,
		now,
	)
	require.NoError(t, err)
	for _, reason := range []string{"smtp: the server cannot be reached", ""} {
		got, err := store.Claim(t.Context(), now, now.Add(time.Minute), 1)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.NoError(t, store.Retry(t.Context(), got[0], reason, now))
		var kept string
		require.NoError(
			t,
			h.pool.QueryRow(t.Context(), `select last_error from mail where id = 'ntf_1' and state = 'queued'`).
				Scan(&kept),
		)
		require.Equal(t, "smtp: the server cannot be reached", kept)
	}
}

// outages returns functions that begin and end an outage: away ends all sessions of the test's database and
// refuses new ones, back accepts them again.
func (h *harness) outages(t *testing.T) (away, back func()) {
	t.Helper()
	server, err := pgx.Connect(t.Context(), pgtest.Server(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close(context.Background())) })
	name := h.pool.Config().ConnConfig.Database
	accept := func(yes string) {
		_, err := server.Exec(
			context.Background(),
			"alter database "+pgx.Identifier{name}.Sanitize()+" allow_connections "+yes,
		)
		if err != nil {
			t.Errorf("allow_connections %s: %v", yes, err)
		}
	}
	away = func() {
		accept("false")
		if _, err := server.Exec(
			context.Background(),
			"select pg_terminate_backend(pid) from pg_stat_activity where datname = $1",
			name,
		); err != nil {
			t.Errorf("end all sessions: %v", err)
		}
	}
	return away, func() { accept("true") }
}
