// Command vuln looks for known vulnerabilities in what souk calls, with govulncheck and Go's vulnerability database.
// The database comes from the module proxy, as golang.org/x/vulndb, and is kept in .cache/vulndb.
//
//	make vuln
//
// The exit status is 1 if souk calls a function of a module with a known vulnerability. Those of the standard library
// are listed with the Go release that mends them: the toolchain that builds the image decides about them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	database = "golang.org/x/vulndb"
	checker  = "golang.org/x/vuln/cmd/govulncheck@v1.9.0"
	cache    = ".cache/vulndb"
	program  = "./cmd/souk" // all services are in it
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vuln:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	db, version, err := fetch(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "run", checker, "-db", "file://"+db, "-format", "json", program)
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("govulncheck: %w", err)
	}
	r, err := read(raw)
	if err != nil {
		return fmt.Errorf("govulncheck: %w", err)
	}
	fmt.Fprintf(out, "database %s %s\n", database, version)
	return r.write(out)
}

// fetch returns the directory of the newest database and its version. It builds the database's index when the version
// is new.
func fetch(ctx context.Context) (dir, version string, err error) {
	var module struct{ Version, Dir string }
	raw, err := command(ctx, "go", "mod", "download", "-json", database+"@latest")
	if err != nil {
		return "", "", err
	}
	if err := json.Unmarshal(raw, &module); err != nil {
		return "", "", fmt.Errorf("go mod download: %w", err)
	}
	dir, err = filepath.Abs(filepath.Join(cache, module.Version))
	if err != nil {
		return "", "", err
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, module.Version, nil
	}
	if err := os.RemoveAll(cache); err != nil { // older versions
		return "", "", err
	}
	if err := os.MkdirAll(cache, 0o750); err != nil {
		return "", "", err
	}
	fresh := dir + ".new"
	if _, err := command(ctx, "go", "run", database+"/cmd/indexdb@"+module.Version,
		"-vulns", filepath.Join(module.Dir, "data", "osv"), "-out", fresh); err != nil {
		return "", "", err
	}
	return dir, module.Version, os.Rename(fresh, dir)
}

func command(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(append([]string{name}, args...), " "), err, exit.Stderr)
	}
	return out, err
}
