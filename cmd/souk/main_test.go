package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/devstack"
)

// runMain is the variable with which a process of this test is souk.
const runMain = "SOUK_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// souk runs the command as main does. It returns the exit status, the standard output, and the error.
func souk(t *testing.T, args ...string) (exit int, out string, err error) {
	t.Helper()
	root := rootCommand()
	var b bytes.Buffer
	root.SetOut(&b)
	root.SetErr(io.Discard)
	root.SetArgs(args)
	err = root.ExecuteContext(t.Context())
	return status(err), b.String(), err
}

func TestCommandsReportThatNoSoukRuns(t *testing.T) {
	t.Parallel()
	temp, err := devstack.TempDir() // the user postgres can reach it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(temp)) })
	dir := filepath.Join(temp, "none")
	for _, args := range [][]string{
		{"verify"}, {"saga", "ls"}, {"saga", "show", "x"}, {"saga", "resume", "x"}, {"search", "rebuild"},
		{"reviews", "rebuild"}, {"jobs", "ls"}, {"jobs", "ui"},
		{"projections", "ls"}, {"projections", "rebuild", "product.search"},
		{"events", "tail"}, {"events", "dlq"}, {"events", "dlq", "replay", "1"}, {"events", "replay"}, {"services"},
		{"migrate", "status"}, {"token", "--email", "a@example.com"}, {"import", "products", "x.csv"},
		{"export", "products", "x.csv"},
	} {
		status, _, err := souk(t, append(args, "--data-dir", dir)...)
		require.Equal(t, 1, status)
		require.ErrorContains(t, err, "no souk dev runs on "+dir)
		require.ErrorContains(t, err, "souk dev")
		require.NoDirExists(t, dir)
	}
	status, out, err := souk(t, "doctor", "--data-dir", dir, "--http", "127.0.0.1:0")
	require.NoError(t, err, out)
	require.Zero(t, status)
	require.Contains(t, out, "is not running")

	file := filepath.Join(temp, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	status, out, err = souk(t, "doctor", "--data-dir", filepath.Join(file, "data"), "--http", "127.0.0.1:0")
	require.Equal(t, 1, status)
	require.Error(t, err)
	require.Contains(t, out, "it can't be told whether souk dev runs on "+filepath.Join(file, "data"))
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"saga ls --state lost":         "--state is one of running, compensating, done, compensated, parked",
		"verify --settle -1s":          "--settle is a duration from 0 on, such as 2s, not -1s",
		"saga ls --limit 0":            "--limit is at least 1",
		"events tail orders":           `"orders" is no subject of events`,
		"events dlq replay":            "say which: numbers from `souk events dlq`, or --all",
		"events dlq replay 1 --all":    "say which",
		"events dlq replay x":          `"x" is no number of a dead letter`,
		"events replay --since monday": "--since is a duration such as 24h or a time",
		"doctor --config /nowhere.yml": "need attention",
		"verify --config /nowhere.yml": "cannot read /nowhere.yml",

		"import products x.csv --currency XXX": `--currency is an ISO 4217 code such as BRL, not "XXX"`,
	} {
		status, _, err := souk(t, strings.Fields(args)...)
		require.Equal(t, 1, status, args)
		require.ErrorContains(t, err, want, args)
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	root := rootCommand()
	for _, cmd := range root.Commands() {
		require.NotEmpty(t, cmd.Short, cmd.Name())
		require.NotEmpty(t, cmd.Example, cmd.Name())
	}
	_, out, err := souk(t, "import")
	require.NoError(t, err)
	require.Contains(t, out, "Usage:\n  souk import\n  souk import [command]\n")
}

func TestMistypedCommandsAndArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"import prodcts x.csv": "unknown command \"prodcts\" for \"souk import\"\n\nDid you mean this?\n\tproducts",
		"export foo.csv":       `unknown command "foo.csv" for "souk export": see souk export --help`,
		"saga foo":             `unknown command "foo" for "souk saga"`,
		"search x":             `unknown command "x" for "souk search"`,
		"events taill":         "Did you mean this?\n\ttail",
		"events dlq replya":    "Did you mean this?\n\treplay",
		"verify now":           `souk verify takes no arguments, not "now": see souk verify --help`,
		"migrate":              "souk migrate takes one of up, down, status; for example: souk migrate up --config souk.yaml",
		"migrate sideways":     `souk migrate takes one of up, down, status, not "sideways"`,
		"import products": "souk import products takes one argument, the CSV file, not 0; " +
			"for example: souk import products catalogue.csv --create-shops",
		"import products a.csv b.csv": "takes one argument, the CSV file, not 2",
		"export products":             "for example: souk export products catalogue.csv",
		"saga show": "souk saga show takes one argument, the ID of a saga, not 0; " +
			"for example: souk saga show ord_0192f0c4",
		"saga resume ord_a ord_b ord_c": "takes one argument, the ID of a saga, not 3",
	} {
		status, out, err := souk(t, strings.Fields(args)...)
		require.Equal(t, 1, status, args)
		require.ErrorContains(t, err, want, args)
		require.Empty(t, out)
	}
}

func TestFileThatIsNoProductCSVHasItsOwnExitStatus(t *testing.T) {
	t.Parallel()
	status, _, err := souk(t, "import", "products", "/nowhere.csv", "--url", "http://127.0.0.1:1", "--token", "x")
	require.Equal(t, 2, status)
	require.ErrorContains(t, err, "/nowhere.csv can't be read")
}

func TestVersionNamesTheBuild(t *testing.T) {
	t.Parallel()
	status, out, err := souk(t, "--version")
	require.NoError(t, err)
	require.Zero(t, status)
	require.Regexp(t, `^souk \S+ \(.*go1\..*\)\n$`, out)
}
