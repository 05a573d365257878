package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// ReplicaPoll is how often [Replica.Poll] should be called.
	ReplicaPoll = time.Second
	// replicaTimeout is how long a read waits for the replica before it runs on the primary.
	replicaTimeout = 2 * time.Second
	// pollTimeout bounds each of a poll's two round trips, and an attempt to connect to the replica.
	pollTimeout = time.Second
	// recheckAfter is how long a connection's position in the log is used before it is read again.
	recheckAfter = time.Second
	// marksKept is how many positions of the primary are kept: enough for the longest bound.
	marksKept = 120
)

// The bounds of [ReplicaConfig.MaxStaleness].
const (
	MinStaleness = 3 * time.Second
	MaxStaleness = time.Minute
)

// The sources of a read by [Replica.Read]. All but ServedReplica are reads of the primary.
const (
	ServedReplica = "replica"
	ServedBehind  = "primary_behind"  // the replica is too far behind
	ServedMissing = "primary_missing" // the replica does not have the row (yet)
	ServedFailed  = "primary_failed"  // the replica is down, or cancelled the query
)

var errBehind = errors.New("the replica is too far behind its primary")

// ReplicaConfig configures a [Replica].
type ReplicaConfig struct {
	// Config is that of the pool. Its URL may lead to several replicas, such as a Kubernetes service, but not to a
	// pooler: what is known about a connection must hold for its queries.
	Config
	// MaxStaleness is how old the state that a read sees may be; from MinStaleness to MaxStaleness.
	MaxStaleness time.Duration
	// Served is called after each read with its source, one of the constants. It may be nil.
	Served func(source string)
}

// Replica serves reads that may be out of date by a bounded time: from a streaming replica, or from the primary while
// the replica is down or too far behind.
//
// A poll notes the position of the primary's log and the time. A connection to the replica whose server has replayed
// the log up to that position sees everything that was committed before that time, so it is used for MaxStaleness from
// then on. This needs neither rights nor synchronous clocks, and a replica that has lost its primary is not taken for
// one that is up to date: it does not reach the later positions. A server that is not a replica is not used.
type Replica struct {
	primary, pool *pgxpool.Pool
	bound         time.Duration
	served        func(string)

	down    atomic.Bool
	reached atomic.Pointer[time.Time] // by the connection that was checked last

	mu    sync.Mutex
	marks []mark // oldest first
}

// mark is a position of the primary's log. Everything that was committed before the time has a smaller one.
type mark struct {
	at       time.Time
	position int64
}

// position is what is known about a connection's server.
type position struct {
	checked time.Time
	reached time.Time // the server has everything that was committed before
}

const positionKey = "souk.position"

// OpenReplica opens a pool of connections to a primary's replica. The replica may be down. The caller must call
// [Replica.Poll] every [ReplicaPoll], and close the Replica. Until the first poll, reads run on the primary.
//
// Errors: invalid_argument (the configuration is invalid).
func OpenReplica(ctx context.Context, primary *pgxpool.Pool, cfg ReplicaConfig) (*Replica, error) {
	pc, err := cfg.pool()
	if err != nil {
		return nil, err
	}
	r := &Replica{primary: primary, bound: cfg.MaxStaleness, served: cfg.Served}
	now := time.Now()
	r.reached.Store(&now)
	pc.ConnConfig.ConnectTimeout = or(cfg.ConnectTimeout, pollTimeout)
	register := pc.AfterConnect
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		conn.PgConn().CustomData()[positionKey] = &position{}
		return register(ctx, conn)
	}
	fresh := pc.PrepareConn
	pc.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		if fresh != nil {
			if keep, err := fresh(ctx, conn); !keep || err != nil {
				return keep, err
			}
		}
		return r.prepare(ctx, conn)
	}
	if r.pool, err = newPool(ctx, pc); err != nil {
		return nil, err
	}
	return r, nil
}

// Bound returns how old the state that a read sees may be.
func (r *Replica) Bound() time.Duration { return r.bound }

// Lag returns the age of the newest state that the replica is known to have. It is measured by polls, so it is between
// 0 and 2 s if the replica keeps up, and grows while the replica is down.
func (r *Replica) Lag() time.Duration { return time.Since(*r.reached.Load()) }

