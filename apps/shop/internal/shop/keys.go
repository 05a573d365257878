package shop

import (
	"context"
	"crypto/subtle"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"souk/apps/shop/internal/shop/sqlc"
	"souk/pkg/apikey"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/permission"
	"souk/pkg/postgres"
)

// Key is an API key.
type Key struct {
	ID     string
	ShopID string
	Name   string
	// Prefix is the beginning of the secret.
	Prefix string
	Scopes []string
	// Addresses are the networks from which it may be used; empty: all.
	Addresses []string
	// RatePerMinute is how many requests it may send; 0: as many as a person.
	RatePerMinute int
	// CreatedBy is the owner who created it or rotated it last. It can do no more than this user.
	CreatedBy string
	CreatedAt time.Time
	// ExpiresAt is its end; zero: never.
	ExpiresAt time.Time
	// LastUsedAt is zero if it was never used.
	LastUsedAt time.Time
	// OldUntil is until when the secret before the last rotation is valid; zero: it is not.
	OldUntil time.Time
}

// checkKey checks what an owner wants of a key, and returns it in its usual form.
//
// Errors: invalid_argument.
func checkKey(k Key, now time.Time) (Key, error) {
	if k.Name = strings.TrimSpace(k.Name); k.Name == "" {
		return k, errs.InvalidField("name", "must not be blank")
	}
	if !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(now) {
		return k, errs.InvalidField("expiresAt", "must be in the future")
	}
	var err error
	if k.Scopes, err = permission.Check("scopes", k.Scopes, permission.OfKey()); err != nil {
		return k, err
	}
	networks := make([]string, 0, len(k.Addresses))
	for _, text := range k.Addresses {
		network, err := netip.ParsePrefix(text)
		if address, single := netip.ParseAddr(text); err != nil && single == nil && address.Zone() == "" {
			network, err = address.Unmap().Prefix(address.Unmap().BitLen())
		}
		if err != nil || network.Addr().Is4In6() {
			return k, errs.InvalidField("allowedAddresses",
				"must have addresses such as 203.0.113.7 and networks such as 203.0.113.0/24")
		}
		networks = append(networks, network.Masked().String())
	}
	slices.Sort(networks)
	k.Addresses = slices.Compact(networks)
	return k, nil
}

// CreateKey stores a key with a secret in a shop, on behalf of the user by, who must be a member with the method's
// permission; see lockFor.
//
// Errors: not_found, forbidden, conflict (the shop has too many).
func (s *Store) CreateKey(ctx context.Context, key string, k Key, secret string) (Key, error) {
	err := s.changeMembers(ctx, key, k.CreatedBy, func(q *sqlc.Queries, sh *Shop) ([]event.Event, error) {
		k.ShopID = sh.ID
		n, err := q.CountKeys(ctx, sh.ID)
		if err != nil {
			return nil, err
		}
		if n >= int64(s.limits().Keys) {
			return nil, errs.New(errs.Conflict, "the shop has %d API keys, which is the most: delete one", n)
		}
		return nil, q.CreateKey(ctx, sqlc.CreateKeyParams{
			ID: k.ID, ShopID: k.ShopID, Name: k.Name, Prefix: k.Prefix, Hash: apikey.Hash(secret), Scopes: k.Scopes,
			Addresses: k.Addresses, RatePerMinute: int32(k.RatePerMinute), //nolint:gosec // by the contract
			CreatedBy: k.CreatedBy, At: k.CreatedAt, ExpiresAt: timeOrNull(k.ExpiresAt),
		})
	})
	return k, err
}

// KeysOfShop returns up to limit of a shop's keys that are older than the moment, newest first.
func (s *Store) KeysOfShop(ctx context.Context, shopID string, before moment, limit int) ([]Key, error) {
	rows, err := sqlc.New(s.pool).KeysOfShop(ctx, sqlc.KeysOfShopParams{
		ShopID: shopID, Before: before.Time, BeforeID: before.ID, Most: int32(limit), //nolint:gosec // a page is small
	})
	out := make([]Key, 0, len(rows))
	for _, r := range rows {
		out = append(out, keyOf(r))
	}
	return out, postgres.Err(err)
}

