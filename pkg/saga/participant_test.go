package saga_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

const testTables = `
create table orders (id text primary key, status text not null, noted int not null default 0, confirmed int not null default 0);
create table participant_op (
  idem_key text primary key, request_hash text not null,
  state text not null check (state in ('done', 'refused', 'undone', 'tombstone')), result text not null);
create table effect (idem_key text not null, delta int not null);
`

// participants are the services that the steps of test sagas call. They follow the rules of doc.go, and can be
// made to fail before and after they take effect.
type participants struct {
	pool *pgxpool.Pool

	mu            sync.Mutex
	before, after fault
	calls         map[string]int // by kind and step
	keys          map[string]map[string]bool
}

func newParticipants(pool *pgxpool.Pool) *participants {
	nothing := func(context.Context, string, string, *saga.Run) error { return nil }
	return &participants{
		pool:   pool,
		before: nothing,
		after:  nothing,
		calls:  map[string]int{},
		keys:   map[string]map[string]bool{},
	}
}

// fault is called before or after an operation ("do" or "undo") takes effect.
type fault = func(ctx context.Context, kind, step string, r *saga.Run) error

// misbehave sets the faults that are not nil.
func (p *participants) misbehave(before, after fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before != nil {
		p.before = before
	}
	if after != nil {
		p.after = after
	}
}

func (p *participants) called(kind, step string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[kind+" "+step]
}

func (p *participants) enter(kind, step, key string) (before, after fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[kind+" "+step]++
	if p.keys[step] == nil {
		p.keys[step] = map[string]bool{}
	}
	p.keys[step][key] = true
	return p.before, p.after
}

// do returns a Do that is idempotent by key, stores refusals, and refuses what was undone before.
func (p *participants) do(step string) func(context.Context, *saga.Run) error {
	return func(ctx context.Context, r *saga.Run) error {
		before, after := p.enter("do", step, r.Key())
		if err := before(ctx, "do", step, r); err != nil {
			return err
		}
		var in input
		if err := r.Input(&in); err != nil {
			return err
		}
		if in.Down == step {
			return errs.New(errs.Internal, "a bug")
		}
		ctx = context.WithoutCancel(ctx) // the request was sent and takes effect even if the caller is gone
		err := postgres.InTx(ctx, p.pool, func(tx pgx.Tx) error { return do(ctx, tx, r.Key(), in.Refuse == step) })
		if err != nil {
			return err
		}
		if err := after(ctx, "do", step, r); err != nil {
			return err
		}
		return r.Set(step, "done "+step)
	}
}

func do(ctx context.Context, tx pgx.Tx, key string, refuse bool) error {
	state := "done"
	if refuse {
		state = "refused"
	}
	tag, err := tx.Exec(
		ctx,
		`insert into participant_op (idem_key, request_hash, state, result) values ($1, '', $2, '') on conflict do nothing`,
		key,
		state,
	)
	if err != nil {
		return postgres.Err(err)
	}
	if tag.RowsAffected() == 0 {
		if err := tx.QueryRow(ctx, `select state from participant_op where idem_key = $1 for update`, key).
			Scan(&state); err != nil {
			return postgres.Err(err)
		}
	} else if state == "done" {
		if _, err := tx.Exec(ctx, `insert into effect (idem_key, delta) values ($1, 1)`, key); err != nil {
			return postgres.Err(err)
		}
	}
	switch state {
	case "done":
		return nil
	case "refused":
		if tag.RowsAffected() == 1 {
			return keep(ctx, tx, refusal())
		}
		return refusal()
	default:
		return errs.New(errs.Conflict, "it was undone before")
	}
}

// keep commits although the answer is a refusal, which must be stored.
func keep(ctx context.Context, tx pgx.Tx, refusal error) error {
	return errors.Join(tx.Commit(ctx), refusal)
}

func refusal() *errs.Error {
	e := errs.New(errs.OutOfStock, "there is no more of it").WithRetryAfter(1500e6)
	e.Fields = []errs.Field{{Path: "items[0].quantity", Message: "1 is left"}}
	return e
}

