package repository

import (
	"context"
	_ "embed" // the statements below
	"encoding/base64"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/notification/internal/domain"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/personal"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/add_device.sql
	addDevice string
	//go:embed sql/trim_devices.sql
	trimDevices string
	//go:embed sql/get_devices.sql
	getDevices string
	//go:embed sql/get_device.sql
	getDevice string
	//go:embed sql/delete_device.sql
	deleteDevice string
	//go:embed sql/plain_devices.sql
	plainDevices string
	//go:embed sql/encrypt_device.sql
	encryptDevice string
	//go:embed sql/erase_user.sql
	eraseUser string
)

// maxDevices is the most devices of a user. A new one replaces the oldest.
const maxDevices = 10

// EncryptBatch is the most devices that EncryptPlain encrypts at once.
const EncryptBatch = 100

// target is where a device gets messages. It is stored encrypted.
type target struct {
	Token  string `json:"token"`
	P256dh string `json:"p256dh,omitempty"`
	Auth   string `json:"auth,omitempty"`
}

// deviceRow is a device as it is stored.
type deviceRow struct {
	ID, UserID  string
	Kind        domain.DeviceKind
	TokenDigest []byte
	Sealed      []byte
	// Token, P256dh and Auth are those of a device that was stored before souk encrypted them.
	Token, P256dh, Auth string
	CreatedAt           time.Time
}

func place(tokenDigest []byte) string {
	return "device/" + base64.RawStdEncoding.EncodeToString(tokenDigest)
}

// AddDevice adds a device, or gives the one with its token to the user, and returns it as it is stored.
//
// Errors: conflict (the user's data was erased).
func (s *Store) AddDevice(ctx context.Context, d domain.Device) (domain.Device, error) {
	digest, sealed, err := s.encryptDevice(ctx, d)
	if err != nil {
		return domain.Device{}, err
	}
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `delete from device where token = $1`, d.Token); err != nil { // one of before
			return err
		}
		row := tx.QueryRow(ctx, addDevice, d.ID, d.UserID, d.Kind, digest, sealed, d.CreatedAt)
		if err := row.Scan(&d.ID, &d.CreatedAt); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, trimDevices, d.UserID, maxDevices)
		return err
	})
	return d, postgres.Err(err)
}

func (s *Store) encryptDevice(ctx context.Context, d domain.Device) (digest, sealed []byte, err error) {
	if digest, err = s.cipher.Digest(ctx, "device", d.Token); err != nil {
		return nil, nil, err
	}
	sealed, err = s.cipher.EncryptJSON(ctx, d.UserID, place(digest), target{d.Token, d.P256dh, d.Auth})
	return digest, sealed, err
}

// Devices returns the devices of users, oldest first.
func (s *Store) Devices(ctx context.Context, userIDs ...string) ([]domain.Device, error) {
	return s.devices(ctx, getDevices, userIDs)
}

func (s *Store) devices(ctx context.Context, sql string, arg any) ([]domain.Device, error) {
	rows, err := collect[deviceRow](s.pool.Query(ctx, sql, arg))
	if err != nil {
		return nil, err
	}
	sealed := make([][]byte, len(rows))
	for i, r := range rows {
		sealed[i] = r.Sealed
	}
	s.cipher.Prefetch(ctx, sealed...)
	var out []domain.Device
	for _, r := range rows {
		to := target{r.Token, r.P256dh, r.Auth}
		if err := s.cipher.DecryptJSON(ctx, place(r.TokenDigest), r.Sealed, &to); err != nil {
			return nil, err
		}
		if to.Token == "" {
			continue // the user's data was erased
		}
		out = append(out, domain.Device{
			ID: r.ID, UserID: r.UserID, Kind: r.Kind, Token: to.Token, P256dh: to.P256dh, Auth: to.Auth,
			CreatedAt: r.CreatedAt,
		})
	}
	return out, nil
}

// Device returns a device.
//
// Errors: not_found.
func (s *Store) Device(ctx context.Context, deviceID string) (domain.Device, error) {
	got, err := s.devices(ctx, getDevice, deviceID)
	if err == nil && len(got) == 0 {
		err = errs.New(errs.NotFound, "there is no such device")
	}
	if err != nil {
		return domain.Device{}, err
	}
	return got[0], nil
}

// DeleteDevice deletes a device of a user; an empty userID stands for any user.
//
// Errors: not_found.
func (s *Store) DeleteDevice(ctx context.Context, userID, deviceID string) error {
	tag, err := s.pool.Exec(ctx, deleteDevice, deviceID, userID)
	if err == nil && tag.RowsAffected() == 0 {
		return errs.New(errs.NotFound, "you have no such device")
	}
	return postgres.Err(err)
}

// EncryptPlain encrypts devices that souk has stored before it encrypted them, and returns how many.
func (s *Store) EncryptPlain(ctx context.Context, _ time.Time) (int, error) {
	found, err := s.devices(ctx, plainDevices, EncryptBatch)
	if err != nil {
		return 0, err
	}
	for _, d := range found {
		digest, sealed, err := s.encryptDevice(ctx, d)
		if errors.Is(err, personal.ErrErased) { // a backup from before the erasure was restored
			if err := s.DeleteDevice(ctx, d.UserID, d.ID); err != nil && !errs.Is(err, errs.NotFound) {
				return 0, err
			}
			continue
		}
		if err != nil {
			return 0, err
		}
		if _, err := s.pool.Exec(ctx, encryptDevice, d.ID, digest, sealed); err != nil {
			return 0, postgres.Err(err)
		}
	}
	return len(found), nil
}

// Erased deletes what is kept about a person whose data was erased.
func (s *Store) Erased(ctx context.Context, tx pgx.Tx, e event.Event) error {
	var p userv1.UserErased
	if err := e.Decode(&p); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, eraseUser, p.GetUserId())
	return postgres.Err(err)
}
