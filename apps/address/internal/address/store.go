package address

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/page"
	"souk/pkg/personal"
	"souk/pkg/postgres"
)

// Store stores address books in PostgreSQL, with encrypted addresses. A change of a book's addresses or defaults locks
// the book.
type Store struct {
	pool   *pgxpool.Pool
	cipher *personal.Cipher
}

// NewStore returns the store.
func NewStore(pool *pgxpool.Pool, cipher *personal.Cipher) *Store {
	return &Store{pool: pool, cipher: cipher}
}

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
	//go:embed sql/list_plain.sql
	listPlain string
	//go:embed sql/encrypt_plain.sql
	encryptPlain string
)

// Create stores a new address. The first one of a book becomes both defaults. It returns the address as it is stored.
//
// Errors: conflict (the book is full, the owner's data was erased).
func (s *Store) Create(ctx context.Context, a Address) (Address, error) {
	sealed, err := s.encrypt(ctx, a)
	if err != nil {
		return Address{}, err
	}
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
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
		_, err = tx.Exec(ctx, createAddress, a.ID, a.OwnerID, sealed, a.DefaultShipping, a.DefaultBilling, a.CreatedAt,
			a.UpdatedAt)
		return err
	})
	return a, postgres.Err(err)
}

// Get returns an address of the owner.
//
// Errors: not_found.
func (s *Store) Get(ctx context.Context, ownerID, addressID string) (Address, error) {
	return s.one(ctx, s.pool, getAddress, addressID, ownerID)
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
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return nil, "", postgres.Err(err)
	}
	addresses = make([]Address, len(found))
	for i, r := range found {
		if addresses[i], err = s.decrypt(ctx, r); err != nil {
			return nil, "", err
		}
	}
	if len(addresses) <= limit {
		return addresses, "", nil
	}
	return addresses[:limit], page.Encode(addresses[limit-1].ID, "addresses", ownerID), nil
}

// Update locks an address of the owner, lets f change it, and stores it if f reports a change.
//
// Errors: f's, not_found.
func (s *Store) Update(
	ctx context.Context, ownerID, addressID string, f func(*Address) (changed bool, err error),
) (a Address, err error) {
	if err := s.cipher.Warm(ctx, ownerID); err != nil {
		return Address{}, err
	}
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if a, err = s.one(ctx, tx, lockAddress, addressID, ownerID); err != nil {
			return err
		}
		changed, err := f(&a)
		if err != nil || !changed {
			return err
		}
		sealed, err := s.encrypt(ctx, a)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, updateAddress, a.ID, a.OwnerID, sealed, a.UpdatedAt)
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
	if err := s.cipher.Warm(ctx, ownerID); err != nil {
		return Address{}, err
	}
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockBook, ownerID); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, clearDefaults, ownerID, shipping, billing); err != nil {
			return err
		}
		a, err = s.one(ctx, tx, setDefault, addressID, ownerID, shipping, billing, at)
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

// row is an address as it is stored.
type row struct {
	ID              string
	OwnerID         string
	Sealed          []byte  // the JSON of Content, encrypted
	Plain           *string // the JSON of Content, if souk has stored the address before it encrypted them
	DefaultShipping bool
	DefaultBilling  bool
	CreatedAt       time.Time
	UpdatedAt       time.Time
}

func (s *Store) one(ctx context.Context, db postgres.Querier, sql string, args ...any) (Address, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return Address{}, postgres.Err(err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[row])
	if errors.Is(err, pgx.ErrNoRows) {
		return Address{}, errNotFound
	}
	if err != nil {
		return Address{}, postgres.Err(err)
	}
	return s.decrypt(ctx, r)
}

func place(addressID string) string { return "address/" + addressID }

func (s *Store) encrypt(ctx context.Context, a Address) ([]byte, error) {
	return s.cipher.EncryptJSON(ctx, a.OwnerID, place(a.ID), a.Content)
}

func (s *Store) decrypt(ctx context.Context, r row) (Address, error) {
	a := Address{
		ID: r.ID, OwnerID: r.OwnerID, DefaultShipping: r.DefaultShipping, DefaultBilling: r.DefaultBilling,
		CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	if r.Plain != nil {
		return a, json.Unmarshal([]byte(*r.Plain), &a.Content)
	}
	return a, s.cipher.DecryptJSON(ctx, place(r.ID), r.Sealed, &a.Content)
}

// EncryptBatch is the most addresses that EncryptPlain encrypts at once.
const EncryptBatch = 100

// EncryptPlain encrypts addresses that souk has stored before it encrypted them, and returns how many.
//
// Errors: those of [postgres.Err], unavailable.
func (s *Store) EncryptPlain(ctx context.Context, _ time.Time) (int, error) {
	rows, err := s.pool.Query(ctx, listPlain, EncryptBatch)
	if err != nil {
		return 0, postgres.Err(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return 0, postgres.Err(err)
	}
	for _, r := range found {
		a, err := s.decrypt(ctx, r)
		if err != nil {
			return 0, err
		}
		sealed, err := s.encrypt(ctx, a)
		if errors.Is(err, personal.ErrErased) { // a backup from before the erasure was restored
			err := s.Delete(ctx, r.OwnerID, r.ID)
			if err != nil && !errs.Is(err, errs.NotFound) {
				return 0, err
			}
			continue
		}
		if err != nil {
			return 0, err
		}
		if _, err := s.pool.Exec(ctx, encryptPlain, r.ID, sealed, r.UpdatedAt); err != nil {
			return 0, postgres.Err(err)
		}
	}
	return len(found), nil
}

// Erased deletes the address book of a person whose data was erased.
func (s *Store) Erased(ctx context.Context, tx pgx.Tx, e event.Event) error {
	var p userv1.UserErased
	if err := e.Decode(&p); err != nil {
		return err
	}
	b := &pgx.Batch{}
	b.Queue(`delete from address where owner_id = $1`, p.GetUserId())
	b.Queue(`delete from address_book where owner_id = $1`, p.GetUserId())
	return postgres.SendBatch(ctx, tx, b)
}
