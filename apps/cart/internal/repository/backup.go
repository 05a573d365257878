package repository

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"souk/apps/cart/internal/domain"
	"souk/apps/cart/internal/repository/sqlc"
	"souk/pkg/errs"
	"souk/pkg/postgres"
	"souk/pkg/redisx"
)

const (
	// lease is how long a write-back owns the carts that it claimed.
	lease = 1500 * time.Millisecond
	// backupBatch is the most carts that one statement writes.
	backupBatch = 200
	// absentTTL is how long Redis caches that PostgreSQL has no cart of an owner.
	absentTTL = time.Hour
)

// savedLine is a line in the JSON of the backup.
type savedLine struct {
	Variant  string `json:"variant"`
	Quantity int64  `json:"quantity"`
	Position int64  `json:"position"`
}

// restore copies a cart from PostgreSQL to Redis, or an empty one if PostgreSQL has none. It does not replace a
// cart that has appeared in Redis in the meantime.
func (s *Store) restore(ctx context.Context, owner string) error {
	now := s.Clock.Now()
	row, err := sqlc.New(s.pool).LoadCart(ctx, sqlc.LoadCartParams{OwnerID: owner, Now: now})
	err = postgres.Err(err)
	if errs.Is(err, errs.NotFound) {
		row, err = sqlc.LoadCartRow{Lines: []byte("[]"), ExpiresAt: now.Add(absentTTL)}, nil
	}
	if err != nil {
		return err
	}
	var lines []savedLine
	if err := json.Unmarshal(row.Lines, &lines); err != nil {
		return errs.Wrap(err, errs.Internal, "a saved cart cannot be read")
	}
	next := int64(0)
	for _, l := range lines {
		next = max(next, l.Position+1)
	}
	args := []string{
		millis(max(row.ExpiresAt.Sub(now), time.Second)),
		strconv.FormatInt(row.Version, 10),
		strconv.FormatInt(next, 10),
		strconv.Itoa(len(lines)),
		row.Currency,
		strings.Join(row.Merged, ","),
		row.MergedInto,
		strconv.Itoa(len(row.Orders)),
	}
	args = append(args, row.Orders...)
	for _, l := range lines {
		args = append(args, l.Variant, strconv.FormatInt(l.Quantity, 10)+":"+strconv.FormatInt(l.Position, 10))
	}
	return redisx.Err(s.load.Exec(ctx, s.redis, []string{s.keys.cart(owner), s.keys.orders(owner)}, args).Error())
}

// WriteBack writes a batch of carts to PostgreSQL, and returns how many it took. It takes carts that are due, or
// any dirty carts if all is set. Several processes share the work.
func (s *Store) WriteBack(ctx context.Context, all bool) (int, error) {
	now := s.Clock.Now()
	due, until := now, now.Add(lease)
	if all {
		due = now.Add(max(s.Due, lease))
		until = due.Add(time.Millisecond) // later than due, so that the loop does not claim the same carts twice
	}
	owners, err := s.claimDirty(ctx, due, until)
	return len(owners), errors.Join(err, s.Save(ctx, owners...))
}

// claimDirty claims a batch of the carts that are due, of all partitions, until the lease ends.
func (s *Store) claimDirty(ctx context.Context, due, until time.Time) (owners []string, err error) {
	args := []string{
		strconv.FormatInt(due.UnixMilli(), 10), strconv.FormatInt(until.UnixMilli(), 10),
		strconv.Itoa(max(1, backupBatch/len(s.keys.tags))),
	}
	claimed, failed := make([][]string, len(s.keys.tags)), make([]error, len(s.keys.tags))
	var wg sync.WaitGroup
	for p := range s.keys.tags {
		wg.Go(func() {
			some, err := s.claim.Exec(ctx, s.redis, []string{s.keys.dirtyOf(p)}, args).AsStrSlice()
			claimed[p], failed[p] = some, redisx.Err(err)
		})
	}
	wg.Wait()
	return slices.Concat(claimed...), errors.Join(failed...)
}

// backup is a cart with its handled orders, as written to PostgreSQL.
type backup struct {
	// present reports whether Redis has the cart.
	present bool
	cart    domain.Cart
	orders  []string
	// moving reports whether lines that were taken out of the cart may not be in the user's cart yet.
	moving bool
}

// Lines returns the owner's cart and the IDs of the latest orders whose items were taken out of it, at most most.
func (s *Store) Lines(ctx context.Context, owner string, most int) (domain.Cart, []string, error) {
	for range loads {
		found, err := s.readAll(ctx, []string{owner}, most)
		if err != nil {
			return domain.Cart{}, nil, err
		}
		if b := found[owner]; b.present {
			return b.cart, b.orders, nil
		}
		if err := s.restore(ctx, owner); err != nil {
			return domain.Cart{}, nil, err
		}
	}
	return domain.Cart{}, nil, errGone
}

