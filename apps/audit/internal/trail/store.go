// Package trail keeps the audit trail in PostgreSQL.
package trail

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	auditv1 "souk/gen/go/souk/audit/v1"
	"souk/pkg/audit"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// DB is the pool of a database.
type DB interface {
	postgres.Querier
	postgres.Beginner
	BeginTx(ctx context.Context, o pgx.TxOptions) (pgx.Tx, error)
}

// Store is the trail in PostgreSQL.
type Store struct{ pool DB }

// NewStore returns the store.
func NewStore(pool DB) *Store { return &Store{pool: pool} }

const sqlLock = `select seq, hash from chain for update`

const sqlInsert = `
with added as (
    insert into entry (seq, at, actor_kind, actor_id, roles, permission, method, action, object, result, address,
        request_id, hash)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    returning seq, hash)
update chain set seq = added.seq, hash = added.hash from added`

// Record appends the entry of an event to the chain.
//
// Errors: invalid_argument (it is about another service than the one that sent it), those of [event.Event.Decode] and
// [postgres.Err].
func (s *Store) Record(ctx context.Context, tx pgx.Tx, e event.Event) error {
	var r auditv1.Recorded
	if err := e.Decode(&r); err != nil {
		return err
	}
	if service, _, _ := strings.Cut(r.GetMethod(), "."); audit.SubjectRecorded(service) != e.Subject {
		return errs.New(errs.Invalid, "an entry about %s came as %s", r.GetMethod(), e.Subject)
	}
	var last audit.Position
	if err := tx.QueryRow(ctx, sqlLock).Scan(&last.Seq, &last.Hash); err != nil {
		return postgres.Err(err)
	}
	n := last.Next(&r, e.Time)
	roles := n.GetRoles()
	if roles == nil {
		roles = []string{}
	}
	_, err := tx.Exec(ctx, sqlInsert, n.Seq, n.At, n.GetActorKind(), n.GetActorId(), roles, n.GetPermission(),
		n.GetMethod(), n.GetAction(), n.GetObject(), n.GetResult(), n.GetAddress(), n.GetRequestId(), n.Hash)
	return postgres.Err(err)
}

// Filter selects entries. Empty fields select all.
type Filter struct {
	ActorID, Object string
	// Action selects one action, and those that begin with it and a dot.
	Action   string
	From, To time.Time
}

const columns = `seq, at, actor_kind, actor_id, roles, permission, method, action, object, result, address, request_id, hash`

const sqlList = `
select ` + columns + ` from entry
where seq < $1 and ($2 = '' or actor_id = $2) and ($3 = '' or object = $3)
  and ($4 = '' or action = $4 or starts_with(action, $4 || '.')) and at >= $5 and at < $6
order by seq desc
limit $7`

// endOfTime is later than every entry.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// List returns at most limit entries before a number, the newest first.
//
// Errors: those of [postgres.Err].
func (s *Store) List(ctx context.Context, f Filter, before int64, limit int) ([]audit.Entry, error) {
	if f.To.IsZero() {
		f.To = endOfTime
	}
	rows, err := s.pool.Query(ctx, sqlList, before, f.ActorID, f.Object, f.Action, f.From, f.To, limit)
	if err != nil {
		return nil, postgres.Err(err)
	}
	entries, err := pgx.CollectRows(rows, scan)
	return entries, postgres.Err(err)
}

const sqlAfter = `
select ` + columns + ` from entry where seq > $1 and at >= $2 and at < $3 order by seq limit $4`

// After returns at most limit entries behind a number that were made from one time on and before another, the oldest
// first. A zero time is no bound.
//
// Errors: those of [postgres.Err].
func (s *Store) After(ctx context.Context, seq int64, from, to time.Time, limit int) ([]audit.Entry, error) {
	if to.IsZero() {
		to = endOfTime
	}
	rows, err := s.pool.Query(ctx, sqlAfter, seq, from, to, limit)
	if err != nil {
		return nil, postgres.Err(err)
	}
	entries, err := pgx.CollectRows(rows, scan)
	return entries, postgres.Err(err)
}

func scan(row pgx.CollectableRow) (audit.Entry, error) {
	e := audit.Entry{Recorded: &auditv1.Recorded{}}
	r := e.Recorded
	err := row.Scan(&e.Seq, &e.At, &r.ActorKind, &r.ActorId, &r.Roles, &r.Permission, &r.Method, &r.Action, &r.Object,
		&r.Result, &r.Address, &r.RequestId, &e.Hash)
	return e, err
}

const sqlChain = `select seq, hash, base_seq, base_hash from chain`

// chain is where the trail begins and ends.
type chain struct{ base, last audit.Position }

func readChain(ctx context.Context, db postgres.Querier, lock string) (c chain, err error) {
	err = db.QueryRow(ctx, sqlChain+lock).Scan(&c.last.Seq, &c.last.Hash, &c.base.Seq, &c.base.Hash)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("%w: the table chain is empty", audit.ErrAltered)
	}
	return c, postgres.Err(err)
}

const sqlAll = `select ` + columns + ` from entry where seq > $1 order by seq`

const sqlCheckpoints = `select seq, hash, at, signature from checkpoint order by seq`

