package shop

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"souk/apps/shop/internal/shop/sqlc"
	"souk/pkg/cache"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// tag is the cache tag of all responses that show shops.
var tag = cache.Tag("shop")

// Store stores shops and members in PostgreSQL.
type Store struct {
	pool   *pgxpool.Pool
	redis  rueidis.Client
	wake   func() // wakes the relay after new events
	logger *zap.Logger
}

// NewStore returns the store.
func NewStore(pool *pgxpool.Pool, redis rueidis.Client, wake func(), logger *zap.Logger) *Store {
	return &Store{pool: pool, redis: redis, wake: wake, logger: logger}
}

func noShop() error { return errs.New(errs.NotFound, "there is no such shop") }

// Create stores a new shop and its owner, and appends the event. An empty owner adds no member.
//
// Errors: already_exists (the handle is taken).
func (s *Store) Create(ctx context.Context, sh *Shop, owner string, e event.Event) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		err := sqlc.New(tx).Create(ctx, sqlc.CreateParams{
			ID:          sh.ID,
			Handle:      sh.Handle,
			Name:        sh.Name,
			Description: sh.Description,
			LogoUrl:     sh.LogoURL,
			City:        sh.City,
			Region:      sh.Region,
			CountryCode: sh.CountryCode,
			Status:      string(sh.Status),
			Owner:       owner,
			At:          sh.CreatedAt,
		})
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, e)
	})
	if postgres.IsUnique(err, "shop_handle_key") {
		return errs.New(errs.AlreadyExists, "the handle %q is taken", sh.Handle)
	}
	return err
}

// Change locks a shop, lets f change it, stores it and appends the events that f returns. If f returns no events,
// nothing is stored. If userID is set, that user must be a member of the shop.
//
// Errors: f's, not_found.
func (s *Store) Change(ctx context.Context, key, userID string, f func(*Shop) ([]event.Event, error)) (*Shop, error) {
	var sh *Shop
	err := s.write(ctx, func(tx pgx.Tx) error {
		q := sqlc.New(tx)
		row, err := lock(ctx, q, key, userID)
		if err != nil {
			return err
		}
		sh = shopOf(row)
		events, err := f(sh)
		if err != nil || len(events) == 0 {
			return err
		}
		err = q.Update(ctx, sqlc.UpdateParams{
			ID:          sh.ID,
			Name:        sh.Name,
			Description: sh.Description,
			LogoUrl:     sh.LogoURL,
			City:        sh.City,
			Region:      sh.Region,
			CountryCode: sh.CountryCode,
			Status:      string(sh.Status),
			At:          sh.UpdatedAt,
		})
		if err != nil {
			return err
		}
		return outbox.Append(ctx, tx, events...)
	})
	if err != nil {
		return nil, err
	}
	return sh, nil
}

func lock(ctx context.Context, q *sqlc.Queries, key, userID string) (sqlc.Shop, error) {
	if userID == "" {
		row, err := q.Lock(ctx, key)
		return row, notFound(err)
	}
	m, err := q.GetForMember(ctx, sqlc.GetForMemberParams{Key: key, UserID: userID})
	return sqlc.Shop{
		ID:          m.ID,
		Handle:      m.Handle,
		Name:        m.Name,
		Description: m.Description,
		LogoUrl:     m.LogoUrl,
		City:        m.City,
		Region:      m.Region,
		CountryCode: m.CountryCode,
		Status:      m.Status,
		Version:     m.Version,
		CreatedAt:   m.CreatedAt,
		UpdatedAt:   m.UpdatedAt,
	}, notFound(err)
}

// write runs f in a transaction, then wakes the relay and invalidates cached responses.
func (s *Store) write(ctx context.Context, f func(pgx.Tx) error) error {
	if err := postgres.Err(postgres.InTx(ctx, s.pool, f)); err != nil {
		return err
	}
	s.wake()
	if err := cache.Bump(ctx, s.redis, tag); err != nil {
		// Not returned: cached responses expire within seconds.
		s.logger.Warn("cached shops not outdated", zap.Error(err))
	}
	return nil
}

// Get returns a shop by ID or handle.
//
// Errors: not_found.
func (s *Store) Get(ctx context.Context, key string) (*Shop, error) {
	row, err := sqlc.New(s.pool).Get(ctx, key)
	if err != nil {
		return nil, notFound(err)
	}
	return shopOf(row), nil
}

// position is a shop's place in a list. The page token holds it.
type position struct {
	Name string `json:"n"`
	ID   string `json:"i"`
}

func (s *Shop) position() position { return position{Name: strings.ToLower(s.Name), ID: s.ID} }

// List returns up to limit shops after the position, by name, without suspended ones. If words, a tsquery, is set,
// only shops whose names match are returned.
func (s *Store) List(ctx context.Context, words string, after position, limit int) ([]*Shop, error) {
	q := sqlc.New(s.pool)
	var rows []sqlc.Shop
	var err error
	size := int32(limit) //nolint:gosec // a page is small
	if words == "" {
		rows, err = q.List(ctx, sqlc.ListParams{AfterName: after.Name, AfterID: after.ID, Most: size})
	} else {
		arg := sqlc.SearchParams{Words: words, AfterName: after.Name, AfterID: after.ID, Most: size}
		rows, err = q.Search(ctx, arg)
	}
	return shopsOf(rows), postgres.Err(err)
}

