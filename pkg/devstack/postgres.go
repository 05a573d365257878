package devstack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"souk/pkg/tlsconf"
)

// PostgresOptions set where PostgreSQL keeps its data and how clients reach it.
type PostgresOptions struct {
	// Dir holds the server's data, passwords and log. Required, unless Temporary.
	Dir string
	// Port is the loopback port. Zero picks a free one.
	Port int
	// Databases are created if they do not exist, each with a role of the same name.
	Databases []string
	// NoSync turns fsync off. It is fast, but a power failure loses data. For tests.
	NoSync bool
	// Temporary is for test processes. The server runs in a temporary folder, without fsync and passwords, and
	// listens on its socket only. It stops and the folder is removed when this process ends. No goroutine
	// watches it.
	Temporary bool
	// Restart starts the server again when it ends unexpectedly.
	Restart bool
	// StandbyOf is a Temporary server of which this one, also Temporary, is to be a streaming replica.
	StandbyOf *Postgres
	// TLS, if not nil, are the server's files. The server then requires a certificate of each client: see TLSURL.
	TLS *tlsconf.Config
	// BinDir holds initdb and postgres. If empty, StartPostgres searches for them.
	BinDir string
	// Logger logs unexpected ends and restarts. If nil, they are not logged.
	Logger *zap.Logger
}

// Postgres is a running private PostgreSQL server.
type Postgres struct {
	server *server
	lock   *DirLock
	o      PostgresOptions
	as     *syscall.Credential
	bin    postgresBinaries

	data      string
	socketDir string
	ownSocket bool // socketDir is a temporary folder to remove
	port      int
	secrets   secrets
	stopOnce  sync.Once
	stopErr   error
}

const superuser = "postgres"

// startStopTimeout is the longest that a start or a stop may take. It includes recovery after a crash.
const startStopTimeout = 60 * time.Second

// StartPostgres starts the server and waits until it accepts connections. The first start on a directory creates
// the database cluster. If this process runs as root, the server runs as user postgres.
func StartPostgres(ctx context.Context, o PostgresOptions) (_ *Postgres, err error) {
	ctx, cancel := context.WithTimeout(ctx, startStopTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("postgres: %w", err)
		}
	}()
	p := &Postgres{o: o, port: o.Port}
	if err := p.prepare(ctx); err != nil {
		p.release()
		return nil, err
	}
	p.server = newServer("postgres", p.logFile(), o.Restart, o.Logger, p.launch)
	if err := p.server.begin(ctx); err != nil {
		p.release()
		return nil, err
	}
	if err := p.createDatabases(ctx); err != nil {
		return nil, errors.Join(err, p.Stop(ctx))
	}
	return p, nil
}

func (p *Postgres) prepare(ctx context.Context) (err error) {
	if p.as, err = runAs(); err != nil {
		return err
	}
	if p.o.Temporary {
		p.o.NoSync = true
		if p.o.Dir, err = MemoryTempDir(); err != nil {
			return err
		}
		if err := chown(p.o.Dir, p.as); err != nil { // the guard runs as that user and removes the folder
			return fmt.Errorf("temporary directory: %w", err)
		}
	}
	if p.o.Dir == "" {
		return errors.New("a data directory is required")
	}
	if p.o.Dir, err = filepath.Abs(p.o.Dir); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	p.data = filepath.Join(p.o.Dir, "data")
	if p.bin, err = findPostgres(p.o.BinDir, p.data); err != nil {
		return err
	}
	if p.lock, err = Lock(p.o.Dir); err != nil {
		return err
	}
	if err := traversable(p.o.Dir, p.as); err != nil {
		return err
	}
	if p.secrets, err = loadSecrets(filepath.Join(p.o.Dir, "passwords.json"),
		append([]string{superuser}, p.o.Databases...)); err != nil {
		return err
	}
	if err := p.makeSocketDir(); err != nil {
		return err
	}
	if err := p.initdb(ctx); err != nil {
		return err
	}
	if p.port == 0 {
		p.port, err = freePort(ctx)
	}
	return err
}

// release removes the temporary folders and releases the lock.
func (p *Postgres) release() {
	if p.ownSocket {
		_ = os.RemoveAll(p.socketDir)
	}
	if p.lock != nil {
		_ = p.lock.Unlock()
	}
	if p.o.Temporary && p.o.Dir != "" {
		_ = os.RemoveAll(p.o.Dir)
	}
}

