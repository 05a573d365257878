package devstack_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/devstack"
	"souk/pkg/waittest"
)

// childEnv makes the test binary a process that starts servers and waits to be killed.
const childEnv = "SOUK_DEVSTACK_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// child starts two servers in dir and a temporary one, prints their addresses, and waits.
func child(dir string) {
	ctx := context.Background()
	p, err := devstack.StartPostgres(ctx,
		devstack.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Databases: []string{"shop"}})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	r, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	temp, err := devstack.StartRedis(ctx, devstack.RedisOptions{Temporary: true})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	fmt.Println("ready", p.URL("shop"), p.PID(), r.Addr(), r.PID(), temp.Addr(), temp.PID())
	select {}
}

// dataDir returns a directory that user postgres can reach. It cannot reach t.TempDir.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func setup(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func startPostgres(ctx context.Context, t *testing.T, o devstack.PostgresOptions) *devstack.Postgres {
	t.Helper()
	p, err := devstack.StartPostgres(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Stop(context.Background())) })
	return p
}

func query[T any](ctx context.Context, t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(ctx)) }()
	var v T
	require.NoError(t, conn.QueryRow(ctx, sql).Scan(&v))
	return v
}

func execute(ctx context.Context, t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err)
}

// redis sends one command and returns the last line of the reply.
func redis(t *testing.T, socket string, command ...string) string {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "%s\r\n", strings.Join(command, " "))
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	if strings.HasPrefix(line, "$") && !strings.HasPrefix(line, "$-") {
		line, err = r.ReadString('\n')
		require.NoError(t, err)
	}
	return strings.TrimSpace(line)
}

func gone(pid int) bool { return syscall.Kill(pid, 0) != nil }

func TestPostgresKeepsItsDataOverARestart(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	dir := filepath.Join(dataDir(t), "postgres")
	o := devstack.PostgresOptions{Dir: dir, Databases: []string{"shop", "order"}}
	p := startPostgres(ctx, t, o)
	execute(ctx, t, p.URL("shop"), `create table t as select 42 as n`)
	require.Equal(t, "on", query[string](ctx, t, p.URL("shop"), `show fsync`))
	require.Equal(t, "shop", query[string](ctx, t, p.TCPURL("shop"), `select current_user`))

	_, err := pgx.Connect(ctx, strings.Replace(p.TCPURL("shop"), "/shop?", "/order?", 1))
	require.ErrorContains(t, err, "permission denied", "a role has its own database only")
	info, err := os.Stat(filepath.Join(dir, "passwords.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	_, err = devstack.StartPostgres(ctx, o)
	require.ErrorContains(t, err, fmt.Sprintf("another souk dev (pid %d) uses this data directory", os.Getpid()))

	require.NoError(t, p.Stop(ctx))
	require.NoError(t, p.Stop(ctx), "twice is fine")
	require.NoError(t, p.Err())
	waittest.Receive(t, p.Done())
	require.True(t, gone(p.PID()))

	o.Databases = append(o.Databases, "cart")
	again := startPostgres(ctx, t, o)
	require.Equal(t, 42, query[int](ctx, t, again.URL("shop"), `select n from t`))
	require.Equal(t, "cart", query[string](ctx, t, again.URL("cart"), `select current_database()::text`))
}

func TestUnexpectedEndOfPostgresIsReportedOrRepaired(t *testing.T) {
	t.Parallel()
	ctx := setup(t)

	t.Run("Done and Err report it", func(t *testing.T) {
		t.Parallel()
		p := startPostgres(ctx, t, devstack.PostgresOptions{Dir: filepath.Join(dataDir(t), "postgres"), NoSync: true})
		require.NoError(t, syscall.Kill(p.PID(), syscall.SIGKILL))
		waittest.Receive(t, p.Done())
		require.ErrorContains(t, p.Err(), "postgres ended unexpectedly: signal: killed")
	})
	t.Run("Restart brings it back with its data", func(t *testing.T) {
		t.Parallel()
		p := startPostgres(
			ctx,
			t,
			devstack.PostgresOptions{
				Dir:       filepath.Join(dataDir(t), "postgres"),
				Restart:   true,
				Databases: []string{"shop"},
			},
		)
		execute(ctx, t, p.URL("shop"), `create table t as select 42 as n`)
		killed := p.PID()
		require.NoError(t, syscall.Kill(killed, syscall.SIGKILL))
		waittest.Until(t, func() bool { return p.PID() != killed }, "PostgreSQL is not restarted")
		require.Equal(t, 42, query[int](ctx, t, p.URL("shop"), `select n from t`))
	})
}

func TestRedisKeepsItsDataOverARestart(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	o := devstack.RedisOptions{Dir: filepath.Join(dataDir(t), "redis")}
	r, err := devstack.StartRedis(ctx, o)
	require.NoError(t, err)
	require.Equal(t, "+OK", redis(t, r.Addr(), "SET", "k", "v"))
	_, err = devstack.StartRedis(ctx, o)
	require.ErrorContains(t, err, "uses this data directory")
	require.NoError(t, r.Stop(ctx))
	require.NoError(t, r.Stop(ctx))

	o.Restart = true
	r, err = devstack.StartRedis(ctx, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Stop(context.Background())) })
	require.Equal(t, "v", redis(t, r.Addr(), "GET", "k"))
	killed := r.PID()
	require.NoError(t, syscall.Kill(killed, syscall.SIGKILL))
	waittest.Until(t, func() bool { return r.PID() != killed }, "Redis is not restarted")
	require.Equal(t, "v", redis(t, r.Addr(), "GET", "k"))
}

