// Package repository stores carts in Redis, with a backup in PostgreSQL, and caches offers.
package repository

import (
	"context"
	"embed"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"

	"souk/apps/cart/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/money"
	"souk/pkg/redisx"
)

//go:embed lua/*.lua
var scripts embed.FS

const (
	// maxOrders is the number of handled orders kept per cart, so that each order's items are removed only once.
	maxOrders = 200
	// maxMerges is the number of merges kept per user's cart, so that each is made only once.
	maxMerges = 16
)

// Options are the options of a Store.
type Options struct {
	Clock clock.Clock
	// Due is the delay after which a changed cart is written back.
	Due time.Duration
	// GuestTTL and UserTTL are how long a cart is kept after its last change.
	GuestTTL, UserTTL time.Duration
}

// Store stores carts.
//
// Errors: unavailable (Redis, or PostgreSQL if the cart is not in Redis), timeout, and each method's own.
type Store struct {
	Options
	redis rueidis.Client
	keys  keys
	pool  *pgxpool.Pool

	add, set, clear, ordered, take, give, given, load, claim, read, saved *rueidis.Lua
}

// New returns a Store.
func New(redis rueidis.Client, pool *pgxpool.Pool, o Options) (*Store, error) {
	s := &Store{Options: o, redis: redis, keys: keysOf(redis), pool: pool}
	for name, into := range map[string]**rueidis.Lua{
		"add": &s.add, "set": &s.set, "clear": &s.clear, "ordered": &s.ordered, "take": &s.take,
		"give": &s.give, "given": &s.given, "load": &s.load, "claim": &s.claim, "read": &s.read, "saved": &s.saved,
	} {
		common, err := scripts.ReadFile("lua/common.lua")
		if err != nil {
			return nil, err
		}
		own, err := scripts.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return nil, err
		}
		*into = rueidis.NewLuaScript(string(common) + string(own))
	}
	return s, nil
}

func isGuest(owner string) bool { return strings.HasPrefix(owner, string(id.Guest)+"_") }

func (s *Store) ttl(owner string) time.Duration {
	if isGuest(owner) {
		return s.GuestTTL
	}
	return s.UserTTL
}

