package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

// replicated is a primary, a replica, and how they were read.
type replicated struct {
	*pgtest.Replicated
	t       *testing.T
	primary *pgxpool.Pool
	replica *postgres.Replica

	mu     sync.Mutex
	source string // of the last read
}

func setupReplica(t *testing.T) *replicated {
	t.Helper()
	r := &replicated{Replicated: pgtest.NewReplicated(t, schema()), t: t}
	var err error
	r.primary, err = postgres.Open(t.Context(), postgres.Config{URL: r.Primary})
	require.NoError(t, err)
	t.Cleanup(r.primary.Close)
	r.replica, err = postgres.OpenReplica(t.Context(), r.primary, postgres.ReplicaConfig{
		Config: postgres.Config{URL: r.Replica}, MaxStaleness: postgres.MinStaleness,
		Served: func(source string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.source = source
		},
	})
	require.NoError(t, err)
	t.Cleanup(r.replica.Close)
	return r
}

// stock reads how many pieces there are, and from where.
func (r *replicated) stock(sku string) (n int64, source string, err error) {
	err = r.replica.Read(r.t.Context(), func(ctx context.Context, db *pgxpool.Pool) error {
		return db.QueryRow(ctx, `select n from stock where sku = $1`, sku).Scan(&n)
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	return n, r.source, err
}

func (r *replicated) write(sql string) {
	r.t.Helper()
	_, err := r.primary.Exec(r.t.Context(), sql)
	require.NoError(r.t, err)
}

// servedBy polls until the source serves reads, and returns what the read that it served saw.
func (r *replicated) servedBy(source string) (n int64) {
	r.t.Helper()
	waittest.Until(r.t, func() bool {
		_ = r.replica.Poll(r.t.Context()) // an error is what some callers wait for
		got, by, err := r.stock("a")
		require.NoError(r.t, err)
		n = got
		return by == source
	}, "reads are not served by %s", source)
	return n
}

func TestReadsRunOnPrimaryWhileReplicaIsBehind(t *testing.T) {
	t.Parallel()
	r := setupReplica(t)
	_, source, err := r.stock("a")
	require.NoError(t, err)
	require.Equal(t, postgres.ServedBehind, source, "nothing is known yet")
	require.EqualValues(t, 10, r.servedBy(postgres.ServedReplica))

	r.OnReplica(`select pg_wal_replay_pause()`)
	r.write(`update stock set n = 9 where sku = 'a'`)
	r.write(`insert into stock (sku, n) values ('c', 3)`)
	committed := time.Now()
	n, source, err := r.stock("c")
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.Equal(t, postgres.ServedMissing, source, "what the replica does not have yet is looked for on the primary")
	n, source, err = r.stock("a")
	require.NoError(t, err)
	require.Equal(t, postgres.ServedReplica, source)
	require.EqualValues(t, 10, n, "within the bound, a read may be out of date")

	waittest.Until(t, func() bool {
		_ = r.replica.Poll(t.Context())
		late := time.Since(committed) >= postgres.MinStaleness
		n, _, err := r.stock("a")
		require.NoError(t, err)
		require.True(t, n == 9 || !late, "a read saw what was replaced before the bound")
		return late
	}, "time does not pass")
	require.EqualValues(t, 9, r.servedBy(postgres.ServedBehind))
	require.Greater(t, r.replica.Lag(), postgres.MinStaleness)
	require.ErrorContains(t, r.replica.Poll(t.Context()), "too far behind")

	r.OnReplica(`select pg_wal_replay_resume()`)
	require.EqualValues(t, 9, r.servedBy(postgres.ServedReplica))
	require.NoError(t, r.replica.Poll(t.Context()))
	require.Less(t, r.replica.Lag(), postgres.MinStaleness)
}

func TestNoReadFailsWhenReplicaStops(t *testing.T) {
	t.Parallel()
	r := setupReplica(t)
	r.servedBy(postgres.ServedReplica)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, _, err := r.stock("a"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	r.StopReplica()
	r.servedBy(postgres.ServedFailed)
	close(stop)
	wg.Wait()
	require.True(t, errs.Is(r.replica.Poll(t.Context()), errs.Unavailable))
}

func TestReadThatReplicaCancelsRunsOnPrimary(t *testing.T) {
	t.Parallel()
	r := setupReplica(t)
	r.OnReplica(`alter system set max_standby_streaming_delay = 0`)
	r.OnReplica(`select pg_reload_conf()`)
	r.servedBy(postgres.ServedReplica)
	var n int64
	var failures []error
	done := make(chan error, 1)
	go func() {
		done <- r.replica.Read(t.Context(), func(ctx context.Context, db *pgxpool.Pool) error {
			const sql = `select n, case when pg_is_in_recovery() then pg_sleep(60) end is null from stock where sku = 'a'`
			var slept bool
			err := db.QueryRow(ctx, sql).Scan(&n, &slept)
			failures = append(failures, err)
			return err
		})
	}()
	replica, err := pgx.Connect(t.Context(), r.Replica)
	require.NoError(t, err)
	defer func() { require.NoError(t, replica.Close(context.Background())) }()
	waittest.Until(t, func() bool {
		var sleeps bool
		const sql = `select exists (select from pg_stat_activity where wait_event = 'PgSleep')`
		require.NoError(t, replica.QueryRow(t.Context(), sql).Scan(&sleeps))
		return sleeps
	}, "the query does not run")
	r.write(`alter table stock add column note text`)
	require.NoError(t, waittest.Receive(t, done))
	require.EqualValues(t, 10, n)
	require.Len(t, failures, 2)
	var cancelled *pgconn.PgError
	require.True(t, errors.As(failures[0], &cancelled), "%v", failures[0])
	require.Equal(t, "40001", cancelled.Code)
	_, source, err := r.stock("a")
	require.NoError(t, err)
	require.Equal(t, postgres.ServedReplica, source, "the replica is not down")
}

func TestPromotedReplicaIsNotRead(t *testing.T) {
	t.Parallel()
	r := setupReplica(t)
	r.servedBy(postgres.ServedReplica)
	r.OnReplica(`select pg_promote()`)
	r.OnReplica(`update stock set n = 1 where sku = 'a'`)
	require.EqualValues(t, 10, r.servedBy(postgres.ServedBehind))
}

func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := setupReplica(t)
	r.servedBy(postgres.ServedReplica)
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := r.replica.Read(ctx, func(ctx context.Context, _ *pgxpool.Pool) error {
		runs++
		cancel()
		return ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, runs)
	_, source, err := r.stock("a")
	require.NoError(t, err)
	require.Equal(t, postgres.ServedReplica, source)
}
