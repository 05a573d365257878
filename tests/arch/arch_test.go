// Package arch checks the tree against the rules of docs/architecture.md: imports, forbidden calls, and files that
// belong together. It only reads sources, so it is fast and needs no build.
//
// Each rule has a file in testdata that breaks it on purpose. A rule that finds nothing there fails.
package arch

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// rule is a rule for the whole tree.
type rule struct {
	name  string // also the name of its file in testdata
	why   string
	check func(*tree) []finding
}

// finding is a place that breaks a rule.
type finding struct {
	path string
	line int // 0: the whole file or folder
	what string
}

func (f finding) place() string {
	if f.line == 0 {
		return f.path
	}
	return f.path + ":" + strconv.Itoa(f.line)
}

func rules() []rule {
	return slices.Concat(
		importRules(),
		floorRules(),
		codeRules(),
		fileRules(),
		docRules(),
		wordRules(),
		waitRules(),
		sqlRules(),
	)
}

// exceptions maps places that may break a rule to the reason. An exception that is no longer needed is an error.
var exceptions = map[string]string{
	"drivers apps/product/internal/handler/consumers.go": "names pgx.Tx for outbox.Handler, and does not use it",
	"sql apps/product/internal/repository/search.go":     "a search chooses among constant parts; its values are parameters",
	"sql pkg/cqrs/cqrs.go":                               "the table is a constant of a module",
	"sql pkg/document/postgres.go":                       "collections and indexes are checked names of a module",
	"sql pkg/jobs/statement.go":                          "the change is a constant of a module",
	"sql pkg/migration/check.go":                         "the table is a constant",
	"sql pkg/migration/driver.go":                        "the table is a constant",
	"sql pkg/postgres/postgres.go":                       "alter role takes no parameters; names and values are ours",
	"sql pkg/outbox/outbox.go":                           "the statement is a constant of a module",
}

func TestTheTreeKeepsTheRules(t *testing.T) {
	t.Parallel()
	root, err := load(os.DirFS("../.."))
	require.NoError(t, err)
	require.Greater(t, len(root.goes), 100, "the tree was not found")
	used := map[string]bool{}
	for _, r := range rules() {
		for _, f := range r.check(root) {
			key := r.name + " " + f.path
			if _, ok := exceptions[key]; ok {
				used[key] = true
				continue
			}
			t.Errorf("%s: %s\n\trule %s: %s", f.place(), f.what, r.name, r.why)
		}
	}
	for key := range exceptions {
		if !used[key] {
			t.Errorf("exception %q is not needed any more: take it out", key)
		}
	}
}

func TestEachRuleFindsWhatBreaksIt(t *testing.T) {
	t.Parallel()
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			fsys, want := fixture(t, r.name)
			planted, err := load(fsys)
			require.NoError(t, err)
			var got []string
			for _, f := range r.check(planted) {
				got = append(got, f.place())
			}
			slices.Sort(got)
			slices.Sort(want)
			require.NotEmpty(t, want, "the fixture breaks nothing")
			require.Equal(t, want, got)
		})
	}
}

func TestEveryFixtureBelongsToARule(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), path.Ext(e.Name()))
		require.True(t, slices.ContainsFunc(rules(), func(r rule) bool { return r.name == name }), "testdata/%s",
			e.Name())
	}
}

// fixture reads testdata/{name}.txt. It begins with the places that the rule must find, one per line. Then follow
// files, each after a line "-- path --". A line "(N lines)" in a file stands for N lines.
func fixture(t *testing.T, name string) (fstest.MapFS, []string) {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".txt")
	require.NoError(t, err)
	fsys := fstest.MapFS{}
	var want []string
	current := ""
	for line := range strings.Lines(string(raw)) {
		trimmed := strings.TrimSpace(line)
		if p, ok := strings.CutPrefix(trimmed, "-- "); ok && strings.HasSuffix(p, " --") {
			current = strings.TrimSuffix(p, " --")
			fsys[current] = &fstest.MapFile{}
			continue
		}
		var n int
		switch {
		case current == "" && trimmed != "":
			want = append(want, trimmed)
		case current == "":
		default:
			if _, err := fmt.Sscanf(trimmed, "(%d lines)", &n); err == nil {
				line = strings.Repeat("\n", n)
			}
			fsys[current].Data = append(fsys[current].Data, line...)
		}
	}
	return fsys, want
}
