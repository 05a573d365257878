package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

type postgresBinaries struct{ initdb, postgres string }

// findPostgres searches for the programs. It prefers the version that created the data, then PATH, then the
// newest.
func findPostgres(binDir, data string) (postgresBinaries, error) {
	var dirs []string
	if binDir != "" {
		dirs = []string{binDir}
	} else {
		version := ""
		if content, err := os.ReadFile(filepath.Join(data, "PG_VERSION")); err == nil {
			version = strings.TrimSpace(string(content))
			dirs = append(dirs, filepath.Join("/usr/lib/postgresql", version, "bin"))
		}
		dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
		installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is valid
		sort.Slice(installed, func(i, j int) bool { return major(installed[i]) > major(installed[j]) })
		dirs = append(dirs, installed...)
	}
	for _, dir := range dirs {
		b := postgresBinaries{initdb: filepath.Join(dir, "initdb"), postgres: filepath.Join(dir, "postgres")}
		if executable(b.initdb) && executable(b.postgres) {
			return b, nil
		}
	}
	return postgresBinaries{}, errors.New(
		"initdb and postgres were not found, neither in PATH nor in /usr/lib/postgresql/*/bin: apt-get install postgresql",
	)
}

func major(binDir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(binDir))) // not a number: 0, which sorts last
	return n
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

// serverEnv returns the server's environment, without the caller's PGPORT and the like.
func serverEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

// initdb creates the cluster unless it exists. It creates it under another name and renames it, so that a start
// that is killed half-way leaves nothing that looks like a cluster.
func (p *Postgres) initdb(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(p.data, "PG_VERSION")); err == nil {
		return nil
	}
	fresh := p.data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	if err := ownedDir(fresh, p.as); err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	if p.o.StandbyOf != nil {
		return p.copyPrimary(ctx, fresh)
	}
	locale := "C.UTF-8"
	if runtime.GOOS == "darwin" {
		locale = "en_US.UTF-8"
	}
	// Collation C compares text byte by byte. For UTF-8 that is the order of code points, as in C.UTF-8, but
	// it needs no call of the locale library for each comparison.
	args := []string{"-D", fresh, "-U", superuser, "-E", "UTF8", "--locale=" + locale, "--lc-collate=C"}
	if p.o.NoSync {
		args = append(args, "--no-sync")
	}
	if p.o.Temporary {
		args = append(args, "--auth=trust")
	} else {
		passwordFile := filepath.Join(fresh+".pw", "pw")
		defer func() { _ = os.RemoveAll(fresh + ".pw") }()
		if err := errors.Join(
			ownedDir(fresh+".pw", p.as), os.WriteFile(passwordFile, []byte(p.secrets.of(superuser)+"\n"), 0o600),
			chown(passwordFile, p.as),
		); err != nil {
			return fmt.Errorf("make the cluster: %w", err)
		}
		args = append(args, "--auth=scram-sha-256", "--pwfile="+passwordFile)
	}
	return p.fill(ctx, fresh, p.bin.initdb, args...)
}

// copyPrimary makes the cluster a copy of its primary's, which follows it from there on.
func (p *Postgres) copyPrimary(ctx context.Context, fresh string) error {
	from := p.o.StandbyOf
	initdb, err := filepath.EvalSymlinks(p.bin.initdb) // only some of the programs may be linked into PATH
	if err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	return p.fill(ctx, fresh, filepath.Join(filepath.Dir(initdb), "pg_basebackup"),
		"--host="+from.socketDir, "--port="+strconv.Itoa(from.port), "--username="+superuser, "--pgdata="+fresh,
		"--wal-method=stream", "--checkpoint=fast", "--no-sync", "--write-recovery-conf")
}

// fill runs a program that fills the folder of a new cluster, and gives the folder its name.
func (p *Postgres) fill(ctx context.Context, fresh, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = serverEnv(), "/", &syscall.SysProcAttr{Credential: p.as}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, bytes.TrimSpace(out))
	}
	if err := os.Rename(fresh, p.data); err != nil {
		return fmt.Errorf("make the cluster: %w", err)
	}
	return nil
}

// awaitNoPostmaster waits until the server of a souk that was killed has stopped. That server has its signal, but
// writes a checkpoint first. If the server no longer runs, awaitNoPostmaster removes its PID file, since another
// process may have that PID by now.
func awaitNoPostmaster(ctx context.Context, data string) error {
	const most = 20 * time.Second
	file := filepath.Join(data, "postmaster.pid")
	for deadline := time.Now().Add(most); ; {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stale server: %w", err)
		}
		line, _, _ := strings.Cut(string(content), "\n")
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || !isPostgres(pid) {
			if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("stale server: %w", err)
			}
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another PostgreSQL (pid %d) runs on %s", pid, data)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another PostgreSQL (pid %d) runs on %s: %w", pid, data, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func isPostgres(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false
	}
	if runtime.GOOS == "linux" {
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		program, _, _ := bytes.Cut(content, []byte{0}) // the arguments of another program may contain the name
		return err == nil && filepath.Base(string(program)) == "postgres"
	}
	out, err := exec.Command("ps", "-p", strconv.Itoa(pid), "-o", "comm=").Output()
	return err != nil || bytes.Contains(out, []byte("postgres"))
}

func (p *Postgres) createDatabases(ctx context.Context) error {
	if len(p.o.Databases) == 0 {
		return nil
	}
	conn, err := pgx.Connect(ctx, p.AdminURL())
	if err != nil {
		return fmt.Errorf("create databases: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // every statement has its result already
	for _, name := range p.o.Databases {
		if err := p.createDatabase(ctx, conn, name); err != nil {
			return fmt.Errorf("create database %s: %w", name, err)
		}
	}
	return nil
}

func (p *Postgres) createDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	var role, database bool
	err := conn.QueryRow(ctx,
		`select exists (select from pg_roles where rolname = $1), exists (select from pg_database where datname = $1)`,
		name).
		Scan(&role, &database)
	if err != nil {
		return err
	}
	ident := pgx.Identifier{name}.Sanitize()
	verb := "create"
	if role {
		verb = "alter"
	}
	// The password is base32, so that it needs no escaping.
	statements := []string{verb + ` role ` + ident + ` login password '` + p.secrets.of(name) + `'`}
	if !database {
		statements = append(statements, `create database `+ident+` owner `+ident)
	}
	statements = append(statements, `revoke connect, temporary on database `+ident+` from public`)
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func freePort(ctx context.Context) (int, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer func() { _ = l.Close() }() // it accepted no connection
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("free port: not a TCP address")
	}
	return addr.Port, nil
}

// secrets maps roles to random passwords.
type secrets map[string]string

func (s secrets) of(role string) string { return s[role] }

// loadSecrets reads the file and adds passwords for roles that do not have one yet.
func loadSecrets(file string, roles []string) (secrets, error) {
	s := secrets{}
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("passwords: %w", err)
	default:
		if err := json.Unmarshal(content, &s); err != nil {
			return nil, fmt.Errorf("passwords in %s: %w", file, err)
		}
	}
	known := len(s)
	for _, role := range roles {
		if s[role] == "" {
			s[role] = rand.Text()
		}
	}
	if len(s) == known {
		return s, nil
	}
	return s, s.save(file)
}

func (s secrets) save(file string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("passwords: %w", err)
	}
	return writeFile(file, content)
}

// writeFile replaces a private file atomically.
func writeFile(file string, content []byte) error {
	temporary := file + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(temporary, file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
