package tests

import (
	"context"
	"io/fs"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/apps/notification"
	"souk/pkg/jobs"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
	"souk/pkg/secrets"
)

func TestConfigRejectsInvalidValues(t *testing.T) {
	t.Parallel()
	good := notification.Default()
	good.SMTPAddr = "mail.example.com:587"
	require.NoError(t, good.Validate())
	for path, change := range map[string]func(*notification.Config){
		"smtp_addr":   func(c *notification.Config) { c.SMTPAddr = "" },
		"tls":         func(c *notification.Config) { c.TLS = "maybe" },
		"username":    func(c *notification.Config) { c.Username = secrets.Plain("souk") },
		"from":        func(c *notification.Config) { c.From = "not an address" },
		"public_url":  func(c *notification.Config) { c.PublicURL = "souk.example" },
		"timeout":     func(c *notification.Config) { c.Timeout = time.Hour },
		"concurrency": func(c *notification.Config) { c.Concurrency = 0 },
		"give_up":     func(c *notification.Config) { c.GiveUp = 0 },
		"hold":        func(c *notification.Config) { c.Hold = -1 },
		"max_per":     func(c *notification.Config) { c.MaxPerHour = 0 },
	} {
		c := good
		change(&c)
		require.ErrorContains(t, c.Validate(), path)
	}
}

func TestMigrationsCanBeRepeated(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, jobs.Migrations())
	for range 2 {
		require.NoError(t, migration.Up(t.Context(), url, "notification", notification.Module.Migrations))
		require.NoError(t, migration.Down(t.Context(), url, "notification", notification.Module.Migrations))
	}
}

// The previous version's mails become notices and deliveries. Those that wait have jobs.
func TestMigrationKeepsMails(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t, jobs.Migrations())
	before := fstest.MapFS{}
	for _, name := range []string{"000001_mails.up.sql", "000002_more_kinds.up.sql"} {
		body, err := fs.ReadFile(notification.Module.Migrations, "db/migrations/"+name)
		require.NoError(t, err)
		before["db/migrations/"+name] = &fstest.MapFile{Data: body}
	}
	require.NoError(t, migration.Up(t.Context(), url, "notification", before))
	db, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close(context.Background())) })
	_, err = db.Exec(t.Context(), `
		insert into mail (id, kind, order_id, about, shop_id, user_id, items, state, next_at, created_at, sent_at, open) values
		('mail_1', 'order_confirmed', 'ord_1', null, null, null, '[]', 'sent', now(), now(), now(), false),
		('mail_2', 'order_confirmed', 'ord_2', null, null, null, '[]', 'queued', now() + interval '1 h', now(), null, false),
		('mail_3', 'shop_invitation', null, 'inv_1', null, null, '[]', 'sending', now(), now(), null, false),
		('mail_4', 'new_orders', null, null, 'shp_1', null, '[{"order_id": "ord_1"}]', 'split', now(), now(), now(), false),
		('mail_5', 'new_orders', null, 'mail_4:usr_1', 'shp_1', 'usr_1', '[{"order_id": "ord_1"}]', 'sent', now(), now(), now(), false),
		('mail_6', 'new_orders', null, 'mail_4:usr_2', 'shp_1', 'usr_2', '[{"order_id": "ord_1"}]', 'queued', now(), now(), null, false),
		('mail_7', 'new_orders', null, null, 'shp_1', null, '[{"order_id": "ord_2"}]', 'queued', now(), now(), null, true)`)
	require.NoError(t, err)
	read := func(sql string) []string {
		rows, err := db.Query(t.Context(), sql)
		require.NoError(t, err)
		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return got
	}
	require.NoError(t, migration.Up(t.Context(), url, "notification", notification.Module.Migrations))
	require.Equal(t, []string{"mail_1 done", "mail_2 queued", "mail_3 queued", "mail_4 done", "mail_7 queued"},
		read(`select id || ' ' || state from notice order by id`))
	require.Equal(t, []string{"mail_1 mail_1 ord_1 sent", "mail_5 mail_4 usr_1 sent", "mail_6 mail_4 usr_2 queued"},
		read(`select concat_ws(' ', id, notice_id, recipient, state) from delivery order by id`))
	const waiting = `select concat_ws(' ', kind, args ->> 'id', queue) from river_job order by 1`
	require.Equal(
		t,
		[]string{
			"delivery mail_6 email",
			"notice mail_2 notice",
			"notice mail_3 notice",
			"notice mail_7 notice",
		},
		read(waiting),
	)

	require.NoError(t, migration.Down(t.Context(), url, "notification", notification.Module.Migrations))
	require.Empty(t, read(waiting))
}
