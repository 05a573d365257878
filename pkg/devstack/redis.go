package devstack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"souk/pkg/tlsconf"
)

// RedisOptions set where Redis keeps its data.
type RedisOptions struct {
	// Dir holds the server's data and log. Required, unless Temporary.
	Dir string
	// Temporary is for test processes. The server does not save its data. It stops and its folder is removed when
	// this process ends. No goroutine watches it.
	Temporary bool
	// Port is a TCP port of loopback on which the server listens too. 0: it listens on its socket only.
	Port int
	// TLS, if not nil, are the server's files. The server then listens on a TCP port, Port or a free one, on which it
	// requires TLS and a certificate of each client. Redis has no list of revoked ones.
	TLS *tlsconf.Config
	// Restart starts the server again when it ends unexpectedly.
	Restart bool
	// Binary is the redis-server program. If empty, StartRedis searches PATH for it.
	Binary string
	// Logger logs unexpected ends and restarts. If nil, they are not logged.
	Logger *zap.Logger
}

// Redis is a running private redis-server on a unix socket, and on a port if it has one.
type Redis struct {
	server *server
	lock   *DirLock
	o      RedisOptions
	binary string
	// extra are further arguments. sentinel is the configuration file of a sentinel; "": it is none.
	extra    []string
	sentinel string

	socket    string
	ownSocket string // temporary folder of the socket to remove
	stopOnce  sync.Once
	stopErr   error
}

// StartRedis starts the server and waits until it has loaded its data and responds. The server never
// evicts a key. A write is on disk a second later (appendonly, everysec).
func StartRedis(ctx context.Context, o RedisOptions) (_ *Redis, err error) {
	ctx, cancel := context.WithTimeout(ctx, startStopTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("redis: %w", err)
		}
	}()
	r := &Redis{o: o}
	if err := r.prepare(ctx); err != nil {
		r.release()
		return nil, err
	}
	if err := r.begin(ctx); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

func (r *Redis) begin(ctx context.Context) error {
	r.server = newServer("redis", r.logFile(), r.o.Restart, r.o.Logger, r.launch)
	return r.server.begin(ctx)
}

func (r *Redis) prepare(ctx context.Context) (err error) {
	if r.o.Binary == "" {
		r.o.Binary = "redis-server"
	}
	if r.binary, err = exec.LookPath(r.o.Binary); err != nil {
		return fmt.Errorf("%s was not found: apt-get install redis-server", r.o.Binary)
	}
	if r.o.Temporary {
		if r.o.Dir, err = MemoryTempDir(); err != nil {
			return err
		}
	}
	if r.o.Dir == "" {
		return errors.New("a data directory is required")
	}
	if r.o.Dir, err = filepath.Abs(r.o.Dir); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	if r.lock, err = Lock(r.o.Dir); err != nil {
		return err
	}
	if err := os.Chmod(r.o.Dir, 0o700); err != nil { //nolint:gosec // a folder, private to this user
		return fmt.Errorf("data directory: %w", err)
	}
	if r.o.TLS != nil && r.o.Port == 0 {
		if r.o.Port, err = freePort(ctx); err != nil {
			return err
		}
	}
	r.socket = filepath.Join(r.o.Dir, "redis.sock")
	if len(r.socket) > maxSocketPath {
		if r.ownSocket, err = os.MkdirTemp("", "souk-redis-"); err != nil {
			return fmt.Errorf("socket directory: %w", err)
		}
		r.socket = filepath.Join(r.ownSocket, "redis.sock")
	}
	return nil
}

func (r *Redis) release() {
	if r.ownSocket != "" {
		_ = os.RemoveAll(r.ownSocket)
	}
	if r.lock != nil {
		_ = r.lock.Unlock()
	}
	if r.o.Temporary && r.o.Dir != "" {
		_ = os.RemoveAll(r.o.Dir)
	}
}

func (r *Redis) logFile() string { return filepath.Join(r.o.Dir, "redis.log") }