// Stat returns the state of the pool of connections to the replica.
func (r *Replica) Stat() *pgxpool.Stat { return r.pool.Stat() }

// Close closes the connections to the replica.
func (r *Replica) Close() { r.pool.Close() }

// Read runs a read that may be out of date on the replica. If the replica is down or too far behind, or if read fails
// there, it runs on the primary at once. So read must be able to run twice, must only read, and must use the context
// and the pool that it gets. A row that the replica lacks is also looked for on the primary.
//
// Errors: those of read.
func (r *Replica) Read(ctx context.Context, read func(context.Context, *pgxpool.Pool) error) error {
	source, err := ServedFailed, error(nil)
	if !r.down.Load() {
		if source, err = r.try(ctx, read); err == nil || ctx.Err() != nil {
			return err
		}
	}
	r.count(source)
	return read(ctx, r.primary)
}

// try runs read on the replica. If it fails, it returns why the primary is to be read.
func (r *Replica) try(ctx context.Context, read func(context.Context, *pgxpool.Pool) error) (string, error) {
	attempt, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	err := read(attempt, r.pool)
	switch {
	case err == nil:
		r.count(ServedReplica)
		return ServedReplica, nil
	case errors.Is(err, errBehind):
		return ServedBehind, err
	case errors.Is(err, pgx.ErrNoRows):
		return ServedMissing, err
	case ctx.Err() == nil && (attempt.Err() != nil || isDown(err) && !isConflict(err)):
		r.down.Store(true) // until the next poll finds that it answers
	}
	return ServedFailed, err
}

func (r *Replica) count(source string) {
	if r.served != nil {
		r.served(source)
	}
}

// Poll notes the primary's position and checks whether the replica answers. While Poll fails, reads run on the primary.
//
// Errors: unavailable, timeout (one of both does not answer), and one that says that the replica is too far behind.
func (r *Replica) Poll(ctx context.Context) error {
	err := r.poll(ctx, func(ctx context.Context) error {
		var p int64
		at := time.Now()
		err := r.primary.QueryRow(ctx, `select (pg_current_wal_lsn() - '0/0')::bigint`).Scan(&p)
		if err == nil {
			r.note(mark{at, p})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("primary: %w", Err(err))
	}
	err = r.poll(ctx, r.pool.Ping)
	if errors.Is(err, errBehind) { // it answers
		r.down.Store(false)
		if r.Lag() < r.bound { // at the start
			return nil
		}
		return err
	}
	r.down.Store(err != nil)
	if err != nil {
		return fmt.Errorf("replica: %w", Err(err))
	}
	return nil
}

func (r *Replica) poll(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	return f(ctx)
}

func (r *Replica) note(m mark) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.marks); n > 0 && m.position < r.marks[n-1].position {
		r.marks = nil // another primary, whose log does not have these positions
	}
	if len(r.marks) == marksKept {
		r.marks = append(r.marks[:0], r.marks[1:]...)
	}
	r.marks = append(r.marks, m)
}

// passed returns the time of the last mark that a server at position has passed; the zero time: none.
func (r *Replica) passed(position int64) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := len(r.marks) - 1; i >= 0; i-- {
		if r.marks[i].position <= position {
			return r.marks[i].at
		}
	}
	return time.Time{}
}

// prepare returns an error if the server of a connection to the replica is too far behind. It asks the server at most
// once in recheckAfter.
func (r *Replica) prepare(ctx context.Context, conn *pgx.Conn) (keep bool, err error) {
	known, ok := conn.PgConn().CustomData()[positionKey].(*position)
	if !ok {
		return false, errors.New("a connection of another pool")
	}
	now := time.Now()
	if now.Sub(known.checked) >= recheckAfter {
		var replayed *int64
		const sql = `select case when pg_is_in_recovery() then (pg_last_wal_replay_lsn() - '0/0')::bigint end`
		if err := conn.QueryRow(ctx, sql).Scan(&replayed); err != nil {
			return false, err
		}
		known.checked, known.reached = now, time.Time{}
		if replayed != nil {
			known.reached = r.passed(*replayed)
		}
		if !known.reached.IsZero() {
			r.reached.Store(&known.reached)
		}
	}
	if now.Sub(known.reached) >= r.bound {
		return true, errBehind
	}
	return true, nil
}
