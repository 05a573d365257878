package repository

import (
	"context"
	_ "embed" // the statements below

	"github.com/jackc/pgx/v5"

	"souk/apps/notification/internal/domain"
	"souk/pkg/errs"
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
)

// maxDevices is the most devices of a user. A new one replaces the oldest.
const maxDevices = 10

// AddDevice adds a device, or gives the one with its token to the user, and returns it as it is stored.
func (s *Store) AddDevice(ctx context.Context, d domain.Device) (stored domain.Device, err error) {
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, addDevice, d.ID, d.UserID, d.Kind, d.Token, d.P256dh, d.Auth, d.CreatedAt)
		if err != nil {
			return err
		}
		if stored, err = pgx.CollectOneRow(rows, pgx.RowToStructByPos[domain.Device]); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, trimDevices, d.UserID, maxDevices)
		return err
	})
	return stored, postgres.Err(err)
}

// Devices returns the devices of users, oldest first.
func (s *Store) Devices(ctx context.Context, userIDs ...string) ([]domain.Device, error) {
	return collect[domain.Device](s.pool.Query(ctx, getDevices, userIDs))
}

// Device returns a device.
//
// Errors: not_found.
func (s *Store) Device(ctx context.Context, deviceID string) (domain.Device, error) {
	got, err := collect[domain.Device](s.pool.Query(ctx, getDevice, deviceID))
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