func TestNothingOutlivesAKilledProcess(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	dir := dataDir(t)
	run := func() (*exec.Cmd, []string) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(t, err)
		words := strings.Fields(line)
		require.Equal(t, "ready", words[0], line)
		return cmd, words
	}
	pid := func(s string) int {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		return n
	}
	for n := range 3 {
		cmd, words := run()
		if n == 0 {
			execute(ctx, t, words[1], `create table t (n int)`)
		}
		execute(ctx, t, words[1], `insert into t (n) values (1)`)
		require.Equal(t, n+1, query[int](ctx, t, words[1], `select count(*) from t`))
		require.Equal(t, fmt.Sprintf(":%d", n+1), redis(t, words[3], "INCR", "n"))

		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
		if n == 1 {
			continue // the next start finds servers that are still stopping
		}
		for _, i := range []int{2, 4, 6} {
			waittest.Until(t, func() bool { return gone(pid(words[i])) }, "server %s still runs", words[i])
		}
		_, err := os.Stat(filepath.Dir(words[5]))
		require.ErrorIs(t, err, os.ErrNotExist, "the temporary folder is gone")
	}
}

func TestTemporaryPostgresLeavesNothing(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Temporary: true})
	require.NoError(t, err)
	dir := filepath.Dir(query[string](ctx, t, p.AdminURL(), `show data_directory`))
	require.NoError(t, p.Stop(ctx))
	_, err = os.Stat(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestMissingProgramOrDirectoryIsNamed(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	_, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dataDir(t), BinDir: "/nowhere"})
	require.ErrorContains(t, err, "apt-get install postgresql")
	_, err = devstack.StartRedis(ctx, devstack.RedisOptions{Dir: dataDir(t), Binary: "no-redis-server"})
	require.ErrorContains(t, err, "apt-get install redis-server")
	_, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{})
	require.ErrorContains(t, err, "data directory is required")
}

func TestUnreachableParentFolderIsNamed(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root runs PostgreSQL as another user")
	}
	parent := dataDir(t)
	require.NoError(t, os.Chmod(parent, 0o700))
	_, err := devstack.StartPostgres(setup(t), devstack.PostgresOptions{Dir: filepath.Join(parent, "postgres")})
	require.ErrorContains(t, err, "may not pass through "+parent+" (mode 0700)")
}

func TestLongDataPathGetsAShortSocketPath(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	dir := filepath.Join(dataDir(t), strings.Repeat("long/", 20))
	p := startPostgres(ctx, t, devstack.PostgresOptions{Dir: filepath.Join(dir, "postgres"), NoSync: true})
	require.Equal(t, 1, query[int](ctx, t, p.AdminURL(), `select 1`))
	r, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(dir, "redis")})
	require.NoError(t, err)
	require.Equal(t, "+PONG", redis(t, r.Addr(), "PING"))
	require.NoError(t, r.Stop(ctx))
}

func TestStalePIDFileDoesNotPreventAStart(t *testing.T) {
	t.Parallel()
	ctx := setup(t)
	o := devstack.PostgresOptions{Dir: filepath.Join(dataDir(t), "postgres"), NoSync: true}
	p := startPostgres(ctx, t, o)
	require.NoError(t, p.Stop(ctx))
	// The parent's PID: alive, but not PostgreSQL.
	require.NoError(t,
		os.WriteFile(filepath.Join(o.Dir, "data", "postmaster.pid"), []byte(strconv.Itoa(os.Getppid())+"\n"), 0o644))
	startPostgres(ctx, t, o)
}

func TestServersRunAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("the other tests run as an ordinary user already")
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("there is no user nobody")
	}
	uid, err := strconv.Atoi(nobody.Uid)
	require.NoError(t, err)
	dir := dataDir(t)
	own := filepath.Join(dir, "own")
	require.NoError(t, os.Mkdir(own, 0o700))
	require.NoError(t, os.Chown(own, uid, uid))
	program, err := os.ReadFile(os.Args[0]) // only root can read the test binary's own folder
	require.NoError(t, err)
	copied := filepath.Join(dir, "test")
	require.NoError(t, os.WriteFile(copied, program, 0o755))

	cmd := exec.Command(copied)
	cmd.Dir, cmd.Env = own, append(os.Environ(), childEnv+"="+own, "HOME="+own)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	words := strings.Fields(line)
	require.Equal(t, "ready", words[0], line)
	require.Equal(t, "shop", query[string](setup(t), t, words[1], `select current_user::text`))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	for _, i := range []int{2, 4, 6} {
		pid, err := strconv.Atoi(words[i])
		require.NoError(t, err)
		waittest.Until(t, func() bool { return gone(pid) }, "server %s still runs", words[i])
	}
}

func TestLockIsExclusiveUntilUnlock(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	l, err := devstack.Lock(dir)
	require.NoError(t, err)
	_, err = devstack.Lock(dir)
	require.ErrorContains(t, err,
		fmt.Sprintf("another souk dev (pid %d) uses this data directory: %s", os.Getpid(), dir))
	require.NoError(t, l.Unlock())
	require.NoError(t, l.Unlock())
	again, err := devstack.Lock(dir)
	require.NoError(t, err)
	require.NoError(t, again.Unlock())
}

func TestLockedReturnsTheOwnerAndWritesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	_, locked := devstack.Locked(dir)
	require.False(t, locked)
	require.NoDirExists(t, dir)

	lock, err := devstack.Lock(dir)
	require.NoError(t, err)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o066, "others may neither list nor write")
	pid, locked := devstack.Locked(dir)
	require.True(t, locked)
	require.Equal(t, os.Getpid(), pid)

	require.NoError(t, lock.Unlock())
	waittest.Until(t, func() bool { // a process forked by another test has the file open until its exec
		_, locked := devstack.Locked(dir)
		return !locked
	}, "the folder is still locked")
}
