// Package machine checks the machine on which souk dev is to run: programs, data directory, user, port.
package machine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	minPostgres    = 15
	minRedis       = 7       // the oldest version that souk is tested with
	minFree        = 1 << 30 // bytes on the data directory's disk
	programTimeout = 5 * time.Second
)

// Finding is the result of one check.
type Finding struct {
	What, Found string
	// Advice is what to do about a problem; "" if there is no problem.
	Advice string
}

// Examine runs all checks. Running is the URL of the souk dev that runs on the data directory; "" if none runs.
func Examine(dataDir, httpAddr, running string) []Finding {
	return []Finding{
		Postgres(dataDir),
		Redis(),
		DataDir(dataDir),
		Passable(dataDir, os.Getuid()),
		Port(httpAddr, running),
	}
}

// Postgres searches PostgreSQL's programs. If the data directory holds data, their version must be the data's.
func Postgres(dataDir string) Finding {
	const what = "PostgreSQL"
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is valid
	slices.SortFunc(installed, func(a, b string) int { return versionOfPath(b) - versionOfPath(a) })
	made := 0
	pgDir, _ := postgresDir(dataDir)
	if raw, err := os.ReadFile(filepath.Join(pgDir, "data", "PG_VERSION")); err == nil {
		made, _ = strconv.Atoi(strings.TrimSpace(string(raw))) // 0 on failure: any version is accepted
	}
	best := 0
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), installed...) {
		if !runnable(filepath.Join(dir, "initdb")) || !runnable(filepath.Join(dir, "postgres")) {
			continue
		}
		text, err := version(filepath.Join(dir, "postgres"))
		found := number(text)
		if err == nil && found >= minPostgres && (made == 0 || made == found) {
			return Finding{What: what, Found: text + ", in " + dir}
		}
		best = max(best, found)
	}
	switch {
	case best == 0:
		return Finding{
			what, "initdb and postgres are neither in PATH nor in /usr/lib/postgresql/*/bin",
			"apt-get install postgresql (other systems: PostgreSQL 15 or later)",
		}
	case made > 0:
		return Finding{
			what, fmt.Sprintf("the data in %s is of version %d, which is not installed (%d is)", dataDir, made, best),
			fmt.Sprintf("apt-get install postgresql-%d, or move the data directory away to begin anew", made),
		}
	}
	return Finding{
		what,
		fmt.Sprintf("version %d is too old", best),
		fmt.Sprintf("install PostgreSQL %d or later", minPostgres),
	}
}

// Redis searches redis-server in PATH and checks its version.
func Redis() Finding {
	const what = "Redis"
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return Finding{
			what, "redis-server is not in PATH",
			fmt.Sprintf("apt-get install redis-server (other systems: Redis %d or later)", minRedis),
		}
	}
	text, err := version(path)
	if err != nil {
		return Finding{what, fmt.Sprintf("%s does not run: %v", path, err), "install Redis anew"}
	}
	if match := regexp.MustCompile(`v=([0-9.]+)`).FindStringSubmatch(text); match != nil {
		text = match[1]
	}
	if number(text) < minRedis {
		return Finding{what, "version " + text + " is too old", fmt.Sprintf("install Redis %d or later", minRedis)}
	}
	return Finding{What: what, Found: "redis-server " + text + ", " + path}
}

// DataDir checks that the data directory can be written or created, and that its disk has at least minFree bytes free.
func DataDir(dir string) Finding {
	const what = "data directory"
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Finding{what, err.Error(), "choose another with --data-dir"}
	}
	at := abs
	for { // find the nearest folder that exists
		info, err := os.Stat(at)
		if err == nil && !info.IsDir() {
			return Finding{what, at + " is a file", "choose another with --data-dir"}
		}
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) || at == filepath.Dir(at) {
			return Finding{what, err.Error(), "choose another with --data-dir"}
		}
		at = filepath.Dir(at)
	}
	const writeAndPass = 2 | 1
	if err := syscall.Access(at, writeAndPass); err != nil {
		return Finding{
			what, fmt.Sprintf("%s can't be written: %v", at, err),
			"choose another with --data-dir, or give yourself the right to write it",
		}
	}
	free, err := Free(at)
	if err != nil {
		return Finding{what, err.Error(), "choose another with --data-dir"}
	}
	found := fmt.Sprintf("%s, %d MiB free", abs, free>>20)
	if free < minFree {
		return Finding{what, found, fmt.Sprintf("free some: at least %d MiB", minFree>>20)}
	}
	return Finding{What: what, Found: found}
}

// Free returns how many bytes are free on the disk of dir. The directory need not exist yet.
func Free(dir string) (uint64, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return 0, err
	}
	for {
		var fs syscall.Statfs_t
		err := syscall.Statfs(at, &fs)
		if err == nil {
			return fs.Bavail * uint64(fs.Bsize), nil //nolint:gosec,unconvert // Bsize's type differs by system
		}
		if !errors.Is(err, os.ErrNotExist) || at == filepath.Dir(at) {
			return 0, fmt.Errorf("%s: %w", at, err)
		}
		at = filepath.Dir(at)
	}
}

