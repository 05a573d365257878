package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// usage reads what souk has used so far.
func (s *souk) usage(ctx context.Context) (*used, error) {
	u := &used{counts: map[string]float64{}, tables: map[string]float64{}}
	var err error
	if u.cpu, err = s.cpu(); err != nil {
		return nil, err
	}
	for database := range s.state.Databases {
		if err := s.tables(ctx, database, u.tables); err != nil {
			return nil, fmt.Errorf("database %s: %w", database, err)
		}
	}
	err = errors.Join(s.postgres(ctx, u.counts), s.redis(ctx, u.counts))
	for _, folder := range []string{"nats", "redis"} {
		bytes, ferr := folderSize(filepath.Join(s.dir, folder))
		u.counts["bytes of "+folder+"'s files"] = float64(bytes)
		err = errors.Join(err, ferr)
	}
	return u, err
}

// tables reads the size of a database's tables, with their indexes.
func (s *souk) tables(ctx context.Context, database string, into map[string]float64) error {
	conn, err := pgx.Connect(ctx, s.state.Databases[database])
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it has only read
	rows, err := conn.Query(ctx, `select relname, pg_total_relation_size(c.oid) from pg_class c
		join pg_namespace n on n.oid = c.relnamespace where relkind = 'r' and nspname not in ('pg_catalog', 'information_schema')`)
	if err != nil {
		return err
	}
	var table string
	var bytes int64
	_, err = pgx.ForEachRow(rows, []any{&table, &bytes}, func() error {
		into[database+"."+table] += float64(bytes)
		return nil
	})
	return err
}

// postgres reads the server's counters, which lag by about a second.
func (s *souk) postgres(ctx context.Context, into map[string]float64) error {
	conn, err := pgx.Connect(ctx, s.state.Databases["order"])
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // it has only read
	var transactions, read, log, syncs, writes, pages float64
	if err := conn.QueryRow(ctx, `select d.xact_commit, d.blks_read, wal_bytes::float8, wal_sync::float8, wal_write::float8,
		(buffers_checkpoint + buffers_clean + buffers_backend)::float8
		from (select sum(xact_commit)::float8 xact_commit, sum(blks_read)::float8 blks_read from pg_stat_database) d,
		pg_stat_wal, pg_stat_bgwriter`).
		Scan(&transactions, &read, &log, &syncs, &writes, &pages); err != nil {
		return fmt.Errorf("these counters are those of PostgreSQL 14 to 16: %w", err)
	}
	into["transactions"], into["bytes of PostgreSQL's log"] = transactions, log
	into["syncs of PostgreSQL's log"], into["writes of PostgreSQL's log"] = syncs, writes
	into["pages that PostgreSQL read"], into["pages that PostgreSQL wrote"] = read, pages
	return nil
}

// connections counts the connections by database.
func (s *souk) connections(ctx context.Context) (map[string]int, error) {
	conn, err := pgx.Connect(ctx, s.state.Databases["order"])
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx) //nolint:errcheck // it has only read
	rows, err := conn.Query(ctx, `select datname, count(*)::int from pg_stat_activity
		where datname is not null and pid <> pg_backend_pid() group by datname`)
	if err != nil {
		return nil, err
	}
	found := map[string]int{}
	var database string
	var n int
	_, err = pgx.ForEachRow(rows, []any{&database, &n}, func() error {
		found[database] = n
		return nil
	})
	return found, err
}

// redis reads Redis's memory and its number of keys.
func (s *souk) redis(ctx context.Context, into map[string]float64) error {
	network := "tcp"
	if strings.HasPrefix(s.state.Redis, "/") {
		network = "unix"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, s.state.Redis)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // only read
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte("INFO memory\r\nINFO stats\r\nDBSIZE\r\n")); err != nil {
		return err
	}
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), ":")
		if keys, ok := strings.CutPrefix(name, ":"); ok || name == "" && text != "" {
			if keys == "" {
				keys = text
			}
			n, err := strconv.ParseFloat(keys, 64)
			into["keys in Redis"] = n
			return err
		}
		var to string
		switch name {
		case "used_memory":
			to = "bytes of Redis's memory"
		case "total_commands_processed":
			to = "commands of Redis"
		default:
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		into[to] = n
	}
	return errors.Join(errors.New("no number of keys is in Redis's answer"), lines.Err())
}

func folderSize(folder string) (bytes int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a file that was removed meanwhile
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		} else if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
	return bytes, err
}