// scriptArgs returns the arguments of a script that changes a cart: the common ones, then more.
func (s *Store) scriptArgs(owner string, more ...string) []string {
	now := s.Clock.Now()
	args := make([]string, 0, 4+len(more))
	args = append(args, owner, strconv.FormatInt(now.UnixMicro(), 10), millis(s.ttl(owner)),
		strconv.FormatInt(now.Add(s.Due).UnixMilli(), 10))
	return append(args, more...)
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// Get returns the owner's cart. An owner without a cart has an empty one.
func (s *Store) Get(ctx context.Context, owner string) (domain.Cart, error) {
	for range loads {
		flat, err := s.redis.Do(ctx, s.redis.B().Hgetall().Key(s.keys.cart(owner)).Build()).AsStrMap()
		if err != nil {
			return domain.Cart{}, redisx.Err(err)
		}
		if len(flat) > 0 {
			return cartOf(owner, func(yield func(string, string)) {
				for k, v := range flat {
					yield(k, v)
				}
			})
		}
		if err := s.restore(ctx, owner); err != nil {
			return domain.Cart{}, err
		}
	}
	return domain.Cart{}, errGone
}

// Add adds n pieces of a variant.
//
// Errors: invalid_argument (too many pieces in the line), unprocessable (too many lines, or another currency).
func (s *Store) Add(ctx context.Context, owner, variantID string, n int64, c money.Currency) (domain.Cart, error) {
	return s.change(ctx, s.add, owner, s.scriptArgs(owner, variantID, strconv.FormatInt(n, 10), string(c),
		strconv.Itoa(domain.MaxLines), strconv.Itoa(domain.MaxQuantity)))
}

// Set sets the quantity of a variant; 0 removes the line.
//
// Errors: not_found (the variant is not in the cart, and n is not 0).
func (s *Store) Set(ctx context.Context, owner, variantID string, n int64) (domain.Cart, error) {
	return s.change(ctx, s.set, owner, s.scriptArgs(owner, variantID, strconv.FormatInt(n, 10)))
}

// Clear empties a cart.
func (s *Store) Clear(ctx context.Context, owner string) (domain.Cart, error) {
	return s.change(ctx, s.clear, owner, s.scriptArgs(owner))
}

// RemoveOrdered removes the ordered pieces from a cart, once per order. version is the version of the cart that was
// ordered. If the cart was merged into a user's after that, the pieces are removed from the user's cart. It returns the
// cart that the pieces left.
func (s *Store) RemoveOrdered(
	ctx context.Context, owner, orderID string, version int64, lines []domain.Line,
) (domain.Cart, error) {
	for {
		args := s.scriptArgs(owner, orderID, strconv.Itoa(maxOrders), strconv.FormatInt(version, 10))
		for _, l := range lines {
			args = append(args, l.VariantID, strconv.FormatInt(l.Quantity, 10))
		}
		answer, err := s.run(ctx, s.ordered, owner,
			[]string{s.keys.cart(owner), s.keys.dirty(owner), s.keys.orders(owner)}, args)
		if err != nil {
			return domain.Cart{}, err
		}
		status, err := answer[0].ToString()
		if err != nil {
			return domain.Cart{}, redisx.Err(err)
		}
		if status != statusMerged {
			return cartOfMessage(owner, answer[1])
		}
		if _, _, err := s.move(ctx, owner, ""); err != nil { // if the merge has not ended
			return domain.Cart{}, err
		}
		if owner, err = answer[1].ToString(); err != nil { // a user, whose cart is never merged into another
			return domain.Cart{}, redisx.Err(err)
		}
	}
}

// change runs a script that changes an owner's cart and may touch more keys of the same partition.
func (s *Store) change(
	ctx context.Context, script *rueidis.Lua, owner string, args []string, more ...string,
) (domain.Cart, error) {
	answer, err := s.run(ctx, script, owner, append([]string{s.keys.cart(owner), s.keys.dirty(owner)}, more...), args)
	if err != nil {
		return domain.Cart{}, err
	}
	return cartOfMessage(owner, answer[1])
}

// loads is the number of attempts of a call. After each attempt that finds a cart missing in Redis, it is restored.
const loads = 3

// statusMerged is the status of a script that found the cart merged into another one.
const statusMerged = "merged"

var (
	errAnswer = errs.New(errs.Internal, "a script answered what it never should")
	errGone   = errs.New(errs.Unavailable, "temporarily unavailable, please try again").WithRetryAfter(time.Second)
)

// run runs a script on the cart of an owner. If the cart is missing in Redis, it restores it and tries again.
func (s *Store) run(
	ctx context.Context, script *rueidis.Lua, owner string, keys, args []string,
) ([]rueidis.RedisMessage, error) {
	for range loads {
		answer, err := script.Exec(ctx, s.redis, keys, args).ToArray()
		if err != nil {
			return nil, redisx.Err(err)
		}
		status := ""
		if len(answer) > 0 {
			if status, err = answer[0].ToString(); err != nil {
				return nil, redisx.Err(err)
			}
		}
		switch {
		case (status == "ok" || status == statusMerged || status == statusMoving) && len(answer) > 1:
			return answer, nil
		case status == "currency":
			return nil, domain.OtherCurrency()
		case status == "full":
			return nil, domain.Full()
		case status == "many":
			return nil, domain.TooMany()
		case status == "absent":
			return nil, domain.NotInCart()
		case status != "missing":
			return nil, errAnswer
		}
		if err := s.restore(ctx, owner); err != nil {
			return nil, err
		}
	}
	return nil, errGone
}

func cartOfMessage(owner string, m rueidis.RedisMessage) (domain.Cart, error) {
	flat, err := m.ToArray()
	if err != nil {
		return domain.Cart{}, redisx.Err(err)
	}
	if len(flat)%2 != 0 {
		return domain.Cart{}, errAnswer
	}
	return cartOf(owner, func(yield func(string, string)) {
		for i := 0; i < len(flat); i += 2 {
			k, errK := flat[i].ToString()
			v, errV := flat[i+1].ToString()
			if errK == nil && errV == nil {
				yield(k, v)
			}
		}
	})
}

// cartOf decodes the fields of a cart's hash.
func cartOf(owner string, each func(yield func(field, value string))) (domain.Cart, error) {
	c := domain.Cart{OwnerID: owner}
	var failed error
	each(func(field, value string) {
		switch field {
		case "version":
			v, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				failed = errAnswer
			}
			c.Version = v
		case "currency":
			c.Currency = money.Currency(value)
		case "merged":
			c.Merged, failed = mergesOf(value)
		case "into":
			if all, err := mergesOf(value); err != nil {
				failed = err
			} else if len(all) > 0 {
				c.Into = all[0]
			}
		case "next", "lines":
		default:
			l, err := lineOf(field, value)
			if err != nil {
				failed = err
			}
			c.Lines = append(c.Lines, l)
		}
	})
	c.Sort()
	return c, failed
}

// mergesOf decodes merges: "owner@version", joined by commas.
func mergesOf(value string) ([]domain.Merge, error) {
	if value == "" {
		return nil, nil
	}
	var out []domain.Merge
	for one := range strings.SplitSeq(value, ",") {
		owner, version, _ := strings.Cut(one, "@")
		v, err := strconv.ParseInt(version, 10, 64)
		if err != nil {
			return nil, errs.New(errs.Internal, "a merge of carts cannot be read")
		}
		out = append(out, domain.Merge{OwnerID: owner, Version: v})
	}
	return out, nil
}

// merges encodes merges as mergesOf decodes them.
func merges(all ...domain.Merge) string {
	var out []string
	for _, m := range all {
		if m.OwnerID != "" {
			out = append(out, m.OwnerID+"@"+strconv.FormatInt(m.Version, 10))
		}
	}
	return strings.Join(out, ",")
}

func lineOf(variantID, value string) (domain.Line, error) {
	q, p, _ := strings.Cut(value, ":")
	quantity, errQ := strconv.ParseInt(q, 10, 64)
	position, errP := strconv.ParseInt(p, 10, 64)
	if errQ != nil || errP != nil {
		return domain.Line{}, errs.New(errs.Internal, "the line of %s in a cart cannot be read", variantID)
	}
	return domain.Line{VariantID: variantID, Quantity: quantity, Position: position}, nil
}
