// Package migration migrates a database's schema up and down.
//
// Files are named as golang-migrate expects: 000001_name.up.sql and 000001_name.down.sql. Each set of files has
// a name and its own version table (schema_migrations_<name>), so that a service's tables and those of the packages
// it uses can share one database.
//
// A file runs in one transaction with the update of the version. A process that is killed leaves the schema as it was
// before the file or after it, and the next start continues from there. There is no dirty state to repair. In return,
// a file can hold only statements that PostgreSQL runs in a transaction.
package migration

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/source/iofs"
)

// lockTimeout bounds the wait for another process that migrates the same set.
const lockTimeout = 10 * time.Minute

// Set is the migrations of one owner: a service, or a package with tables of its own.
type Set struct {
	// Name consists of at most 40 lowercase letters, digits and underscores. It is part of the version table's name.
	Name string
	// FS holds the files in exactly one folder, at any depth.
	FS fs.FS
}

// State is the state of a set in a database.
type State struct {
	// Version is the number of the last file that ran; 0: no file has run.
	Version uint
	// Latest is the number of the set's newest file; 0: the set is empty.
	Latest uint
	// Pending counts the files that have not run yet.
	Pending int
}

// Up runs all files that have not run yet. Concurrent calls for the same set wait for each other, also between
// processes. Up does not change a database that is ahead of the set (an older program on a newer schema).
func Up(ctx context.Context, url, name string, fsys fs.FS) error {
	return with(ctx, url, name, fsys, func(m *migrate.Migrate) error {
		state, err := stateOf(m, fsys)
		if err != nil {
			return err
		}
		if state.Pending == 0 {
			return nil
		}
		return m.Up()
	})
}

// UpAll calls Up for each set, in order.
func UpAll(ctx context.Context, url string, sets ...Set) error {
	for _, s := range sets {
		if err := Up(ctx, url, s.Name, s.FS); err != nil {
			return err
		}
	}
	return nil
}

// Down runs all down files of the set, the newest first.
func Down(ctx context.Context, url, name string, fsys fs.FS) error {
	return with(ctx, url, name, fsys, (*migrate.Migrate).Down)
}

// DownSteps undoes the newest n files that ran, or all of them if fewer have run.
func DownSteps(ctx context.Context, url, name string, fsys fs.FS, n int) error {
	if n < 1 {
		return fmt.Errorf("migration %s: cannot go down %d steps", name, n)
	}
	return with(ctx, url, name, fsys, func(m *migrate.Migrate) error {
		err := m.Steps(-n)
		var short migrate.ErrShortLimit
		if errors.As(err, &short) || errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
}

// Status returns the state of the set. It runs no migrations.
func Status(ctx context.Context, url, name string, fsys fs.FS) (State, error) {
	var state State
	err := with(ctx, url, name, fsys, func(m *migrate.Migrate) error {
		var err error
		state, err = stateOf(m, fsys)
		return err
	})
	return state, err
}

func stateOf(m *migrate.Migrate, fsys fs.FS) (State, error) {
	version, _, err := m.Version()
	if err != nil && !errors.Is(err, migrate.ErrNilVersion) {
		return State{}, err
	}
	versions, err := versionsOf(fsys)
	if err != nil {
		return State{}, err
	}
	state := State{Version: version}
	for _, v := range versions {
		state.Latest = max(state.Latest, v)
		if v > version {
			state.Pending++
		}
	}
	return state, nil
}

var (
	validName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	upFile    = regexp.MustCompile(`^([0-9]+)_.*\.up\.sql$`)
)

func versionsOf(fsys fs.FS) ([]uint, error) {
	dir, err := folder(fsys)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var versions []uint
	for _, e := range entries {
		match := upFile.FindStringSubmatch(e.Name())
		if match == nil {
			continue
		}
		var v uint
		if _, err := fmt.Sscanf(match[1], "%d", &v); err != nil {
			return nil, fmt.Errorf("migration file %s: %w", e.Name(), err)
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// folder returns the only folder that holds the files.
func folder(fsys fs.FS) (string, error) {
	dir := ""
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".up.sql") {
			return err
		}
		switch at := path.Dir(name); dir {
		case "", at:
			dir = at
			return nil
		default:
			return fmt.Errorf("migrations lie in two folders, %s and %s", dir, at)
		}
	})
	if err != nil {
		return "", fmt.Errorf("look for migrations: %w", err)
	}
	if dir == "" {
		return "", errors.New("look for migrations: no file ends in .up.sql")
	}
	return dir, nil
}

func with(ctx context.Context, url, name string, fsys fs.FS, do func(*migrate.Migrate) error) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("migration %s: %w", name, err)
		}
	}()
	if !validName.MatchString(name) {
		return errors.New("a set's name is lowercase letters, digits and underscores, at most 40")
	}
	dir, err := folder(fsys)
	if err != nil {
		return err
	}
	files, err := iofs.New(fsys, dir)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	db, err := connect(ctx, url, versionTable(name))
	if err != nil {
		return errors.Join(err, files.Close())
	}
	m, err := migrate.NewWithInstance("iofs", files, "souk", db)
	if err != nil {
		return errors.Join(err, files.Close(), db.Close())
	}
	m.LockTimeout = lockTimeout
	defer func() {
		sourceErr, dbErr := m.Close()
		err = errors.Join(err, sourceErr, dbErr)
	}()
	if err := do(m); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return err
	}
	return ctx.Err()
}
