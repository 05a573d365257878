package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// backup is pgBackRest with a local repository, and a stream of the write-ahead log: pgBackRest gets a segment once it
// is full or archive_timeout has passed, the stream has every commit at once.
type backup struct {
	dir, data, bin string
	as             *syscall.Credential
	env            []string
	port, socket   string

	stream *exec.Cmd
}

// newBackup makes the folders, and has the stopped PostgreSQL archive from its next start on.
func newBackup(dir, postgres string) (*backup, error) {
	b := &backup{dir: dir, data: filepath.Join(postgres, "data")}
	var err error
	if b.bin, err = programs(); err != nil {
		return nil, err
	}
	if _, err := exec.LookPath("pgbackrest"); err != nil {
		return nil, errors.New("pgBackRest is not installed: tools/deps.sh drill")
	}
	if os.Getuid() == 0 {
		if b.as, err = credential("postgres"); err != nil {
			return nil, err
		}
	}
	for _, f := range []string{"", "repo", "log", "spool", "lock", "stream"} {
		if err := b.own(filepath.Join(dir, f), true); err != nil {
			return nil, err
		}
	}
	settings, err := os.ReadFile("infra/backup/postgresql.conf")
	if err != nil {
		return nil, fmt.Errorf("%w: run the drill in the root of the repository", err)
	}
	text := strings.ReplaceAll(string(settings), "pgbackrest --stanza", "pgbackrest --config="+b.config()+" --stanza")
	f, err := os.OpenFile(filepath.Join(b.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(text)
	return b, errors.Join(err, f.Close())
}

// programs returns the folder of PostgreSQL's programs.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_ctl")
	if err != nil || len(found) == 0 {
		path, err := exec.LookPath("pg_ctl")
		return filepath.Dir(path), err
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func credential(name string) (*syscall.Credential, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// own makes a folder, or takes a file, for PostgreSQL's user.
func (b *backup) own(path string, folder bool) error {
	if folder {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
	}
	if b.as == nil {
		return nil
	}
	return os.Chown(path, int(b.as.Uid), int(b.as.Gid))
}

func (b *backup) config() string { return filepath.Join(b.dir, "pgbackrest.conf") }

// begin configures pgBackRest for the running server, makes the repository, and begins to stream.
func (b *backup) begin(ctx context.Context, database, password string) error {
	u, err := url.Parse(database)
	if err != nil {
		return err
	}
	b.socket, b.port = u.Query().Get("host"), u.Query().Get("port")
	b.env = []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "PGHOST=" + b.socket, "PGPORT=" + b.port, "PGUSER=postgres",
		"PGDATABASE=postgres", "PGPASSFILE=" + filepath.Join(b.dir, "pgpass"), "PGBACKREST_CONFIG=" + b.config(),
		"RESTORE_TEST_DIR=" + b.dir,
	}
	shipped, err := os.ReadFile("infra/backup/pgbackrest.conf")
	if err != nil {
		return err
	}
	conf := strings.NewReplacer(
		"/var/lib/pgbackrest\n", filepath.Join(b.dir, "repo")+"\n",
		"/var/lib/postgresql/data\n", b.data+"\npg1-port="+b.port+"\npg1-socket-path="+b.socket+"\n",
		"[souk]\n", fmt.Sprintf("repo1-cipher-pass=of-the-drill-only\nlog-path=%[1]s/log\nlock-path=%[1]s/lock\n"+
			"spool-path=%[1]s/spool\n[souk]\n", b.dir),
	).Replace(string(shipped))
	pass := filepath.Join(b.dir, "pgpass")
	for name, text := range map[string]string{b.config(): conf, pass: "*:*:*:postgres:" + password + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
		if err := b.own(name, false); err != nil {
			return err
		}
	}
	if err := b.pgbackrest(ctx, "stanza-create"); err != nil {
		return err
	}
	if err := b.pgbackrest(ctx, "check"); err != nil {
		return err
	}
	if err := b.do(ctx, filepath.Join(b.bin, "pg_receivewal"), "--slot=drill", "--create-slot"); err != nil {
		return err
	}
	b.stream = b.command(context.WithoutCancel(ctx), filepath.Join(b.bin, "pg_receivewal"),
		"--slot=drill", "--synchronous", "--no-loop", "--directory="+filepath.Join(b.dir, "stream"))
	return b.stream.Start()
}

func (b *backup) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Dir = b.env, b.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: b.as}
	return cmd
}

func (b *backup) do(ctx context.Context, name string, args ...string) error {
	out, err := b.command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return nil
}

func (b *backup) pgbackrest(ctx context.Context, args ...string) error {
	return b.do(ctx, "pgbackrest", append([]string{"--config=" + b.config(), "--stanza=souk"}, args...)...)
}

// take makes a backup: full or incr.
func (b *backup) take(ctx context.Context, kind string) error {
	return b.pgbackrest(ctx, "--type="+kind, "backup")
}

// test runs the scripts that report a backup, and that restore it as a test, and checks what they report.
func (b *backup) test(ctx context.Context) error {
	for script, what := range map[string]string{"report.sh": "postgres", "restore-test.sh": "restore-test"} {
		text, err := os.ReadFile(filepath.Join("infra/backup", script))
		if err != nil {
			return err
		}
		if err := b.do(ctx, "bash", "-c", string(text), script, b.dir); err != nil {
			return err
		}
		reported, err := os.ReadFile(filepath.Join(b.dir, "backup-"+what+".prom"))
		if err != nil {
			return err
		}
		if !strings.Contains(string(reported), `backup_last_success_timestamp_seconds{what="`+what+`"} 1`) {
			return fmt.Errorf("%s reported %q", script, reported)
		}
	}
	return nil
}

// restore restores the lost data directory to a moment, and stops the server again.
func (b *backup) restore(ctx context.Context, target time.Time) error {
	if err := b.own(b.data, true); err != nil {
		return err
	}
	// What was not archived is in the stream, its last segment with the suffix .partial.
	stream := filepath.Join(b.dir, "stream")
	get := fmt.Sprintf(
		`pgbackrest --config=%s --stanza=souk archive-get %%f "%%p" || cp %s/%%f "%%p" || cp %s/%%f.partial "%%p"`,
		b.config(),
		stream,
		stream,
	)
	if err := b.pgbackrest(ctx, "--type=time", "--target="+target.UTC().Format("2006-01-02 15:04:05.000000+00"),
		"--target-action=promote", "--recovery-option=restore_command="+get, "restore"); err != nil {
		return err
	}
	// Recovery refuses fewer connections than the lost server allowed (souk dev's PostgreSQL: 300).
	options := fmt.Sprintf("-c port=%s -c listen_addresses='' -c unix_socket_directories=%s -c max_connections=300",
		b.port, b.socket)
	ctl := filepath.Join(b.bin, "pg_ctl")
	log := filepath.Join(b.dir, "log", "restore.log")
	if err := b.do(ctx, ctl, "-D", b.data, "-l", log, "-o", options, "-w", "-t", "1200", "start"); err != nil {
		tail, _ := os.ReadFile(log)
		return fmt.Errorf("%w\n%s", err, tail)
	}
	for {
		out, err := b.command(ctx, "psql", "-Atc", "select pg_is_in_recovery()").CombinedOutput()
		if err == nil && strings.TrimSpace(string(out)) == "f" {
			break
		}
		if !wait(ctx, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
	return b.do(ctx, ctl, "-D", b.data, "-m", "fast", "-w", "stop")
}

// stop ends the stream.
func (b *backup) stop() {
	if b.stream != nil && b.stream.Process != nil {
		_ = b.stream.Process.Kill() // an error means that it has ended
		_ = b.stream.Wait()
	}
}
