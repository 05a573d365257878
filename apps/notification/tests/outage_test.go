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

// outage takes the database away right before what became of a mail is written down for the first time.
type outage struct {
	service.Mails

	begin  func()
	once   sync.Once
	failed chan error // the first of what that came to
}

func (o *outage) note(write func() error) error {
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

// Sent notes.
func (o *outage) Sent(ctx context.Context, m domain.Mail, at time.Time, told event.Event) error {
	return o.note(func() error { return o.Mails.Sent(ctx, m, at, told) })
}

// Failed notes.
func (o *outage) Failed(ctx context.Context, m domain.Mail, reason string) error {
	return o.note(func() error { return o.Mails.Failed(ctx, m, reason) })
}

// Again notes.
func (o *outage) Again(ctx context.Context, m domain.Mail, reason string, at time.Time) error {
	return o.note(func() error { return o.Mails.Again(ctx, m, reason, at) })
}

// TestTheDatabaseIsAwayWhileAMailIsSent: what became of the mail is written down when it is back, long before the
// claim ends, and nothing is sent twice.
func TestTheDatabaseIsAwayWhileAMailIsSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		trouble func(k *kit) // of others, until the database is back
		stops   bool         // the process is told to stop meanwhile
		state   string
		mails   int
	}{
		"it was sent":                {func(*kit) {}, false, "sent", 1},
		"it was sent, and all stops": {func(*kit) {}, true, "sent", 1},
		"it was not":                 {func(k *kit) { k.others.fail(errs.New(errs.Unavailable, "order is away")) }, false, "sent", 1},
		"it was not, and all stops":  {func(k *kit) { k.others.fail(errs.New(errs.Unavailable, "order is away")) }, true, "queued", 0},
		"it never will":              {func(k *kit) { k.others.fail(errs.New(errs.NotFound, "there is no such order")) }, false, "failed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := setup(t)
			away, back := k.outages(t)
			var o *outage
			k.mails = func(m service.Mails) service.Mails {
				o = &outage{Mails: m, begin: away, failed: make(chan error, 1)}
				return o
			}
			stop, _ := k.run(t)
			order := k.place(t, "zoe@example.com", "")
			c.trouble(k)
			k.confirm(t, order)
			select {
			case err := <-o.failed:
				require.Equal(t, errs.Unavailable, errs.CodeOf(err))
			case <-time.After(patience):
				require.Fail(t, "nothing was noted")
			}
			var stopped sync.WaitGroup
			if c.stops {
				stopped.Go(stop)
			}
			back()
			k.others.fail(nil)
			stopped.Wait()
			k.state(t, order, c.state)
			require.Len(t, k.sink.Messages(), c.mails)
		})
	}
}

// slow holds back the first claim of a mail until it may go on.
type slow struct {
	service.Mails

	once          sync.Once
	claimed, goOn chan struct{}
}

// Claim claims.
func (s *slow) Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error) {
	got, err := s.Mails.Claim(ctx, now, until, n)
	if len(got) > 0 {
		s.once.Do(func() {
			close(s.claimed)
			<-s.goOn
		})
	}
	return got, err
}

// TestAClaimThatTakesTooLong: who learns so late of a claim that it is over leaves the mail to who claimed it since.
func TestAClaimThatTakesTooLong(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := clock.NewManual(time.Now())
	k.clock = c
	first := &slow{claimed: make(chan struct{}), goOn: make(chan struct{})}
	k.mails = func(m service.Mails) service.Mails {
		first.Mails = m
		return first
	}
	stop, _ := k.run(t)
	order := k.place(t, "zoe@example.com", "")
	k.confirm(t, order)
	select {
	case <-first.claimed:
	case <-time.After(patience):
		require.Fail(t, "nothing was claimed")
	}
	c.Advance(2 * time.Minute)
	k.mails = nil
	k.run(t)
	k.state(t, order, "sent")
	close(first.goOn)
	stop()
	require.Len(t, k.sink.Messages(), 1)
}

// A mail that is given back without a try keeps why the last one failed.
func TestWhatIsGivenBackKeepsItsReason(t *testing.T) {
	t.Parallel()
	k := setup(t)
	store := repository.Open(k.pool, func() {})
	now := time.Now()
	_, err := k.pool.Exec(t.Context(), `insert into mail (id, kind, order_id, next_at, created_at) values ('ntf_1', 'order_confirmed', 'ord_1', $1, $1)`, now)
	require.NoError(t, err)
	for _, reason := range []string{"smtp: the server cannot be reached", ""} {
		got, err := store.Claim(t.Context(), now, now.Add(time.Minute), 1)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.NoError(t, store.Again(t.Context(), got[0], reason, now))
		var kept string
		require.NoError(t, k.pool.QueryRow(t.Context(), `select last_error from mail where id = 'ntf_1' and state = 'queued'`).Scan(&kept))
		require.Equal(t, "smtp: the server cannot be reached", kept)
	}
}

// outages returns what ends all sessions of the test's database and refuses new ones, and what ends that.
func (k *kit) outages(t *testing.T) (away, back func()) {
	t.Helper()
	server, err := pgx.Connect(t.Context(), pgtest.Server(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close(context.Background())) })
	name := k.pool.Config().ConnConfig.Database
	accept := func(yes string) {
		_, err := server.Exec(context.Background(), "alter database "+pgx.Identifier{name}.Sanitize()+" allow_connections "+yes)
		if err != nil {
			t.Errorf("allow_connections %s: %v", yes, err)
		}
	}
	away = func() {
		accept("false")
		if _, err := server.Exec(context.Background(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name); err != nil {
			t.Errorf("end all sessions: %v", err)
		}
	}
	return away, func() { accept("true") }
}
