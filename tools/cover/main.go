// Command cover runs the tests and prints how much of the hand-written code they cover. It fails if that is less than
// 80 %. `make cover` calls it:
//
//	go run ./tools/testenv -- go run ./tools/cover
//
// The code of pkg, apps, cmd and tools counts, with the test helpers among them, such as pkg/pgtest. Files that are
// marked as generated and the templates of servicegen don't count. A statement is covered if any test executes it: also
// a test of another package, and also in a souk process that a test of tests/e2e has started and that ended by itself.
// A killed process reports nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"souk/tools/internal/repo"
)

// least is how much of the code tests must cover, in percent.
const least = 80.0

const (
	modulePath   = "souk/"
	templatesDir = "tools/servicegen/templates/"
)

// counted are the packages whose code counts, and tested those whose tests run. The slowest tests come first.
var (
	counted = []string{"./pkg/...", "./apps/...", "./cmd/...", "./tools/..."}
	tested  = append([]string{"./tests/e2e"}, counted...)
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cover:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	root, err := repo.Root()
	if err != nil {
		return err
	}
	dir := filepath.Join(root, "bin", "cover")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	processes := filepath.Join(dir, "processes")
	if err := os.MkdirAll(processes, 0o755); err != nil {
		return err
	}
	packages := strings.Join(counted, ",")
	// With this variable tests/e2e builds souk with coverage, and its processes write there. It cannot be GOCOVERDIR,
	// which go test sets.
	env := append(os.Environ(), "SOUK_TEST_COVERDIR="+processes)
	profile := filepath.Join(dir, "tests.txt")
	args := append([]string{"test", "-timeout=60m", "-coverpkg=" + packages, "-coverprofile=" + profile}, tested...)
	// The figures of failed tests are still worth reading.
	failed := command(ctx, root, env, out, args...)
	fromProcesses := filepath.Join(dir, "processes.txt")
	if err := command(
		ctx,
		root,
		env,
		out,
		"tool",
		"covdata",
		"textfmt",
		"-i="+processes,
		"-o="+fromProcesses,
	); err != nil {
		return errors.Join(failed, err)
	}
	blocks := profileBlocks{}
	for _, name := range []string{profile, fromProcesses} {
		if err := blocks.readFile(name); err != nil {
			return errors.Join(failed, err)
		}
	}
	figures, err := blocks.byPackage(os.DirFS(root))
	if err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, report(out, figures))
}

func command(ctx context.Context, dir string, env []string, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w", args[0], err)
	}
	return nil
}
