// Package keyring keeps the keys of personal data in PostgreSQL.
package keyring

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/event"
	"souk/pkg/postgres"
)

// keySize is the length of a key of personal data in bytes, for AES-256.
const keySize = 32

// RewrapBatch is the most keys that are wrapped again at once.
const RewrapBatch = 500

// Key is the key of one person's data in one service.
type Key struct {
	// Key is nil if the person has no key.
	Key []byte
	// Destroyed: there will be none, because the person's data was erased.
	Destroyed bool
}

// Store is the keys in PostgreSQL.
type Store struct {
	pool     *pgxpool.Pool
	wrapping func() Wrapping
}

// NewStore returns the store. wrapping returns the wrapping keys of now.
func NewStore(pool *pgxpool.Pool, wrapping func() Wrapping) *Store {
	return &Store{pool: pool, wrapping: wrapping}
}

const sqlGet = `
select o.owner, k.wrapped, k.wrapped_by, is_destroyed(o.owner, $1)
from unnest($2::text[]) o (owner)
left join data_key k on k.owner = o.owner and k.service = $1`

// Get returns the keys of owners in a service, those that there are and those that were destroyed.
//
// Errors: internal (a key cannot be unwrapped), those of [postgres.Err].
func (s *Store) Get(ctx context.Context, service string, owners []string) (map[string]Key, error) {
	rows, err := s.pool.Query(ctx, sqlGet, service, owners)
	if err != nil {
		return nil, postgres.Err(err)
	}
	return s.read(rows, service, len(owners))
}

func (s *Store) read(rows pgx.Rows, service string, n int) (map[string]Key, error) {
	defer rows.Close()
	wrapping := s.wrapping()
	keys := make(map[string]Key, n)
	for rows.Next() {
		var owner string
		var wrapped []byte
		var wrappedBy *string
		var erased bool
		if err := rows.Scan(&owner, &wrapped, &wrappedBy, &erased); err != nil {
			return nil, postgres.Err(err)
		}
		switch {
		case erased:
			keys[owner] = Key{Destroyed: true}
		case wrappedBy != nil:
			key, err := wrapping.unwrap(wrapped, *wrappedBy, owner, service)
			if err != nil {
				return nil, err
			}
			keys[owner] = Key{Key: key}
		}
	}
	return keys, postgres.Err(rows.Err())
}

// A creation shares the lock with other creations. An erasure, and a merge with a user who may be erased, exclude them: a
// key that an erasure does not see would outlive it. Both are short and rare.
const (
	sqlShare   = `select pg_advisory_xact_lock_shared(hashtext('data_key'))`
	sqlExclude = `select pg_advisory_xact_lock(hashtext('data_key'))`
)

const sqlCreate = `
insert into data_key (owner, service, wrapped, wrapped_by, created_at)
select owner, $1, wrapped, $4, $5
from unnest($2::text[], $3::bytea[]) n (owner, wrapped)
where not is_destroyed(owner, $1)
order by owner
on conflict do nothing`

// Create creates the keys of owners that have none in a service, and returns the keys of all, as Get does. What another
// call creates at the same time stays.
//
// Errors: those of Get.
func (s *Store) Create(
	ctx context.Context, service string, owners []string, at time.Time,
) (map[string]Key, error) {
	wrapping := s.wrapping()
	wrapped := make([][]byte, len(owners))
	var wrappedBy string
	for i, owner := range owners {
		key := make([]byte, keySize)
		_, _ = rand.Read(key) // never fails
		var err error
		if wrapped[i], wrappedBy, err = wrapping.wrap(key, owner, service); err != nil {
			return nil, err
		}
	}
	b := &pgx.Batch{} // one transaction
	b.Queue(sqlShare)
	b.Queue(sqlCreate, service, owners, wrapped, wrappedBy, at)
	var keys map[string]Key
	b.Queue(sqlGet, service, owners).Query(func(rows pgx.Rows) (err error) {
		keys, err = s.read(rows, service, len(owners))
		return err
	})
	return keys, postgres.Err(s.pool.SendBatch(ctx, b).Close())
}

