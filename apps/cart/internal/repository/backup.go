package repository

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

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
	return redisx.Err(s.load.Exec(ctx, s.redis, []string{key(owner), ordersKey(owner)}, args).Error())
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
	owners, err := s.claim.Exec(ctx, s.redis, []string{dirtyKey}, []string{
		strconv.FormatInt(due.UnixMilli(), 10), strconv.FormatInt(until.UnixMilli(), 10), strconv.Itoa(backupBatch),
	}).AsStrSlice()
	if err != nil {
		return 0, redisx.Err(err)
	}
	return len(owners), s.Save(ctx, owners...)
}

// backup is a cart with its handled orders, as written to PostgreSQL.
type backup struct {
	// present reports whether Redis has the cart.
	present bool
	cart    domain.Cart
	orders  []string
}

// Lines returns the owner's cart and the IDs of the latest orders whose items were taken out of it, at most most.
func (s *Store) Lines(ctx context.Context, owner string, most int) (domain.Cart, []string, error) {
	for range loads {
		found, err := s.readAll(ctx, []string{owner}, most)
		if err != nil {
			return domain.Cart{}, nil, err
		}
		if found[0].present {
			return found[0].cart, found[0].orders, nil
		}
		if err := s.restore(ctx, owner); err != nil {
			return domain.Cart{}, nil, err
		}
	}
	return domain.Cart{}, nil, errGone
}

// Save writes the current carts of the owners to PostgreSQL, in one transaction.
func (s *Store) Save(ctx context.Context, owners ...string) error {
	if len(owners) == 0 {
		return nil
	}
	found, err := s.readAll(ctx, owners, maxOrders)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(b backup) bool { return b.cart.Version == 0 }) // missing, or never changed
	if err := s.write(ctx, found); err != nil {
		return err
	}
	versions := make(map[string]int64, len(found))
	for _, b := range found {
		versions[b.cart.OwnerID] = b.cart.Version
	}
	keys, args := []string{dirtyKey}, []string{strconv.FormatInt(s.Clock.Now().Add(s.Due).UnixMilli(), 10)}
	for _, owner := range owners {
		keys = append(keys, key(owner))
		args = append(args, owner, strconv.FormatInt(versions[owner], 10))
	}
	return redisx.Err(s.saved.Exec(ctx, s.redis, keys, args).Error())
}

// readAll reads the owners' carts from Redis, in their order, each with its latest orders.
func (s *Store) readAll(ctx context.Context, owners []string, maxOrders int) ([]backup, error) {
	keys := make([]string, 0, 2*len(owners))
	for _, owner := range owners {
		keys = append(keys, key(owner), ordersKey(owner))
	}
	answer, err := s.read.Exec(ctx, s.redis, keys, []string{strconv.Itoa(maxOrders)}).ToArray()
	if err != nil {
		return nil, redisx.Err(err)
	}
	if len(answer) != len(keys) {
		return nil, errAnswer
	}
	found := make([]backup, len(owners))
	for i, owner := range owners {
		b := &found[i]
		if b.cart, err = cartOfMessage(owner, answer[2*i]); err != nil {
			return nil, err
		}
		if b.orders, err = answer[2*i+1].AsStrSlice(); err != nil {
			return nil, redisx.Err(err)
		}
		fields, err := answer[2*i].ToArray()
		if err != nil {
			return nil, redisx.Err(err)
		}
		b.present = len(fields) > 0
	}
	return found, nil
}

func (s *Store) write(ctx context.Context, carts []backup) error {
	if len(carts) == 0 {
		return nil
	}
	var p sqlc.SaveCartsParams
	for _, b := range carts {
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
	return postgres.Err(sqlc.New(s.pool).SaveCarts(ctx, p))
}

// Forget deletes a batch of expired carts, and returns their number.
func (s *Store) Forget(ctx context.Context) (int64, error) {
	n, err := sqlc.New(s.pool).ForgetCarts(ctx, s.Clock.Now())
	return n, postgres.Err(err)
}