// Check reads the whole trail in one snapshot, and checks each entry, the checkpoints in the database and the given
// ones, which were kept elsewhere. It returns the last position.
//
// Errors: [audit.ErrAltered], those of [postgres.Err].
func (s *Store) Check(
	ctx context.Context,
	key ed25519.PublicKey,
	kept []audit.Checkpoint,
) (last audit.Position, err error) {
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return last, postgres.Err(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it has changed nothing
	c, err := readChain(ctx, tx, "")
	if err != nil {
		return last, err
	}
	signed, err := checkpoints(ctx, tx)
	if err != nil {
		return last, err
	}
	marks := map[int64][]byte{} // hashes by number
	for _, k := range append(signed, kept...) {
		if err := k.Verify(key); err != nil {
			return last, err
		}
		if known, ok := marks[k.Seq]; ok && string(known) != string(k.Hash) {
			return last, fmt.Errorf("%w: two checkpoints of entry %d differ", audit.ErrAltered, k.Seq)
		}
		marks[k.Seq] = k.Hash
		if k.Seq > c.last.Seq {
			return last, fmt.Errorf(
				"%w: entry %d was signed, and the last one is %d",
				audit.ErrAltered,
				k.Seq,
				c.last.Seq,
			)
		}
	}
	if hash, ok := marks[c.base.Seq]; c.base.Seq > 0 && (!ok || string(hash) != string(c.base.Hash)) {
		return last, fmt.Errorf(
			"%w: no checkpoint covers the removal of entries up to %d",
			audit.ErrAltered,
			c.base.Seq,
		)
	}
	rows, err := tx.Query(ctx, sqlAll, c.base.Seq)
	if err != nil {
		return last, postgres.Err(err)
	}
	defer rows.Close()
	for last = c.base; rows.Next(); {
		e, err := scan(rows)
		if err != nil {
			return last, postgres.Err(err)
		}
		if last, err = last.Check(e); err != nil {
			return last, err
		}
		if hash, ok := marks[e.Seq]; ok && string(hash) != string(e.Hash) {
			return last, fmt.Errorf("%w: entry %d is not the one that was signed", audit.ErrAltered, e.Seq)
		}
	}
	if err := rows.Err(); err != nil {
		return last, postgres.Err(err)
	}
	if last.Seq != c.last.Seq || string(last.Hash) != string(c.last.Hash) {
		return last, fmt.Errorf("%w: entries after %d are missing", audit.ErrAltered, last.Seq)
	}
	return last, nil
}

func checkpoints(ctx context.Context, db postgres.Querier) ([]audit.Checkpoint, error) {
	rows, err := db.Query(ctx, sqlCheckpoints)
	if err != nil {
		return nil, postgres.Err(err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c audit.Checkpoint, err error) {
		return c, row.Scan(&c.Seq, &c.Hash, &c.At, &c.Signature)
	})
	return out, postgres.Err(err)
}

const sqlSaveCheckpoint = `
insert into checkpoint (seq, hash, at, signature) values ($1, $2, $3, $4) on conflict (seq) do nothing`

// Of the checkpoints of a day, the last one stays when they are two days old. That of the base stays.
const sqlPruneCheckpoints = `
delete from checkpoint c using chain
where c.at < $1 and c.seq <> chain.base_seq
  and exists (select from checkpoint d where d.seq > c.seq and date_trunc('day', d.at) = date_trunc('day', c.at))`

const checkpointsKept = 48 * time.Hour

// Sign signs the last position, if no checkpoint has it, and appends an event of it to the outbox. New is false if
// nothing was to sign.
//
// Errors: those of [postgres.Err].
func (s *Store) Sign(
	ctx context.Context,
	key ed25519.PrivateKey,
	now time.Time,
) (k audit.Checkpoint, isNew bool, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		c, err := readChain(ctx, tx, " for update")
		if err != nil || c.last.Seq == 0 {
			return err
		}
		k = audit.Sign(key, c.last, now)
		tag, err := tx.Exec(ctx, sqlSaveCheckpoint, k.Seq, k.Hash, k.At, k.Signature)
		if isNew = err == nil && tag.RowsAffected() > 0; !isNew {
			return err
		}
		if _, err := tx.Exec(ctx, sqlPruneCheckpoints, now.Add(-checkpointsKept)); err != nil {
			return err
		}
		e, err := event.New(ctx, audit.SubjectCheckpointed, "audit", 0, now, &auditv1.Checkpointed{
			Seq: k.Seq, Hash: k.Hash, At: k.At.Unix(), Signature: k.Signature,
		})
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, e)
	})
	return k, isNew, postgres.Err(err)
}

const sqlOld = `select seq, hash from entry where at < $1 and seq <= $2 order by seq desc limit 1`

const sqlMoveBase = `update chain set base_seq = $1, base_hash = $2`

const sqlDelete = `delete from entry where seq <= $1`

// maxForget is how many entries one pass removes at most.
const maxForget = 10_000

// Forget removes entries that are older than a time, the oldest first, and signs where the trail begins then.
//
// Errors: those of [postgres.Err].
func (s *Store) Forget(ctx context.Context, key ed25519.PrivateKey, before, now time.Time) (int, error) {
	n := 0
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		c, err := readChain(ctx, tx, " for update")
		if err != nil {
			return err
		}
		var base audit.Position
		err = tx.QueryRow(ctx, sqlOld, before, c.base.Seq+maxForget).Scan(&base.Seq, &base.Hash)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		k := audit.Sign(key, base, now)
		if _, err := tx.Exec(ctx, sqlSaveCheckpoint, k.Seq, k.Hash, k.At, k.Signature); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sqlMoveBase, base.Seq, base.Hash); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, sqlDelete, base.Seq)
		n = int(tag.RowsAffected())
		return err
	})
	return n, postgres.Err(err)
}
