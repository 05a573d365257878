package shop

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"souk/apps/shop/internal/shop/sqlc"
	"souk/pkg/cache"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/personal"
	"souk/pkg/postgres"
	"souk/pkg/rpc"
)

// tag is the cache tag of all responses that show shops.
var tag = cache.Tag("shop")

// Store stores shops and members in PostgreSQL.
type Store struct {
	pool   *pgxpool.Pool
	redis  rueidis.Client
	cipher *personal.Cipher
	wake   func() // wakes the relay after new events
	limits func() Limits
	logger *zap.Logger
}

// NewStore returns the store. limits returns the limits as they are now.
func NewStore(
	pool *pgxpool.Pool, redis rueidis.Client, cipher *personal.Cipher, wake func(), limits func() Limits,
	logger *zap.Logger,
) *Store {
	return &Store{pool: pool, redis: redis, cipher: cipher, wake: wake, limits: limits, logger: logger}
}

func noShop() error { return errs.New(errs.NotFound, "there is no such shop") }

// Create stores a new shop and its owner, and appends the event. An empty owner adds no member.
//
// Errors: already_exists (the handle is taken), conflict (the owner is a member of too many shops).
func (s *Store) Create(ctx context.Context, sh *Shop, owner string, e event.Event) error {
	err := s.write(ctx, func(tx pgx.Tx) error {
		q := sqlc.New(tx)
		if owner != "" {
			if err := s.roomForShop(ctx, q, owner); err != nil {
				return err
			}
		}
		err := q.Create(ctx, sqlc.CreateParams{
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

// roomForShop returns an error if the user may not become a member of another shop. It locks the user, so that the
// transaction's change counts for the next one.
//
// Errors: conflict.
func (s *Store) roomForShop(ctx context.Context, q *sqlc.Queries, userID string) error {
	if err := q.LockUser(ctx, userID); err != nil {
		return err
	}
	n, err := q.ShopsOfUser(ctx, userID)
	if err == nil && n >= int64(s.limits().ShopsPerUser) {
		return errs.New(errs.Conflict, "you are a member of %d shops, which is the most", n)
	}
	return err
}

// Change locks a shop, lets f change it, stores it and appends the events that f returns. If f returns no events,
// nothing is stored. If userID is set, that user must have the method's permission in the shop, which must not be
// suspended.
//
// Errors: f's, not_found, forbidden (the permission is missing, or the shop is suspended).
func (s *Store) Change(ctx context.Context, key, userID string, f func(*Shop) ([]event.Event, error)) (*Shop, error) {
	var sh *Shop
	err := s.write(ctx, func(tx pgx.Tx) error {
		q := sqlc.New(tx)
		var err error
		if sh, err = lockFor(ctx, tx, key, userID); err != nil {
			return err
		}
		if userID != "" && sh.Status == Suspended {
			return suspended()
		}
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

func suspended() error {
	return errs.New(
		errs.Forbidden,
		"the shop is suspended: its members fulfil what was ordered and change nothing else",
	)
}

// lock locks a shop. If userID is set, that user must be a member, and lock returns what the user may do.
//
// Errors: not_found.
func lock(ctx context.Context, q *sqlc.Queries, key, userID string) (*Shop, []string, error) {
	if userID == "" {
		row, err := q.Lock(ctx, key)
		return shopOf(row), nil, notFound(err)
	}
	m, err := q.GetForMember(ctx, sqlc.GetForMemberParams{Key: key, UserID: userID})
	return &Shop{
		ID:          m.ID,
		Handle:      m.Handle,
		Name:        m.Name,
		Description: m.Description,
		LogoURL:     m.LogoUrl,
		City:        m.City,
		Region:      m.Region,
		CountryCode: m.CountryCode,
		Status:      Status(m.Status),
		Version:     m.Version,
		CreatedAt:   m.CreatedAt,
		UpdatedAt:   m.UpdatedAt,
	}, grants(Role(m.Role), m.Permissions), notFound(err)
}

// lockFor locks a shop. If userID is set, that user must have the method's permission in it, and the call is in the
// audit trail once the transaction is committed.
//
// Errors: not_found, forbidden (the permission is missing).
func lockFor(ctx context.Context, tx pgx.Tx, key, userID string) (*Shop, error) {
	sh, has, err := lock(ctx, sqlc.New(tx), key, userID)
	if err != nil || userID == "" {
		return sh, err
	}
	if !slices.Contains(has, rpc.Permission(ctx)) {
		return nil, lacking(ctx)
	}
	called, err := rpc.RecordWith(ctx)
	if err != nil {
		return nil, err
	}
	return sh, outbox.Append(ctx, tx, called...)
}

// lacking returns the error of a member who lacks the method's permission.
func lacking(ctx context.Context) error {
	return errs.New(errs.Forbidden, "this needs the permission %s of the shop", rpc.Permission(ctx))
}

// changeMembers runs f with a locked shop whose members the user may change (see lockFor), and appends the events
// that f returns.
//
// Errors: f's, not_found, forbidden (the permission is missing, or the shop is suspended).
func (s *Store) changeMembers(
	ctx context.Context, key, userID string, f func(*sqlc.Queries, *Shop) ([]event.Event, error),
) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := sqlc.New(tx)
		sh, err := lockFor(ctx, tx, key, userID)
		if err != nil {
			return err
		}
		if userID != "" && sh.Status == Suspended {
			return suspended()
		}
		events, err := f(q, sh)
		if err != nil || len(events) == 0 {
			return err
		}
		return outbox.Append(ctx, tx, events...)
	})
	if err != nil {
		return postgres.Err(err)
	}
	s.wake()
	return nil
}

// inTx runs f in a transaction.
func (s *Store) inTx(ctx context.Context, f func(*sqlc.Queries) error) error {
	return postgres.Err(postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error { return f(sqlc.New(tx)) }))
}

// locked runs f in a transaction with a shop that lockFor has locked.
//
// Errors: f's, not_found, forbidden (the permission is missing).
func (s *Store) locked(ctx context.Context, key, userID string, f func(*sqlc.Queries, *Shop) error) error {
	return postgres.Err(postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		sh, err := lockFor(ctx, tx, key, userID)
		if err != nil {
			return err
		}
		return f(sqlc.New(tx), sh)
	}))
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

// ListByStatus returns up to limit shops with a status that are older than the moment, newest first. An empty status:
// all shops.
func (s *Store) ListByStatus(ctx context.Context, status Status, before moment, limit int) ([]*Shop, error) {
	q := sqlc.New(s.pool)
	var rows []sqlc.Shop
	var err error
	size := int32(limit) //nolint:gosec // a page is small
	if status == "" {
		rows, err = q.ListAll(ctx, sqlc.ListAllParams{Before: before.Time, BeforeID: before.ID, Most: size})
	} else {
		arg := sqlc.ListByStatusParams{Status: string(status), Before: before.Time, BeforeID: before.ID, Most: size}
		rows, err = q.ListByStatus(ctx, arg)
	}
	return shopsOf(rows), postgres.Err(err)
}

// ListOfUser returns up to limit shops after the position that a user is a member of, by name.
func (s *Store) ListOfUser(ctx context.Context, userID string, after position, limit int) ([]*Shop, error) {
	rows, err := sqlc.New(s.pool).ListOfUser(ctx, sqlc.ListOfUserParams{
		UserID: userID, AfterName: after.Name, AfterID: after.ID, Most: int32(limit), //nolint:gosec // a page is small
	})
	return shopsOf(rows), postgres.Err(err)
}

// BatchGet returns the shops with these IDs or handles. Missing shops are left out.
func (s *Store) BatchGet(ctx context.Context, ids, handles []string) ([]*Shop, error) {
	rows, err := sqlc.New(s.pool).BatchGet(ctx, sqlc.BatchGetParams{Ids: ids, Handles: handles})
	return shopsOf(rows), postgres.Err(err)
}

// Standing is a user's role in a shop. The shop's ID and status are empty if there is no such shop, and the role if the
// user is not a member.
type Standing struct {
	ShopID string
	Status Status
	Role   Role
	// Permissions are what the user may do in the shop.
	Permissions []string
}

// Standing returns a user's standing in a shop, given by ID or handle.
func (s *Store) Standing(ctx context.Context, key, userID string) (Standing, error) {
	row, err := sqlc.New(s.pool).Standing(ctx, sqlc.StandingParams{Key: key, UserID: userID})
	if errors.Is(err, pgx.ErrNoRows) {
		return Standing{}, nil
	}
	return Standing{
		ShopID:      row.ID,
		Status:      Status(row.Status),
		Role:        Role(row.Role),
		Permissions: grants(Role(row.Role), row.Permissions),
	}, postgres.Err(err)
}

// Permitted returns a shop in which the user has the method's permission; see lockFor.
//
// Errors: not_found, forbidden.
func (s *Store) Permitted(ctx context.Context, key, userID string) (sh *Shop, err error) {
	err = s.locked(ctx, key, userID, func(_ *sqlc.Queries, locked *Shop) error {
		sh = locked
		return nil
	})
	return sh, err
}

// Members returns up to limit of a shop's members after the moment, oldest first.
func (s *Store) Members(ctx context.Context, shopID string, after moment, limit int) ([]Member, error) {
	rows, err := sqlc.New(s.pool).Members(ctx, sqlc.MembersParams{
		ShopID: shopID, After: after.Time, AfterID: after.ID, Most: int32(limit), //nolint:gosec // a page is small
	})
	out := make([]Member, 0, len(rows))
	for _, r := range rows {
		out = append(out, memberOf(r))
	}
	return out, postgres.Err(err)
}

// mostOwners is the most owners that get a mail about their shop.
const mostOwners = 10

// Owners returns the user IDs of a shop's owners, oldest first.
func (s *Store) Owners(ctx context.Context, shopID string) ([]string, error) {
	ids, err := sqlc.New(s.pool).Owners(ctx, sqlc.OwnersParams{ShopID: shopID, Most: mostOwners})
	return ids, postgres.Err(err)
}

// SetRole changes the role and the permissions of a member, on behalf of the user by; see lockFor.
//
// Errors: not_found (the shop or the membership), forbidden, conflict (no owner would be left).
func (s *Store) SetRole(
	ctx context.Context, key, by, userID string, role Role, permissions []string,
) (Member, error) {
	var m sqlc.Member
	err := s.changeMembers(ctx, key, by, func(q *sqlc.Queries, sh *Shop) ([]event.Event, error) {
		if role != Owner {
			if err := keepsOwner(ctx, q, sh.ID, userID); err != nil {
				return nil, err
			}
		}
		var err error
		m, err = q.SetRole(ctx, sqlc.SetRoleParams{
			ShopID: sh.ID, UserID: userID, Role: string(role), Permissions: stored(permissions),
		})
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errs.New(errs.NotFound, "this user is not a member of the shop: invite the person by e-mail")
		}
		return nil, err
	})
	return memberOf(m), err
}

// RemoveMember ends a membership, on behalf of the user by; see lockFor. Members may end their own, also of a
// suspended shop.
//
// Errors: not_found (the shop or the membership), forbidden, conflict (the last owner).
func (s *Store) RemoveMember(ctx context.Context, key, by, userID string) error {
	remove := func(q *sqlc.Queries, sh *Shop) ([]event.Event, error) {
		if err := keepsOwner(ctx, q, sh.ID, userID); err != nil {
			return nil, err
		}
		n, err := q.RemoveMember(ctx, sqlc.RemoveMemberParams{ShopID: sh.ID, UserID: userID})
		if err == nil && n == 0 {
			return nil, errs.New(errs.NotFound, "this user is not a member of the shop")
		}
		return nil, err
	}
	if by != userID {
		return s.changeMembers(ctx, key, by, remove)
	}
	return s.inTx(ctx, func(q *sqlc.Queries) error {
		sh, _, err := lock(ctx, q, key, by)
		if err == nil {
			_, err = remove(q, sh)
		}
		return err
	})
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
	return Member{
		ShopID: r.ShopID, UserID: r.UserID, Role: Role(r.Role), Permissions: r.Permissions, CreatedAt: r.CreatedAt,
	}
}

// stored returns permissions as the database has them: never null.
func stored(permissions []string) []string {
	if permissions == nil {
		return []string{}
	}
	return permissions
}

// timeOrNull returns a time as the database has it: null if it is zero.
func timeOrNull(t time.Time) pgtype.Timestamptz {
	return pgtype.Timestamptz{Time: t, Valid: !t.IsZero()}
}