// maxSocketPath is the longest path, in bytes, of a unix socket's address.
const maxSocketPath = 103

func (p *Postgres) makeSocketDir() error {
	p.socketDir = filepath.Join(p.o.Dir, "run")
	if len(p.socketDir)+len("/.s.PGSQL.65535.lock") > maxSocketPath {
		dir, err := os.MkdirTemp("", "souk-pg-")
		if err != nil {
			return fmt.Errorf("socket directory: %w", err)
		}
		p.socketDir, p.ownSocket = dir, true
	}
	if err := ownedDir(p.socketDir, p.as); err != nil {
		return fmt.Errorf("socket directory: %w", err)
	}
	return nil
}

func (p *Postgres) logFile() string { return filepath.Join(p.o.Dir, "postgres.log") }

func (p *Postgres) launch(ctx context.Context) (*process, error) {
	if err := awaitNoPostmaster(ctx, p.data); err != nil {
		return nil, err
	}
	trimLog(p.logFile())
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(p.port),
		"unix_socket_directories": p.socketDir,
		"max_connections":         "300",
		"shared_buffers":          "128MB",
		"synchronous_commit":      "on",
		"fsync":                   "on",
		"max_wal_size":            "2GB",
		"jit":                     "off", // short statements
		"timezone":                "UTC",
		"log_timezone":            "UTC",
		"lc_messages":             "C",
		"logging_collector":       "off",
	}
	if p.o.TLS != nil {
		if err := p.writeTLS(); err != nil {
			return nil, err
		}
		maps.Copy(settings, p.tlsSettings())
	}
	if p.o.NoSync {
		settings["fsync"], settings["synchronous_commit"], settings["full_page_writes"] = "off", "off", "off"
	}
	if p.o.Temporary {
		settings["listen_addresses"] = ""
	}
	args := []string{"-D", p.data}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	c := command{
		path:      p.bin.postgres,
		args:      args,
		env:       serverEnv(),
		dir:       p.data,
		as:        p.as,
		logFile:   p.logFile(),
		stop:      syscall.SIGINT,
		unwatched: p.o.Temporary,
	}
	if p.o.Temporary {
		c.dir, c.remove = "/", p.o.Dir
	}
	proc, err := c.start()
	if err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, proc, p.logFile(), p.ping); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, proc.stop(stopCtx))
	}
	return proc, nil
}

func (p *Postgres) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, p.AdminURL())
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// AdminURL returns the URL for the superuser.
func (p *Postgres) AdminURL() string { return p.socketURL(superuser, superuser) }

// URL returns the URL for a database as its own role, over the unix socket. It works as long as the server runs.
func (p *Postgres) URL(database string) string { return p.socketURL(database, database) }

func (p *Postgres) socketURL(user, database string) string {
	u := url.URL{Scheme: "postgres", User: p.userinfo(user), Path: "/" + database}
	u.RawQuery = url.Values{"host": {p.socketDir}, "port": {strconv.Itoa(p.port)}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// TCPURL returns the URL for a database as its own role, over the loopback port, for tools that need a host.
func (p *Postgres) TCPURL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     p.userinfo(database),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (p *Postgres) userinfo(user string) *url.Userinfo {
	if p.o.Temporary {
		return url.User(user)
	}
	return url.UserPassword(user, p.secrets.of(user))
}

// PID returns the server's process ID, or that of its guard if the server is Temporary.
func (p *Postgres) PID() int { return p.server.pid() }

// Done returns a channel that is closed when the server has ended, by Stop or, without Restart, unexpectedly. Err
// then returns the reason.
func (p *Postgres) Done() <-chan struct{} { return p.server.done }

// Err returns why the server ended unexpectedly, or nil if it did not.
func (p *Postgres) Err() error { return p.server.exitErr() }

// Stop ends the sessions, shuts the server down with all data on disk, and waits for it. If ctx ends first, Stop
// kills the server, which recovers at the next start. It may be called twice.
func (p *Postgres) Stop(ctx context.Context) error {
	p.stopOnce.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, startStopTimeout)
		defer cancel()
		p.stopErr = p.server.stop(ctx)
		p.release()
	})
	return p.stopErr
}