// postgresDir returns the folder of PostgreSQL's data: the one that postgres.path names (outside), or a folder in the
// data directory.
func postgresDir(dataDir string) (dir string, outside bool) {
	if raw, err := os.ReadFile(filepath.Join(dataDir, "postgres.path")); err == nil {
		return string(raw), true
	}
	return filepath.Join(dataDir, "postgres"), false
}

// Passable checks that the user who runs PostgreSQL can reach its data. It matters only if uid is root's, because then
// the user postgres runs PostgreSQL. That user must exist and reach the data directory. If souk dev keeps
// PostgreSQL's data below /var/lib/souk, or has to, the user must reach that instead.
func Passable(dir string, uid int) Finding {
	const what = "user"
	if uid != 0 {
		return Finding{What: what, Found: fmt.Sprintf("uid %d runs all there is", uid)}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return Finding{
			what, "you are root, PostgreSQL does not run as root, and there is no user postgres",
			"apt-get install postgresql makes one, or start souk as an ordinary user",
		}
	}
	data, outside := postgresDir(dir)
	blocked, mode, err := blockedAt(data, u)
	switch {
	case err != nil:
		return Finding{what, err.Error(), "choose another data directory with --data-dir"}
	case blocked == "" && outside:
		return Finding{What: what, Found: "root; PostgreSQL runs as user postgres, its data is in " + data}
	case blocked == "":
		return Finding{What: what, Found: "root; PostgreSQL runs as user postgres"}
	}
	found := fmt.Sprintf(
		"you are root, and user postgres, as whom PostgreSQL runs, may not pass through %s (mode %04o)", blocked,
		mode,
	)
	if !outside {
		// souk dev creates a folder below outsideBase.
		if elsewhere, _, err := blockedAt(outsideBase, u); err == nil && elsewhere == "" {
			return Finding{What: what, Found: found + ": its data goes below " + outsideBase}
		}
	}
	return Finding{what, found, "chmod o+x " + blocked + ", or choose another data directory with --data-dir"}
}

// outsideBase is where souk dev puts PostgreSQL's data if it can't be in the data directory.
const outsideBase = "/var/lib/souk"

// blockedAt returns the folder on the path to dir that the user may not pass through; "" if the user reaches dir.
func blockedAt(dir string, u *user.User) (blocked string, mode os.FileMode, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", 0, err
	}
	for at := abs; ; at = filepath.Dir(at) {
		if info, err := os.Stat(at); err == nil && !mayPass(info, u) {
			return at, info.Mode().Perm(), nil
		}
		if at == filepath.Dir(at) {
			return "", 0, nil
		}
	}
}

func mayPass(info os.FileInfo, u *user.User) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode().Perm()
	switch {
	case !ok:
		return true
	case strconv.FormatUint(uint64(stat.Uid), 10) == u.Uid:
		return mode&0o100 != 0
	case strconv.FormatUint(uint64(stat.Gid), 10) == u.Gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}

// Port checks that the API's address is free or used by the running souk dev.
func Port(addr, running string) Finding {
	const what = "API address"
	u, err := url.Parse(running)
	if err == nil && running != "" && (u.Host == addr || u.Port() != "" && everyAddress(addr, u.Port())) {
		return Finding{What: what, Found: addr + " is used by the souk that runs"}
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return Finding{what, fmt.Sprintf("%q is no address", addr), "give host:port with --http, e.g. 127.0.0.1:8080"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), programTimeout)
	defer cancel()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		if running != "" {
			return Finding{
				What:  what,
				Found: fmt.Sprintf("%s is used by another program; the souk that runs is on %s", addr, running),
			}
		}
		return Finding{
			what, fmt.Sprintf("%s can't be listened on: %v", addr, cmp.Or(errors.Unwrap(err), err)),
			"stop what uses it, or choose another with --http",
		}
	}
	_ = ln.Close() // it was opened only to see whether the address is free
	return Finding{What: what, Found: addr + " is free"}
}

// everyAddress reports whether addr is the port on all of the machine's addresses.
func everyAddress(addr, port string) bool {
	host, p, err := net.SplitHostPort(addr)
	ip := net.ParseIP(host)
	return err == nil && p == port && (host == "" || ip != nil && ip.IsUnspecified())
}

func runnable(path string) bool {
	info, err := os.Stat(path) //nolint:gosec // it searches the folders of $PATH, as a shell does
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

// version returns what a program prints for --version.
func version(path string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), programTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output() //nolint:gosec // PostgreSQL or Redis
	return string(bytes.TrimSpace(out)), err
}

// number returns the first number in a text; 0 if the text has no number.
func number(text string) int {
	n, _ := strconv.Atoi(regexp.MustCompile(`[0-9]+`).FindString(text)) // fails on "", with n = 0
	return n
}

func versionOfPath(dir string) int { return number(filepath.Base(filepath.Dir(dir))) }
