package address

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/pkg/errs"
	"souk/pkg/page"
	"souk/pkg/postgres"
)

// Store stores address books in PostgreSQL. A change of a book's addresses or defaults locks the book.
type Store struct{ pool *pgxpool.Pool }

// NewStore returns the store.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

var (
	//go:embed sql/count_address.sql
	countAddress string
	//go:embed sql/lock_book.sql
	lockBook string
	//go:embed sql/clear_defaults.sql
	clearDefaults string
	//go:embed sql/create_address.sql
	createAddress string
	//go:embed sql/get_address.sql
	getAddress string
	//go:embed sql/lock_address.sql
	lockAddress string
	//go:embed sql/list_addresses.sql
	listAddresses string
	//go:embed sql/update_address.sql
	updateAddress string
	//go:embed sql/set_default.sql
	setDefault string
	//go:embed sql/delete_address.sql
	deleteAddress string
	//go:embed sql/default_to_oldest.sql
	defaultToOldest string
)

// Create stores a new address. The first one of a book becomes both defaults. It returns the address as it is stored.
//
// Errors: conflict (the book is full).
func (s *Store) Create(ctx context.Context, a Address) (Address, error) {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		var n int
		err := tx.QueryRow(ctx, countAddress, a.OwnerID, maxAddresses).Scan(&n)
		if errors.Is(err, pgx.ErrNoRows) {
			return errs.New(errs.Conflict, "your address book is full: it has %d addresses", maxAddresses)
		}
		if err != nil {
			return err
		}
		if n == 1 {
			a.DefaultShipping, a.DefaultBilling = true, true
		}
		if _, err := tx.Exec(ctx, clearDefaults, a.OwnerID, a.DefaultShipping, a.DefaultBilling); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, createAddress, a.ID, a.OwnerID, a.Label, a.Name, a.Line1, a.Line2, a.City, a.Region,
			a.PostalCode, a.CountryCode, a.Phone, a.DefaultShipping, a.DefaultBilling, a.CreatedAt, a.UpdatedAt)
		return err
	})
	return a, postgres.Err(err)
}

// Get returns an address of the owner.
//
// Errors: not_found.
func (s *Store) Get(ctx context.Context, ownerID, addressID string) (Address, error) {
	return one(s.pool.Query(ctx, getAddress, addressID, ownerID))
}

// List returns a page of the owner's addresses, oldest first, and the token of the next page.
//
// Errors: invalid_argument (a made-up token).
func (s *Store) List(
	ctx context.Context, ownerID string, size int32, token string,
) (addresses []Address, next string, err error) {
	var after string
	if err := page.Decode(token, &after, "addresses", ownerID); err != nil {
		return nil, "", err
	}
	limit := page.Size(size)
	// One more than the page shows whether there is a next one.
	rows, err := s.pool.Query(ctx, listAddresses, ownerID, after, limit+1)
	if err != nil {
		return nil, "", postgres.Err(err)
	}
	addresses, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Address])
	if err != nil || len(addresses) <= limit {
		return addresses, "", postgres.Err(err)
	}
	return addresses[:limit], page.Encode(addresses[limit-1].ID, "addresses", ownerID), nil
}

// Update locks an address of the owner, lets f change it, and stores it if f reports a change.
//
// Errors: f's, not_found.
func (s *Store) Update(
	ctx context.Context, ownerID, addressID string, f func(*Address) (changed bool, err error),
) (a Address, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if a, err = one(tx.Query(ctx, lockAddress, addressID, ownerID)); err != nil {
			return err
		}
		changed, err := f(&a)
		if err != nil || !changed {
			return err
		}
		_, err = tx.Exec(ctx, updateAddress, a.ID, a.OwnerID, a.Label, a.Name, a.Line1, a.Line2, a.City, a.Region,
			a.PostalCode, a.CountryCode, a.Phone, a.UpdatedAt)
		return err
	})
	return a, postgres.Err(err)
}

// SetDefault makes an address of the owner the default for shipping, for billing, or for both.
//
// Errors: not_found.
func (s *Store) SetDefault(
	ctx context.Context, ownerID, addressID string, shipping, billing bool, at time.Time,
) (a Address, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockBook, ownerID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, clearDefaults, ownerID, shipping, billing); err != nil {
			return err
		}
		a, err = one(tx.Query(ctx, setDefault, addressID, ownerID, shipping, billing, at))
		return err
	})
	return a, postgres.Err(err)
}

// Delete deletes an address of the owner. If it was a default, the oldest one that is left becomes the default.
//
// Errors: not_found.
func (s *Store) Delete(ctx context.Context, ownerID, addressID string) error {
	return postgres.Err(postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockBook, ownerID); err != nil {
			return err
		}
		var shipping, billing bool
		err := tx.QueryRow(ctx, deleteAddress, addressID, ownerID).Scan(&shipping, &billing)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNotFound
		}
		if err != nil || !shipping && !billing {
			return err
		}
		_, err = tx.Exec(ctx, defaultToOldest, ownerID, shipping, billing)
		return err
	}))
}

var errNotFound = errs.New(errs.NotFound, "there is no such address in your address book")

func one(rows pgx.Rows, err error) (Address, error) {
	if err != nil {
		return Address{}, postgres.Err(err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Address])
	if errors.Is(err, pgx.ErrNoRows) {
		return Address{}, errNotFound
	}
	return a, postgres.Err(err)
}