// undo returns an Undo that reverts the Do with its key, or leaves a tombstone.
func (p *participants) undo(step string) func(context.Context, *saga.Run) error {
	return func(ctx context.Context, r *saga.Run) error {
		before, after := p.enter("undo", step, r.Key())
		if err := before(ctx, "undo", step, r); err != nil {
			return err
		}
		ctx = context.WithoutCancel(ctx)
		err := postgres.InTx(ctx, p.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(
				ctx,
				`insert into participant_op (idem_key, request_hash, state, result) values ($1, '', 'tombstone', '') on conflict do nothing`,
				r.Key(),
			); err != nil {
				return postgres.Err(err)
			}
			tag, err := tx.Exec(ctx,
				`update participant_op set state = 'undone' where idem_key = $1 and state = 'done'`, r.Key())
			if err == nil && tag.RowsAffected() == 1 {
				_, err = tx.Exec(ctx, `insert into effect (idem_key, delta) values ($1, -1)`, r.Key())
			}
			return postgres.Err(err)
		})
		if err != nil {
			return err
		}
		return after(ctx, "undo", step, r)
	}
}

// checkout returns a definition with all kinds of steps, like that of a real checkout.
func (p *participants) checkout(typ string) saga.Definition {
	return saga.Definition{Type: typ, Version: 1, Deadline: time.Hour, Steps: []saga.Step{
		{Name: "reserve", Do: p.do("reserve"), Undo: p.undo("reserve")},
		{Name: "note", Batch: orders(`noted = noted + 1`), UndoBatch: orders(`noted = noted - 1`)},
		{Name: "redeem", Do: p.do("redeem"), Undo: p.undo("redeem")},
		{Name: "authorize", Do: p.do("authorize"), Undo: p.undo("authorize")},
		{Name: "confirm", Pivot: true, Batch: orders(`status = 'confirmed', confirmed = confirmed + 1`)},
		{Name: "capture", Do: p.do("capture")},
		{Name: "commit", Do: p.do("commit")},
	}}
}

// remote returns a definition whose pivot is a call.
func (p *participants) remote(typ string) saga.Definition {
	return saga.Definition{Type: typ, Version: 1, Deadline: time.Hour, Steps: []saga.Step{
		{Name: "reserve", Do: p.do("reserve"), Undo: p.undo("reserve")},
		{Name: "confirm", Pivot: true, Do: p.do("confirm"), Undo: p.undo("confirm")},
		{Name: "commit", Do: p.do("commit")},
	}}
}

func orders(set string) func(*saga.Run, *pgx.Batch) error {
	return func(r *saga.Run, b *pgx.Batch) error {
		var in input
		if err := r.Input(&in); err != nil {
			return err
		}
		b.Queue(`update orders set `+set+` where id = $1`, r.ID())
		b.Queue(`select souk_saga_require($1, 'conflict', 'it was cancelled meanwhile')`,
			in.Refuse != "confirm" || set[0] == 'n')
		return nil
	}
}

// verify checks that each saga took effect either completely or not at all, and that nothing took effect twice.
func (h *harness) verify(t testing.TB, ids ...string) {
	t.Helper()
	for _, id := range ids {
		s, err := saga.Show(t.Context(), h.pool, id)
		require.NoError(t, err)
		require.Contains(t, []saga.State{saga.Done, saga.Compensated}, s.State, "saga %s has not ended: %s", id,
			s.LastError)
		want := 0
		if s.State == saga.Done {
			want = 1
		}
		for _, step := range h.def.Steps {
			if step.Do == nil {
				continue
			}
			var net, done int
			require.NoError(t, h.pool.QueryRow(t.Context(),
				`select coalesce(sum(delta), 0), count(*) filter (where delta > 0) from effect where idem_key = $1`,
				id+"/"+step.Name).Scan(&net, &done))
			require.Equal(t, want, net, "effect of %s in saga %s (%s)", step.Name, id, s.State)
			require.LessOrEqual(t, done, 1, "%s took effect twice in saga %s", step.Name, id)
		}
		if h.def.Steps[1].Pivot {
			continue
		}
		var status string
		var noted, confirmed int
		require.NoError(
			t,
			h.pool.QueryRow(t.Context(), `select status, noted, confirmed from orders where id = $1`, id).
				Scan(&status, &noted, &confirmed),
		)
		require.Equal(t, fmt.Sprint(want, want), fmt.Sprint(noted, confirmed), "own writes of saga %s (%s)", id,
			s.State)
	}
}