// Save writes the current carts of the owners to PostgreSQL, in one transaction. A guest's cart that was merged is
// written with the user's, which is read later: so PostgreSQL always has the pieces. What it can't read, and guests'
// carts whose lines it can't move to the user's, stay dirty.
func (s *Store) Save(ctx context.Context, owners ...string) error {
	if len(owners) == 0 {
		return nil
	}
	var guests, users []string
	for _, owner := range owners {
		if isGuest(owner) {
			guests = append(guests, owner)
		} else {
			users = append(users, owner)
		}
	}
	ofGuests, err := s.readAll(ctx, guests, maxOrders)
	failed := []error{err}
	for guest, b := range ofGuests {
		if into := b.cart.Into.OwnerID; into != "" {
			users = append(users, into)
		}
		if b.moving {
			if _, _, err := s.move(ctx, guest, ""); err != nil {
				failed = append(failed, err)
				delete(ofGuests, guest)
			}
		}
	}
	found, err := s.readAll(ctx, users, maxOrders)
	failed = append(failed, err)
	for guest, b := range ofGuests {
		if _, ok := found[b.cart.Into.OwnerID]; ok || b.cart.Into.OwnerID == "" {
			found[guest] = b
		}
	}
	if err := s.write(ctx, found); err != nil {
		return errors.Join(append(failed, err)...)
	}
	return errors.Join(append(failed, s.markSaved(ctx, found))...)
}

// markSaved marks carts that were written to PostgreSQL as clean, unless they have changed in the meantime.
func (s *Store) markSaved(ctx context.Context, carts map[string]backup) error {
	due := strconv.FormatInt(s.Clock.Now().Add(s.Due).UnixMilli(), 10)
	return s.keys.each(slices.Collect(maps.Keys(carts)), func(owners []string) error {
		keys, args := []string{s.keys.dirty(owners[0])}, []string{due}
		for _, owner := range owners {
			keys = append(keys, s.keys.cart(owner))
			args = append(args, owner, strconv.FormatInt(carts[owner].cart.Version, 10))
		}
		return redisx.Err(s.saved.Exec(ctx, s.redis, keys, args).Error())
	})
}

// readAll reads the owners' carts from Redis, each with its latest orders. With an error it returns those that it has
// read.
func (s *Store) readAll(ctx context.Context, owners []string, maxOrders int) (map[string]backup, error) {
	found := make(map[string]backup, len(owners))
	var mu sync.Mutex
	err := s.keys.each(owners, func(owners []string) error {
		const each = 3 // keys, and values in the answer
		keys := make([]string, 0, each*len(owners))
		for _, owner := range owners {
			keys = append(keys, s.keys.cart(owner), s.keys.orders(owner), s.keys.moving(owner))
		}
		answer, err := s.read.Exec(ctx, s.redis, keys, []string{strconv.Itoa(maxOrders)}).ToArray()
		if err != nil {
			return redisx.Err(err)
		}
		if len(answer) != len(keys) {
			return errAnswer
		}
		mu.Lock()
		defer mu.Unlock()
		for i, owner := range owners {
			if found[owner], err = backupOf(owner, answer[each*i], answer[each*i+1], answer[each*i+2]); err != nil {
				delete(found, owner)
				return err
			}
		}
		return nil
	})
	return found, err
}

func backupOf(owner string, cart, orders, moving rueidis.RedisMessage) (b backup, err error) {
	if b.cart, err = cartOfMessage(owner, cart); err != nil {
		return b, err
	}
	if b.orders, err = orders.AsStrSlice(); err != nil {
		return b, redisx.Err(err)
	}
	fields, err := cart.ToArray()
	if err != nil {
		return b, redisx.Err(err)
	}
	b.present = len(fields) > 0
	b.moving, err = moving.AsBool()
	return b, redisx.Err(err)
}

func (s *Store) write(ctx context.Context, carts map[string]backup) error {
	var p sqlc.SaveCartsParams
	for _, b := range carts {
		if b.cart.Version == 0 { // missing, or never changed
			continue
		}
		lines := make([]savedLine, len(b.cart.Lines))
		for i, l := range b.cart.Lines {
			lines[i] = savedLine{Variant: l.VariantID, Quantity: l.Quantity, Position: l.Position}
		}
		doc, err := json.Marshal(lines)
		if err != nil {
			return err
		}
		at := time.UnixMicro(b.cart.Version).UTC()
		p.OwnerIds = append(p.OwnerIds, b.cart.OwnerID)
		p.Versions = append(p.Versions, b.cart.Version)
		p.Currencies = append(p.Currencies, string(b.cart.Currency))
		p.Lines = append(p.Lines, string(doc))
		p.Orders = append(p.Orders, strings.Join(b.orders, ","))
		p.Merged = append(p.Merged, merges(b.cart.Merged...))
		p.MergedIntos = append(p.MergedIntos, merges(b.cart.Into))
		p.UpdatedAts = append(p.UpdatedAts, at)
		p.ExpiresAts = append(p.ExpiresAts, at.Add(s.ttl(b.cart.OwnerID)))
	}
	if len(p.OwnerIds) == 0 {
		return nil
	}
	return postgres.Err(sqlc.New(s.pool).SaveCarts(ctx, p))
}

// Forget deletes a batch of expired carts, and returns their number.
func (s *Store) Forget(ctx context.Context) (int64, error) {
	n, err := sqlc.New(s.pool).ForgetCarts(ctx, s.Clock.Now())
	return n, postgres.Err(err)
}
