package saga

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/postgres"
)

var (
	// errLost means that the saga has another owner.
	errLost = errors.New("the saga has another owner")
	// errDone means that the same write took effect before. The answer of that attempt was lost.
	errDone = errors.New("the step was done by an earlier attempt")
)

// write is one change of a saga's row. It shares no state with the saga, because it may be sent after the saga was
// given up.
type write struct {
	id    string
	epoch int64
	// from is the state that the row must have. low and high bound the step that it must be at.
	from      State
	low, high int

	state      State
	parkedFrom State
	step       int
	results    map[string]json.RawMessage
	attempts   int
	lastError  string
	cause      *errs.Error
	// release gives up the lease. The saga may be claimed after delay.
	release bool
	delay   time.Duration

	history []record
	// batch holds the step's writes, for the same transaction. It may be nil.
	batch *pgx.Batch
}

// record is one line of a saga's history, as stored in saga_story.
type record struct {
	N        int       `json:"n"`
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Attempts int       `json:"attempts"`
	Code     string    `json:"code,omitempty"`
	Err      string    `json:"error,omitempty"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
}

// store gives one runner access to the database.
type store struct {
	pool  *pgxpool.Pool
	owner string

	plainWrites *batch.Batcher[*write, bool]
	stepWrites  *batch.Batcher[*write, bool]
	lookups     *batch.Batcher[string, *stored]
}

// queryTimeout bounds one query. A write that takes longer has probably lost its lease.
const queryTimeout = 5 * time.Second

func newStore(pool *pgxpool.Pool, owner string) *store {
	s := &store{pool: pool, owner: owner}
	// One flush at a time makes the largest batches. Pivots get a second one, so that a batch that waits for a lock
	// does not stop all of them.
	s.plainWrites = batch.New(256, s.writeMany, batch.WithFlushTimeout(queryTimeout))
	s.stepWrites = batch.New(64, s.writeBatched, batch.WithFlushTimeout(queryTimeout), batch.WithParallel(2))
	s.lookups = batch.New(256, s.lookupMany, batch.WithFlushTimeout(queryTimeout))
	return s
}

func (s *store) close() {
	s.plainWrites.Close()
	s.stepWrites.Close()
	s.lookups.Close()
}

// write sends w in a batch with other writes that wait. It returns errLost, errDone (only if w has a batch), the
// refusal of a step's batch, or an error whose outcome is unknown.
func (s *store) write(ctx context.Context, w *write) error {
	batcher := s.plainWrites
	if w.batch != nil {
		batcher = s.stepWrites
	}
	done, err := batcher.Submit(ctx, w)
	if err == nil && !done {
		err = errLost
	}
	return err
}

func (s *store) writeMany(ctx context.Context, ws []*write) ([]batch.Result[bool], error) {
	sql, args, err := s.statement(ws, sqlWritePlain, sqlWriteFull)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, postgres.Err(err)
	}
	type owned struct {
		ID    string
		Epoch int64
	}
	done, err := pgx.CollectRows(rows, pgx.RowToStructByPos[owned])
	if err != nil {
		return nil, postgres.Err(err)
	}
	// By epoch, too: two owners of one saga may write in one flush, and only one of them still owns it.
	written := make(map[owned]bool, len(done))
	for _, d := range done {
		written[d] = true
	}
	results := make([]batch.Result[bool], len(ws))
	for i, w := range ws {
		results[i].Value = written[owned{w.id, w.epoch}]
	}
	return results, nil
}

// writeBatched sends the batches of several sagas in one transaction. If PostgreSQL refuses it, each batch is sent
// alone, so that a saga that lost its lease or is refused does not affect the others.
func (s *store) writeBatched(ctx context.Context, ws []*write) ([]batch.Result[bool], error) {
	results := make([]batch.Result[bool], len(ws))
	err := s.sendBatched(ctx, ws)
	var refused *pgconn.PgError
	if err == nil || len(ws) == 1 || !errors.As(err, &refused) {
		for i := range results {
			results[i] = batch.Result[bool]{Value: true, Err: fromSQLState(err)}
		}
		return results, nil
	}
	for i := range ws {
		results[i] = batch.Result[bool]{Value: true, Err: fromSQLState(s.sendBatched(ctx, ws[i:i+1]))}
	}
	return results, nil
}

func (s *store) sendBatched(ctx context.Context, ws []*write) error {
	sql, args, err := s.statement(ws, sqlWriteAllPlain, sqlWriteAllFull)
	if err != nil {
		return err
	}
	var b pgx.Batch
	b.Queue(sql, args...)
	for _, w := range ws {
		postgres.Join(&b, w.batch)
	}
	return postgres.SendBatch(ctx, s.pool, &b)
}

// Err gives the refusal of a souk_saga_require its code. It is for a batch that starts a saga ([Runner.Start]); the
// runner itself does this for the batches of steps.
func Err(err error) error { return fromSQLState(err) }

// fromSQLState maps the errors that the functions of the migrations raise.
func fromSQLState(err error) error {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return err
	}
	switch pgErr.Code {
	case stateLost:
		return errLost
	case stateDone:
		return errDone
	case stateRefused:
		return errs.Wrap(err, errs.Code(pgErr.Detail), "%s", pgErr.Message)
	default:
		return err
	}
}

// plain reports whether the write records no failure and keeps the lease.
func (w *write) plain() bool {
	return w.cause == nil && w.attempts == 0 && w.lastError == "" && w.parkedFrom == "" && !w.release
}

// deferred reports whether the write leaves the history to a later write. The history of a saga without failures
// is thus one row. A process that dies or loses the saga loses the deferred part. That is acceptable: the history
// is for people, and the trace has the same information.
func (w *write) deferred() bool {
	return w.state == Running && w.plain() &&
		!slices.ContainsFunc(w.history, func(r record) bool { return r.State != "done" || r.Attempts > 1 })
}

// statement chooses between two statements that write ws, and returns it with its arguments.
func (s *store) statement(ws []*write, plain, full string) (sql string, args []any, err error) {
	var progress, failures postgres.Rows
	sql = plain
	for _, w := range ws {
		if !w.plain() {
			sql = full
		}
		results, history := "{}", ""
		if len(w.results) > 0 {
			if results, err = encode(w.results); err != nil {
				return "", nil, err
			}
		}
		if len(w.history) > 0 && !w.deferred() {
			if history, err = encode(w.history); err != nil {
				return "", nil, err
			}
		}
		high := min(w.high, math.MaxInt32)
		progress.Add(w.id, w.epoch, string(w.from), w.low, high, string(w.state), w.step, results, history)
	}
	args = append([]any{s.owner}, progress.Args()...)
	if sql == plain {
		return sql, args, nil
	}
	for _, w := range ws {
		var code, message string
		var retry int64
		var fields *string
		if c := w.cause; c != nil {
			code, message, retry = string(c.Code), clean(c.Message), c.RetryAfter.Milliseconds()
			if len(c.Fields) > 0 {
				text, err := encode(c.Fields)
				if err != nil {
					return "", nil, err
				}
				fields = &text
			}
		}
		var delay *float64
		if w.release {
			d := w.delay.Seconds()
			delay = &d
		}
		failures.Add(string(w.parkedFrom), w.attempts, clean(w.lastError), code, message, retry, fields, delay)
	}
	return sql, append(args, failures.Args()...), nil
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", errs.Wrap(err, errs.Internal, "the saga's progress cannot be kept")
	}
	return string(b), nil
}

// renew renews the leases of the sagas and returns the IDs of those that are still held.
func (s *store) renew(ctx context.Context, ids []string, epochs []int64, lease time.Duration) (map[string]bool, error) {
	rows, err := s.pool.Query(ctx, sqlRenew, s.owner, ids, epochs, lease.Seconds())
	if err != nil {
		return nil, postgres.Err(err)
	}
	kept, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, postgres.Err(err)
	}
	m := make(map[string]bool, len(kept))
	for _, id := range kept {
		m[id] = true
	}
	return m, nil
}

// stored is a saga as stored in the database.
type stored struct {
	id, typ   string
	version   int
	input     json.RawMessage
	results   map[string]json.RawMessage
	state     State
	parked    State
	step      int
	epoch     int64
	left      time.Duration
	attempts  int
	lastError string
	cause     *errs.Error
	parent    string
}

func scanHeld(row pgx.CollectableRow) (*stored, error) {
	var (
		s       stored
		results []byte
		e       storedError
		left    float64
	)
	err := row.Scan(&s.id, &s.typ, &s.version, (*[]byte)(&s.input), &results, &s.state, &s.step, &s.epoch,
		&left, &s.attempts, &s.lastError, &e.code, &e.message, &e.retryMs, &e.fields, &s.parent)
	if err != nil {
		return nil, err
	}
	s.left = time.Duration(left * float64(time.Second))
	return s.with(results, e)
}

// storedError is an *errs.Error as stored in columns.
type storedError struct {
	code, message string
	retryMs       int64
	fields        []byte
}

func (s *stored) with(results []byte, e storedError) (*stored, error) {
	if err := json.Unmarshal(results, &s.results); err != nil {
		return nil, errs.Wrap(err, errs.Internal, "the saga's results cannot be read")
	}
	if e.code == "" {
		return s, nil
	}
	s.cause = &errs.Error{
		Code:       errs.Code(e.code),
		Message:    e.message,
		RetryAfter: time.Duration(e.retryMs) * time.Millisecond,
	}
	if len(e.fields) > 0 {
		if err := json.Unmarshal(e.fields, &s.cause.Fields); err != nil {
			return nil, errs.Wrap(err, errs.Internal, "the saga's error cannot be read")
		}
	}
	return s, nil
}

// claim runs one of the statements that claim sagas.
func (s *store) claim(ctx context.Context, sql string, args ...any) ([]*stored, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, postgres.Err(err)
	}
	claimed, err := pgx.CollectRows(rows, scanHeld)
	return claimed, postgres.Err(err)
}

// lookup reads a saga's outcome columns. It returns nil if the saga does not exist.
func (s *store) lookup(ctx context.Context, id string) (*stored, error) {
	return s.lookups.Submit(ctx, id)
}

func (s *store) lookupMany(ctx context.Context, ids []string) ([]batch.Result[*stored], error) {
	rows, err := s.pool.Query(ctx, sqlOutcomes, ids)
	if err != nil {
		return nil, postgres.Err(err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*stored, error) {
		var (
			s       stored
			results []byte
			e       storedError
		)
		err := row.Scan(&s.id, &s.typ, &s.version, &results, &s.state, &s.parked, &s.step, &e.code, &e.message,
			&e.retryMs, &e.fields)
		if err != nil {
			return nil, err
		}
		return s.with(results, e)
	})
	if err != nil {
		return nil, postgres.Err(err)
	}
	byID := make(map[string]*stored, len(found))
	for _, f := range found {
		byID[f.id] = f
	}
	out := make([]batch.Result[*stored], len(ids))
	for i, id := range ids {
		out[i].Value = byID[id]
	}
	return out, nil
}

func stepKey(id, step string) string { return id + "/" + step }

// clean returns s as valid text for a text column, cut to 2,000 characters.
func clean(s string) string {
	const most = 2000
	b := make([]rune, 0, min(len(s), most))
	for _, r := range s { // invalid UTF-8 comes out as U+FFFD
		if len(b) == most {
			break
		}
		if r != 0 {
			b = append(b, r)
		}
	}
	return string(b)
}
