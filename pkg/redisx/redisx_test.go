package redisx_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
	"souk/pkg/secrets"
	"souk/pkg/tlsconf"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// server is a Redis that a test can stop.
type server struct {
	t      *testing.T
	dir    string
	socket string
	port   int
	args   []string
	cmd    *exec.Cmd
}

func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	dir, err := os.MkdirTemp("", "redisx") // a socket's path must be short
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	require.NoError(t, l.Close())
	s := &server{t: t, dir: dir, socket: filepath.Join(dir, "s"), port: port, args: args}
	s.start()
	t.Cleanup(func() {
		s.stop()
		_ = os.RemoveAll(dir)
	})
	return s
}

func (s *server) start() {
	s.t.Helper()
	args := append(
		[]string{
			"--port",
			fmt.Sprint(s.port),
			"--bind",
			"127.0.0.1",
			"--unixsocket",
			s.socket,
			"--save",
			"",
			"--appendonly",
			"no",
			"--dir",
			s.dir,
		},
		s.args...)
	s.cmd = exec.Command("redis-server", args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(s.t, s.cmd.Start())
	waittest.Until(s.t, func() bool {
		c, err := net.Dial("unix", s.socket)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, "the server does not answer")
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGCONT)
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func open(t *testing.T, cfg redisx.Config) rueidis.Client {
	t.Helper()
	c, err := redisx.Open(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestSocketAndTCPWithPassword(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--requirepass", "secret")
	ctx := context.Background()
	a := open(t, redisx.Config{Addr: s.socket, Password: secrets.Plain("secret")})
	b := open(t, redisx.Config{Addr: s.addr(), Password: secrets.Plain("secret")})
	require.NoError(t, a.Do(ctx, a.B().Set().Key("k").Value("v").Build()).Error())
	got, err := b.DoCache(ctx, b.B().Get().Key("k").Cache(), time.Minute).ToString()
	require.NoError(t, err)
	require.Equal(t, "v", got)
	hit := b.DoCache(ctx, b.B().Get().Key("k").Cache(), time.Minute)
	require.True(t, hit.IsCacheHit())

	_, err = redisx.Open(ctx, redisx.Config{Addr: s.socket, Password: secrets.Plain("wrong")})
	require.Error(t, err)
}

// TestCommandsFailQuicklyWhileRedisIsStopped kills or suspends Redis. A command without a deadline soon fails with
// Unavailable, and succeeds again when Redis is back.
func TestCommandsFailQuicklyWhileRedisIsStopped(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"socket", "tcp"} {
		for _, way := range []string{"killed", "hanging"} {
			t.Run(addr+" "+way, func(t *testing.T) {
				t.Parallel()
				s := newServer(t)
				cfg := redisx.Default()
				cfg.Addr = s.socket
				if addr == "tcp" {
					cfg.Addr = s.addr()
				}
				c := open(t, cfg)
				ctx := context.Background()
				commands := map[string]func() error{
					"set": func() error { return c.Do(ctx, c.B().Set().Key("k").Value("v").Build()).Error() },
					"get": func() error { return c.Do(ctx, c.B().Get().Key("k").Build()).Error() },
					"multi": func() error {
						return c.DoMulti(ctx, c.B().Get().Key("k").Build(), c.B().Exists().Key("k").Build())[0].Error()
					},
					"cache": func() error {
						return c.DoCache(ctx, c.B().Get().Key("other").Cache(),
							time.Minute).Error()
					},
				}
				require.NoError(t, commands["set"]())
				if way == "killed" {
					s.stop()
				} else {
					require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
				}
				for range 2 {
					for name, f := range commands {
						start := time.Now()
						err := redisx.Err(f())
						require.True(t, errs.Is(err, errs.Unavailable), "%s: %v", name, err)
						require.Equal(t, time.Second, errs.From(err).RetryAfter)
						require.Less(t, time.Since(start), 5*time.Second, name) // without our timeouts it takes ten
					}
				}
				if way == "killed" {
					s.start()
				} else {
					require.NoError(t, s.cmd.Process.Signal(syscall.SIGCONT))
				}
				waittest.Until(t, func() bool { return redisx.Ping(ctx, c) == nil && commands["cache"]() != nil },
					"the client does not reconnect")
				require.NoError(t, commands["set"]())
			})
		}
	}
}

func TestOpenWithoutRedisIsUnavailable(t *testing.T) {
	t.Parallel()
	start := time.Now()
	_, err := redisx.Open(context.Background(), redisx.Config{Addr: "127.0.0.1:1"})
	require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
	require.Less(t, time.Since(start), 2*time.Second)
}

func TestInvalidConfigIsRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []redisx.Config{
		{}, {Addr: "localhost"}, {Addr: "a:1", DB: -1}, {Addr: "a:1", Config: tlsconf.Config{CAFile: "x"}},
		{Addr: "a:1", TLS: true, Config: tlsconf.Config{CAFile: "/nowhere"}}, {Addr: "a:1", Timeout: -1},
		{Addr: "a:1", TLS: true, Config: tlsconf.Config{CertFile: "x"}},
	} {
		_, err := redisx.Open(context.Background(), cfg)
		require.True(t, errs.Is(err, errs.Invalid), "%+v: %v", cfg, err)
	}
}

func TestErrAssignsCodes(t *testing.T) {
	t.Parallel()
	require.NoError(t, redisx.Err(nil))
	require.Equal(t, errs.NotFound, errs.CodeOf(redisx.Err(rueidis.Nil)))
	require.Equal(t, errs.Timeout, errs.CodeOf(redisx.Err(context.Canceled)))
	require.Equal(t, errs.Unavailable, errs.CodeOf(redisx.Err(context.DeadlineExceeded)))
	require.Equal(t, errs.Unavailable, errs.CodeOf(redisx.Err(&net.OpError{Op: "dial", Err: errors.New("refused")})))
	require.Equal(t, errs.Conflict, errs.CodeOf(redisx.Err(errs.New(errs.Conflict, "x"))))
}

func TestErrorsReturnedByRedisGetCodes(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
	c := open(t, redisx.Config{Addr: s.socket})
	ctx := context.Background()
	require.Equal(t, errs.Unavailable,
		errs.CodeOf(redisx.Err(c.Do(ctx, c.B().Set().Key("k").Value("v").Build()).Error())))
	require.Equal(t, errs.Internal, errs.CodeOf(redisx.Err(c.Do(ctx, c.B().Arbitrary("NONSENSE").Build()).Error())))
}
