// Package pgtest gives each test its own PostgreSQL database, migrated and empty.
//
// The migrations run once, in a template database. There is one template for each distinct content of the migration
// sets; it stays on the server and all test processes share it. A test's database is a copy of the template. The copy
// takes 50 to 130 ms on two busy cores, and is dropped when the test ends.
//
// The server is that of SOUK_TEST_POSTGRES_URL (a superuser's URL). If that is unset, each test process starts a
// private server. It runs without fsync in a temporary folder, and ends with the process, however the process
// ends: see devstack.PostgresOptions.Temporary.
package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"souk/pkg/migration"
	"souk/pkg/postgres"
)

const (
	timeout = 60 * time.Second
	// abandoned is the age at which the database of a killed test is dropped.
	abandoned = 2 * time.Hour
	// maxConns limits one test's pool, because tests run in parallel in several processes.
	maxConns = 16
)

// New returns a pool on a new database for the test, with the sets migrated in order.
func New(t testing.TB, sets ...migration.Set) *pgxpool.Pool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	pool, err := postgres.Open(ctx, postgres.Config{URL: URL(t, sets...), MaxConns: maxConns})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// URL returns the URL of a new database for the test, with the sets migrated in order.
func URL(t testing.TB, sets ...migration.Set) string {
	t.Helper()
	server := Server(t)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	template, err := templates.get(ctx, server, sets)
	require.NoError(t, err)

	suffix := make([]byte, 6)
	_, _ = rand.Read(suffix) // never fails
	name := fmt.Sprintf("%s%d_%s", testPrefix, time.Now().Unix(), hex.EncodeToString(suffix))
	require.NoError(t, exec(ctx, server, `create database `+ident(name)+` template `+ident(template)))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := exec(ctx, server, `drop database if exists `+ident(name)+` with (force)`); err != nil {
			t.Logf("drop the test's database: %v", err)
		}
	})
	u, err := withDatabase(server, name)
	require.NoError(t, err)
	return u
}

// Server returns the superuser's URL of the server, for tests that need more than one database.
func Server(t testing.TB) string {
	t.Helper()
	if u := os.Getenv("SOUK_TEST_POSTGRES_URL"); u != "" {
		return u
	}
	return private(t)
}

const (
	templatePrefix = "souk_template_"
	testPrefix     = "souk_test_"
)

// templates caches which templates this process has ensured. It is global because the tests of a process have no
// common owner that could hold it.
var templates = &templateCache{byKey: map[string]*templateEntry{}}

type templateCache struct {
	mu    sync.Mutex
	byKey map[string]*templateEntry
}

type templateEntry struct {
	mu   sync.Mutex
	name string
}

func (c *templateCache) get(ctx context.Context, server string, sets []migration.Set) (string, error) {
	hash, err := fingerprint(sets)
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	entry, ok := c.byKey[server+"\x00"+hash]
	if !ok {
		entry = &templateEntry{}
		c.byKey[server+"\x00"+hash] = entry
	}
	c.mu.Unlock()

	entry.mu.Lock()
	defer entry.mu.Unlock()
	if entry.name == "" {
		name := templatePrefix + hash
		if err := ensureTemplate(ctx, server, name, sets); err != nil {
			return "", err
		}
		entry.name = name
	}
	return entry.name, nil
}

// fingerprint returns a hash of the content of the sets.
func fingerprint(sets []migration.Set) (string, error) {
	h := sha256.New()
	for _, s := range sets {
		fmt.Fprintf(h, "set %q\n", s.Name)
		err := fs.WalkDir(s.FS, ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".sql") {
				return err
			}
			content, err := fs.ReadFile(s.FS, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(h, "file %q %d\n", name, len(content))
			_, err = h.Write(content)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("read migrations of %s: %w", s.Name, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:10]), nil
}

// ensureTemplate creates the template unless it exists. Only a finished database is marked as a template, so one
// that a killed process left unfinished is created again.
func ensureTemplate(ctx context.Context, server, name string, sets []migration.Set) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // releases the lock; an error of closing does not matter
	if _, err := conn.Exec(ctx, `select pg_advisory_lock(hashtextextended($1, 8))`, name); err != nil {
		return fmt.Errorf("lock the template: %w", err)
	}
	var done bool
	err = conn.QueryRow(ctx, `select coalesce((select datistemplate from pg_database where datname = $1), false)`,
		name).
		Scan(&done)
	if err != nil {
		return fmt.Errorf("look for the template: %w", err)
	}
	if done {
		return nil
	}
	dropAbandoned(ctx, conn)
	if _, err := conn.Exec(ctx, `drop database if exists `+ident(name)+` with (force)`); err != nil {
		return fmt.Errorf("drop the unfinished template: %w", err)
	}
	if _, err := conn.Exec(ctx, `create database `+ident(name)+` template template0`); err != nil {
		return fmt.Errorf("create the template: %w", err)
	}
	u, err := withDatabase(server, name)
	if err != nil {
		return err
	}
	if err := migration.UpAll(ctx, u, sets...); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx,
		`alter database `+ident(name)+` with is_template true allow_connections false`); err != nil {
		return fmt.Errorf("finish the template: %w", err)
	}
	return nil
}

// dropAbandoned drops databases of tests that were killed long ago. It ignores errors: the next run tries again.
func dropAbandoned(ctx context.Context, conn *pgx.Conn) {
	rows, err := conn.Query(ctx, `select d.datname from pg_database d
		where d.datname ~ '^souk_test_[0-9]+_[0-9a-f]+$'
		  and split_part(d.datname, '_', 3)::bigint < $1
		  and not exists (select 1 from pg_stat_activity a where a.datname = d.datname)`, time.Now().Add(-abandoned).Unix())
	if err != nil {
		return
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return
	}
	for _, name := range names {
		_, _ = conn.Exec(ctx, `drop database if exists `+ident(name))
	}
}

func exec(ctx context.Context, server, sql string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

func ident(name string) string { return pgx.Identifier{name}.Sanitize() }

func withDatabase(server, name string) (string, error) {
	u, err := url.Parse(server)
	if err == nil && u.Scheme != "postgres" && u.Scheme != "postgresql" {
		err = fmt.Errorf("its scheme is %q", u.Scheme)
	}
	if err != nil {
		return "", fmt.Errorf("SOUK_TEST_POSTGRES_URL must look like postgres://user@host:port/database: %w", err)
	}
	u.Path = "/" + name
	return u.String(), nil
}