// RotateKey gives a key another secret, on behalf of the user by, who then counts as its creator. The last secret is
// valid until a time; zero: it stops at once.
//
// Errors: not_found, forbidden.
func (s *Store) RotateKey(ctx context.Context, key, by, keyID, secret string, oldUntil time.Time) (Key, error) {
	var row sqlc.ApiKey
	err := s.changeMembers(ctx, key, by, func(q *sqlc.Queries, sh *Shop) ([]event.Event, error) {
		var err error
		row, err = q.RotateKey(ctx, sqlc.RotateKeyParams{
			ID: keyID, ShopID: sh.ID, Hash: apikey.Hash(secret), Prefix: apikey.Shown(secret), CreatedBy: by,
			OldUntil: timeOrNull(oldUntil),
		})
		if errs.Is(postgres.Err(err), errs.NotFound) {
			return nil, noKey()
		}
		return nil, err
	})
	return keyOf(row), err
}

// DeleteKey deletes a key of a shop, also of a suspended one, on behalf of the user by; see lockFor.
//
// Errors: not_found, forbidden.
func (s *Store) DeleteKey(ctx context.Context, key, by, keyID string) error {
	return s.locked(ctx, key, by, func(q *sqlc.Queries, sh *Shop) error {
		n, err := q.DeleteKey(ctx, sqlc.DeleteKeyParams{ID: keyID, ShopID: sh.ID})
		if err == nil && n == 0 {
			return noKey()
		}
		return err
	})
}

// FindKey returns the key of a secret, by its hash, if it may be used now. Its scopes are those that its creator has,
// too.
//
// Errors: not_found (also if it has expired, or its creator has left the shop or may do none of it).
func (s *Store) FindKey(ctx context.Context, hash []byte, now time.Time) (Key, error) {
	row, err := sqlc.New(s.pool).FindKey(ctx, sqlc.FindKeyParams{Hash: hash, Now: timeOrNull(now)})
	if err := postgres.Err(err); errs.Is(err, errs.NotFound) {
		return Key{}, noKey()
	} else if err != nil {
		return Key{}, err
	}
	if subtle.ConstantTimeCompare(hash, row.ApiKey.Hash)|subtle.ConstantTimeCompare(hash, row.ApiKey.OldHash) != 1 {
		return Key{}, noKey()
	}
	k := keyOf(row.ApiKey)
	creator := grants(Role(row.Role), row.Permissions)
	k.Scopes = slices.DeleteFunc(k.Scopes, func(name string) bool { return !slices.Contains(creator, name) })
	if len(k.Scopes) == 0 {
		return Key{}, noKey()
	}
	return k, nil
}

// UseKeys notes when keys were used, by their IDs.
func (s *Store) UseKeys(ctx context.Context, used map[string]time.Time) error {
	arg := sqlc.UseKeysParams{}
	for _, id := range slices.Sorted(maps.Keys(used)) { // sorted, so that two processes lock in one order
		arg.Ids, arg.Ats = append(arg.Ids, id), append(arg.Ats, used[id])
	}
	return postgres.Err(sqlc.New(s.pool).UseKeys(ctx, arg))
}

// maxUses bounds the uses that wait to be stored.
const maxUses = 10_000

// Uses collects when keys were used, so that a request does not wait for a write. What a process that dies has not
// stored yet is lost.
type Uses struct {
	wake func()
	mu   sync.Mutex
	last map[string]time.Time
}

// NewUses returns an empty collection, which calls wake when it has something to store.
func NewUses(wake func()) *Uses { return &Uses{wake: wake, last: map[string]time.Time{}} }

// Add notes a use of a key, unless its last one is known to a minute.
func (u *Uses) Add(k Key, now time.Time) {
	if !k.LastUsedAt.Before(now.Add(-time.Minute)) {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.last[k.ID]; known || len(u.last) < maxUses {
		u.last[k.ID] = now
		u.wake()
	}
}

// Take returns the uses that wait, and forgets them.
func (u *Uses) Take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.last
	u.last = map[string]time.Time{}
	return out
}

func noKey() error { return errs.New(errs.NotFound, "there is no such API key") }

func keyOf(r sqlc.ApiKey) Key {
	return Key{
		ID: r.ID, ShopID: r.ShopID, Name: r.Name, Prefix: r.Prefix, Scopes: r.Scopes, Addresses: r.Addresses,
		RatePerMinute: int(r.RatePerMinute), CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt,
		ExpiresAt: r.ExpiresAt.Time, LastUsedAt: r.LastUsedAt.Time, OldUntil: r.OldUntil.Time,
	}
}