const (
	sqlErase = `
insert into erased (owner, kept, erased_at) values ($1, $2, $3)
on conflict (owner) do update set kept = excluded.kept where erased.kept @> excluded.kept`
	sqlDestroy = `
delete from data_key
where (owner = $1 or owner in (select guest_id from merged where user_id = $1)) and is_destroyed(owner, service)`
	sqlMerge = `insert into merged (guest_id, user_id) values ($1, $2) on conflict do nothing`
)

// Merge says that the data of a guest is the user's from now on, so that the user's erasure destroys the guest's keys.
// Those of a guest who is several users are destroyed with the last of them.
//
// Errors: those of [postgres.Err].
func (s *Store) Merge(ctx context.Context, guestID, userID string) error {
	b := &pgx.Batch{} // one transaction
	b.Queue(sqlExclude)
	b.Queue(sqlMerge, guestID, userID)
	b.Queue(sqlDestroy, userID) // if the user was erased already
	return postgres.Err(s.pool.SendBatch(ctx, b).Close())
}

// Erased destroys the keys of a person whose data was erased.
func (s *Store) Erased(ctx context.Context, tx pgx.Tx, e event.Event) error {
	owner, kept, err := erasure(e)
	if err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(sqlExclude)
	b.Queue(sqlErase, owner, kept, e.Time)
	b.Queue(sqlDestroy, owner)
	return postgres.SendBatch(ctx, tx, b)
}

// erasure returns whose data an event says was erased, and the services that keep theirs.
func erasure(e event.Event) (owner string, kept []string, err error) {
	if e.Subject == "evt.order.guest_erased" {
		var p orderv1.GuestErased
		err := e.Decode(&p)
		return p.GetGuestId(), []string{}, err
	}
	var p userv1.UserErased
	err = e.Decode(&p)
	kept = []string{}
	if p.GetKeepOrders() {
		kept = append(kept, "order")
	}
	return p.GetUserId(), kept, err
}

const (
	sqlFormer = `
select owner, service, wrapped, wrapped_by from data_key
where wrapped_by <> $1 and (owner, service) > ($3, $4)
order by owner, service limit $2 for update skip locked`
	sqlRewrap = `
update data_key k set wrapped = n.wrapped, wrapped_by = $1
from unnest($2::text[], $3::text[], $4::bytea[]) n (owner, service, wrapped)
where k.owner = n.owner and k.service = n.service`
	sqlLeft = `select count(*) from data_key where wrapped_by <> $1`
)

// Position is the key up to which a run of [Store.Rewrap] has come.
type Position struct{ Owner, Service string }

// Rewrap wraps the next batch of keys again that are not wrapped by the wrapping key of now. It returns where the batch
// ended, the zero position after the last one, and how many keys it left because they cannot be unwrapped.
//
// Errors: those of [postgres.Err].
func (s *Store) Rewrap(ctx context.Context, after Position) (next Position, n, unreadable int, err error) {
	wrapping := s.wrapping()
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		next, n, unreadable = Position{}, 0, 0
		rows, err := tx.Query(ctx, sqlFormer, wrapping.Now.fingerprint, RewrapBatch, after.Owner, after.Service)
		if err != nil {
			return err
		}
		type row struct {
			Owner, Service string
			Wrapped        []byte
			WrappedBy      string
		}
		former, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
		if err != nil {
			return err
		}
		var columns postgres.Rows
		for _, r := range former {
			key, err := wrapping.unwrap(r.Wrapped, r.WrappedBy, r.Owner, r.Service)
			if err != nil {
				unreadable++
				continue
			}
			wrapped, _, err := wrapping.wrap(key, r.Owner, r.Service)
			if err != nil {
				return err
			}
			columns.Add(r.Owner, r.Service, wrapped)
			n++
		}
		if len(former) == RewrapBatch {
			next = Position{former[RewrapBatch-1].Owner, former[RewrapBatch-1].Service}
		}
		if columns.Empty() {
			return nil
		}
		_, err = tx.Exec(ctx, sqlRewrap, append([]any{wrapping.Now.fingerprint}, columns.Args()...)...)
		return err
	})
	return next, n, unreadable, postgres.Err(err)
}

// Left returns how many keys are not wrapped by the wrapping key of now.
//
// Errors: those of [postgres.Err].
func (s *Store) Left(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, sqlLeft, s.wrapping().Now.fingerprint).Scan(&n)
	return n, postgres.Err(err)
}