func (r *Redis) launch(ctx context.Context) (*process, error) {
	if err := r.awaitNoServer(ctx); err != nil {
		return nil, err
	}
	trimLog(r.logFile())
	persistence := []string{"--appendonly", "yes", "--appendfsync", "everysec", "--save", ""}
	if r.o.Temporary {
		persistence = []string{"--appendonly", "no", "--save", ""}
	}
	port := "--port"
	if r.o.TLS != nil {
		port = "--tls-port"
		persistence = append(
			persistence,
			"--port",
			"0",
			"--tls-protocols",
			"TLSv1.3",
			"--tls-auth-clients",
			"yes",
			"--tls-ca-cert-file",
			r.o.TLS.CAFile,
			"--tls-cert-file",
			r.o.TLS.CertFile,
			"--tls-key-file",
			r.o.TLS.KeyFile,
		)
	}
	args := append([]string{
		port, strconv.Itoa(r.o.Port), "--bind", "127.0.0.1",
		"--unixsocket", r.socket, "--unixsocketperm", "700", "--dir", r.o.Dir,
		"--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "notice",
		// A crash can truncate the last write. Redis then drops that write and loads the rest.
		"--aof-load-truncated", "yes",
	}, append(persistence, r.extra...)...)
	if r.sentinel != "" {
		args = append(append([]string{r.sentinel}, args...), "--sentinel")
	}
	c := command{
		path:      r.binary,
		args:      args,
		env:       serverEnv(),
		dir:       r.o.Dir,
		logFile:   r.logFile(),
		stop:      syscall.SIGTERM,
		unwatched: r.o.Temporary,
	}
	if r.o.Temporary {
		c.dir, c.remove = "/", r.o.Dir
	}
	proc, err := c.start()
	if err != nil {
		return nil, err
	}
	if err := awaitReady(ctx, proc, r.logFile(), r.ping); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return nil, errors.Join(err, proc.stop(stopCtx))
	}
	return proc, nil
}

// awaitNoServer waits until the server of a souk that was killed has stopped.
func (r *Redis) awaitNoServer(ctx context.Context) error {
	for deadline := time.Now().Add(10 * time.Second); r.ping(ctx) == nil; {
		if time.Now().After(deadline) {
			return fmt.Errorf("another redis-server runs on %s", r.o.Dir)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// ping sends PING. It returns an error while the server loads its data.
func (r *Redis) ping(ctx context.Context) error {
	answer, err := r.ask(ctx, "PING")
	if err == nil && !strings.HasPrefix(answer, "+PONG") {
		return fmt.Errorf("redis answers %q", strings.TrimSpace(answer))
	}
	return err
}

// ask sends one command and returns the answer as it comes: a line, or the lines of a text.
func (r *Redis) ask(ctx context.Context, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // never fails on a socket
	}
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	in := bufio.NewReader(conn)
	answer, err := in.ReadString('\n')
	if length, ok := strings.CutPrefix(answer, "$"); ok && err == nil {
		n, notNumber := strconv.Atoi(strings.TrimSpace(length))
		text := make([]byte, max(n, 0))
		_, err = io.ReadFull(in, text)
		return string(text), errors.Join(notNumber, err)
	}
	return answer, err
}

// Addr returns the path of the server's unix socket.
func (r *Redis) Addr() string { return r.socket }

// TLSAddr returns the address on which the server requires TLS.
func (r *Redis) TLSAddr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.o.Port)) }

// ReloadTLS makes the server read the files of TLS again. Connections that exist stay.
func (r *Redis) ReloadTLS(ctx context.Context) error {
	answer, err := r.ask(ctx, fmt.Sprintf("CONFIG SET tls-ca-cert-file %q tls-cert-file %q tls-key-file %q",
		r.o.TLS.CAFile, r.o.TLS.CertFile, r.o.TLS.KeyFile))
	if err == nil && !strings.HasPrefix(answer, "+OK") {
		err = errors.New(strings.TrimSpace(answer))
	}
	if err != nil {
		return fmt.Errorf("redis: reload: %w", err)
	}
	return nil
}

// PID returns the server's process ID, or that of its guard if the server is Temporary.
func (r *Redis) PID() int { return r.server.pid() }

// Done returns a channel that is closed when the server has ended, by Stop or, without Restart, unexpectedly. Err
// then returns the reason.
func (r *Redis) Done() <-chan struct{} { return r.server.done }

// Err returns why the server ended unexpectedly, or nil if it did not.
func (r *Redis) Err() error { return r.server.exitErr() }

// Stop lets the server write its data and waits for it to end. If ctx ends first, Stop kills it. It may be called
// twice.
func (r *Redis) Stop(ctx context.Context) error {
	r.stopOnce.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, startStopTimeout)
		defer cancel()
		if r.server != nil && r.server.proc != nil { // it has begun
			r.stopErr = r.server.stop(ctx)
		}
		r.release()
	})
	return r.stopErr
}
