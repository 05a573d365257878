package repository

import (
	"context"
	_ "embed" // the statements below
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/notification/internal/domain"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/get_preferences.sql
	getPreferences string
	//go:embed sql/set_preferences.sql
	setPreferences string
	//go:embed sql/opt_out.sql
	optOut string
	//go:embed sql/ensure_key.sql
	ensureKey string
	//go:embed sql/get_key.sql
	getKey string
)

// Preferences returns the preferences of owners. Owners without any are left out.
func (s *Store) Preferences(ctx context.Context, owners ...string) (map[string]domain.Preferences, error) {
	rows, err := s.pool.Query(ctx, getPreferences, owners)
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := map[string]domain.Preferences{}
	var p domain.Preferences
	_, err = pgx.ForEachRow(rows,
		[]any{&p.Owner, &p.Kinds, &p.Quiet.From, &p.Quiet.To, &p.Quiet.TimeZone}, func() error {
			out[p.Owner] = p
			p.Kinds = nil // the next row gets a map of its own
			return nil
		})
	return out, postgres.Err(err)
}

// SetPreferences replaces the preferences of their owner.
func (s *Store) SetPreferences(ctx context.Context, p domain.Preferences, at time.Time) error {
	kinds, err := json.Marshal(p.Kinds)
	if err != nil {
		return err
	}
	if p.Kinds == nil {
		kinds = []byte("{}")
	}
	_, err = s.pool.Exec(ctx, setPreferences, p.Owner, string(kinds), p.Quiet.From, p.Quiet.To, p.Quiet.TimeZone, at)
	return postgres.Err(err)
}

// OptOut ends the mails of a kind to an owner.
func (s *Store) OptOut(ctx context.Context, owner string, kind domain.Kind, at time.Time) error {
	_, err := s.pool.Exec(ctx, optOut, owner, string(kind), at)
	return postgres.Err(err)
}

// Key returns the key for a purpose, which all processes share. Fresh becomes the key if the purpose has no key.
func (s *Store) Key(ctx context.Context, purpose string, fresh []byte) (key []byte, err error) {
	if _, err := s.pool.Exec(ctx, ensureKey, purpose, fresh); err != nil {
		return nil, postgres.Err(err)
	}
	err = s.pool.QueryRow(ctx, getKey, purpose).Scan(&key)
	return key, postgres.Err(err)
}
