package arch

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheChecklistNamesTests: each test that docs/security.md names is there.
func TestTheChecklistNamesTests(t *testing.T) {
	t.Parallel()
	root, err := load(os.DirFS("../.."))
	require.NoError(t, err)
	tests := map[string]bool{}
	for _, f := range root.goes {
		for _, d := range f.syntax.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test {
				tests[fn.Name.Name] = true
			}
		}
	}
	text, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	_, list, ok := strings.Cut(string(text), "<!-- checklist -->")
	require.True(t, ok)
	list, _, ok = strings.Cut(list, "<!-- checklist end -->")
	require.True(t, ok)
	rows := strings.Split(strings.TrimSpace(list), "\n")[2:]
	require.Greater(t, len(rows), 30)
	name := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`")
	for _, row := range rows {
		named := name.FindAllStringSubmatch(row, -1)
		require.True(t, len(named) > 0 || strings.Contains(row, "stages of `.ci/run`"), "no test: %s", row)
		for _, match := range named {
			require.True(t, tests[match[1]], "there is no %s", match[1])
		}
	}
}
