// Command testenv runs a command, such as go test ./..., with a private PostgreSQL and Redis. It starts them
// before the command and removes them after it:
//
//	go run ./tools/testenv -- go test ./...
//
// It exports SOUK_TEST_POSTGRES_URL and SOUK_TEST_REDIS_ADDR. It does not start a server whose variable is set
// already. SOUK_TEST_REDIS says which Redis it starts: single (the default), sentinel (a primary and a sentinel) or
// cluster (three masters). Package redistest connects tests to it. Its exit code is the command's.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"souk/pkg/devstack"
)

const stopTimeout = 30 * time.Second

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	code, err := run(context.Background(), args, os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
	}
	os.Exit(code)
}

// run returns the exit code: the command's, 125 if no command was given, 126 if the servers failed, 127 if the
// command did not start.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int, err error) {
	if len(args) == 0 {
		return 125, errors.New("usage: testenv -- command [argument …]")
	}
	// From here on a signal ends the command first, and then this process gracefully.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)

	env := os.Environ()
	stop := func(f func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		if stopErr := f(ctx); stopErr != nil {
			err = errors.Join(err, stopErr)
		}
	}
	if os.Getenv("SOUK_TEST_POSTGRES_URL") == "" {
		p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Temporary: true})
		if err != nil {
			return 126, err
		}
		defer stop(p.Stop)
		env = append(env, "SOUK_TEST_POSTGRES_URL="+p.AdminURL())
	}
	if os.Getenv("SOUK_TEST_REDIS_ADDR") == "" {
		addr, stopRedis, err := startRedis(ctx, os.Getenv("SOUK_TEST_REDIS"))
		if err != nil {
			return 126, err
		}
		defer stop(stopRedis)
		env = append(env, "SOUK_TEST_REDIS_ADDR="+addr)
	}

	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, stdin, stdout, stderr
	if err := cmd.Start(); err != nil {
		return 127, err
	}
	return wait(cmd, signals)
}

// startRedis starts a Redis of the kind. It returns its addresses, joined by commas.
func startRedis(ctx context.Context, kind string) (addrs string, stop func(context.Context) error, err error) {
	var g *devstack.RedisGroup
	switch kind {
	case "", "single":
		r, err := devstack.StartRedis(ctx, devstack.RedisOptions{Temporary: true})
		if err != nil {
			return "", nil, err
		}
		return r.Addr(), r.Stop, nil
	case "sentinel":
		g, err = devstack.StartRedisSentinel(ctx, 1, 0)
	case "cluster":
		g, err = devstack.StartRedisCluster(ctx, devstack.RedisClusterOptions{Temporary: true})
	default:
		err = fmt.Errorf("SOUK_TEST_REDIS must be single, sentinel or cluster, not %q", kind)
	}
	if err != nil {
		return "", nil, err
	}
	return strings.Join(g.Addrs(), ","), g.Stop, nil
}

func wait(cmd *exec.Cmd, signals <-chan os.Signal) (int, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // an error means that it has ended
		case err := <-ended:
			var exit *exec.ExitError
			if err == nil || !errors.As(err, &exit) {
				return 0, err
			}
			if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
				return 128 + int(status.Signal()), nil
			}
			return exit.ExitCode(), nil
		}
	}
}