// ListOfUser returns the shops that a user is a member of, by name.
func (s *Store) ListOfUser(ctx context.Context, userID string) ([]*Shop, error) {
	rows, err := sqlc.New(s.pool).ListOfUser(ctx, userID)
	return shopsOf(rows), postgres.Err(err)
}

// BatchGet returns the shops with these IDs or handles. Missing shops are left out.
func (s *Store) BatchGet(ctx context.Context, ids, handles []string) ([]*Shop, error) {
	rows, err := sqlc.New(s.pool).BatchGet(ctx, sqlc.BatchGetParams{Ids: ids, Handles: handles})
	return shopsOf(rows), postgres.Err(err)
}

// Role returns a user's role in a shop. It is "" if the user is not a member or there is no such shop.
func (s *Store) Role(ctx context.Context, key, userID string) (Role, error) {
	role, err := sqlc.New(s.pool).Role(ctx, sqlc.RoleParams{Key: key, UserID: userID})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return Role(role), postgres.Err(err)
}

// Standing returns a shop's ID and a user's role in it. The ID is "" if there is no such shop, and the role is
// "" if the user is not a member.
func (s *Store) Standing(ctx context.Context, key, userID string) (shopID string, role Role, err error) {
	row, err := sqlc.New(s.pool).Standing(ctx, sqlc.StandingParams{Key: key, UserID: userID})
	if errors.Is(err, pgx.ErrNoRows) {
		return "", "", nil
	}
	return row.ID, Role(row.Role), postgres.Err(err)
}

// Members returns a shop's members, oldest first.
func (s *Store) Members(ctx context.Context, shopID string) ([]Member, error) {
	rows, err := sqlc.New(s.pool).Members(ctx, shopID)
	out := make([]Member, 0, len(rows))
	for _, r := range rows {
		out = append(out, memberOf(r))
	}
	return out, postgres.Err(err)
}

// PutMember makes a user a member or changes the role.
//
// Errors: not_found, conflict (no owner would be left).
func (s *Store) PutMember(ctx context.Context, shopID, userID string, role Role, at time.Time) (Member, error) {
	var m sqlc.Member
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := sqlc.New(tx)
		if _, err := q.Lock(ctx, shopID); err != nil {
			return notFound(err)
		}
		if role != Owner {
			if err := keepsOwner(ctx, q, shopID, userID); err != nil {
				return err
			}
		}
		var err error
		m, err = q.PutMember(ctx, sqlc.PutMemberParams{ShopID: shopID, UserID: userID, Role: string(role), At: at})
		return err
	})
	return memberOf(m), postgres.Err(err)
}

// RemoveMember ends a membership.
//
// Errors: not_found (the shop or the membership), conflict (the last owner).
func (s *Store) RemoveMember(ctx context.Context, shopID, userID string) error {
	return postgres.Err(postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := sqlc.New(tx)
		if _, err := q.Lock(ctx, shopID); err != nil {
			return notFound(err)
		}
		if err := keepsOwner(ctx, q, shopID, userID); err != nil {
			return err
		}
		n, err := q.RemoveMember(ctx, sqlc.RemoveMemberParams{ShopID: shopID, UserID: userID})
		if err == nil && n == 0 {
			return errs.New(errs.NotFound, "this user is not a member of the shop")
		}
		return err
	}))
}

// keepsOwner refuses a change that removes the last owner. The caller must have locked the shop's row.
//
// Errors: conflict.
func keepsOwner(ctx context.Context, q *sqlc.Queries, shopID, userID string) error {
	role, err := q.Role(ctx, sqlc.RoleParams{Key: shopID, UserID: userID})
	if errors.Is(err, pgx.ErrNoRows) || err == nil && Role(role) != Owner {
		return nil
	}
	if err != nil {
		return err
	}
	others, err := q.OtherOwners(ctx, sqlc.OtherOwnersParams{ShopID: shopID, UserID: userID})
	if err == nil && others == 0 {
		return errs.New(errs.Conflict, "the shop's last owner must stay: make somebody else an owner first")
	}
	return err
}

// notFound replaces pgx.ErrNoRows by the error for a missing shop.
func notFound(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return noShop()
	}
	return postgres.Err(err)
}

func shopOf(r sqlc.Shop) *Shop {
	return &Shop{
		ID:          r.ID,
		Handle:      r.Handle,
		Name:        r.Name,
		Description: r.Description,
		LogoURL:     r.LogoUrl,
		City:        r.City,
		Region:      r.Region,
		CountryCode: r.CountryCode,
		Status:      Status(r.Status),
		Version:     r.Version,
		CreatedAt:   r.CreatedAt,
		UpdatedAt:   r.UpdatedAt,
	}
}

func shopsOf(rows []sqlc.Shop) []*Shop {
	out := make([]*Shop, 0, len(rows))
	for _, r := range rows {
		out = append(out, shopOf(r))
	}
	return out
}

func memberOf(r sqlc.Member) Member {
	return Member{ShopID: r.ShopID, UserID: r.UserID, Role: Role(r.Role), CreatedAt: r.CreatedAt}
}
