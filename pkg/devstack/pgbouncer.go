package devstack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncer is a running private pooler in transaction mode, on a unix socket. It serves every database of a server, to
// everybody who reaches the socket: it is for tests.
type PgBouncer struct {
	proc *process
	dir  string
	to   *url.URL
}

// StartPgBouncer starts a pooler in front of a server without passwords, and waits until it responds. server is a URL
// of the server, with its user and one of its databases. The pooler has at most conns connections to each database.
func StartPgBouncer(ctx context.Context, server string, conns int) (_ *PgBouncer, err error) {
	ctx, cancel := context.WithTimeout(ctx, startStopTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("pgbouncer: %w", err)
		}
	}()
	to, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	dir, err := MemoryTempDir()
	if err != nil {
		return nil, err
	}
	p := &PgBouncer{dir: dir, to: to}
	if err := p.start(ctx, conns); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

func (p *PgBouncer) start(ctx context.Context, conns int) error {
	binary, err := findPgBouncer()
	if err != nil {
		return err
	}
	as, err := runAs() // PgBouncer does not run as root, either
	if err != nil {
		return err
	}
	q := p.to.Query()
	config := filepath.Join(p.dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
* = host=%s port=%s user=%s
[pgbouncer]
pool_mode = transaction
default_pool_size = %d
max_client_conn = 1000
auth_type = any
listen_addr =
listen_port = 6432
unix_socket_dir = %s
`, q.Get("host"), q.Get("port"), p.to.User.Username(), conns, p.dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	for _, f := range []string{p.dir, config} {
		if err := chown(f, as); err != nil {
			return err
		}
	}
	logFile := filepath.Join(p.dir, "pgbouncer.log")
	p.proc, err = command{
		path: binary, args: []string{config}, env: serverEnv(), dir: "/", as: as, logFile: logFile,
		stop: syscall.SIGINT, unwatched: true, remove: p.dir,
	}.start()
	if err != nil {
		return err
	}
	if err := awaitReady(ctx, p.proc, logFile, p.ping); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return errors.Join(err, p.proc.stop(stopCtx))
	}
	return nil
}

// findPgBouncer returns the path of the program, which Debian has in a folder that is not in every user's PATH.
func findPgBouncer() (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		path := filepath.Join(dir, "pgbouncer")
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", errors.New("the program was not found: apt-get install pgbouncer")
}

func (p *PgBouncer) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cfg, err := pgx.ParseConfig(p.URL(strings.TrimPrefix(p.to.Path, "/")))
	if err != nil {
		return err
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// URL returns the URL of a database behind the pooler.
func (p *PgBouncer) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: p.to.User, Path: "/" + database}
	u.RawQuery = url.Values{"host": {p.dir}, "port": {"6432"}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// Stop stops the pooler and removes its folder. Connections through it break.
func (p *PgBouncer) Stop(ctx context.Context) error {
	return errors.Join(p.proc.stop(ctx), os.RemoveAll(p.dir))
}
