package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/config"
	"souk/pkg/secrets"
)

type guarded struct {
	User      string                   `yaml:"user"`
	Password  secrets.Value            `yaml:"password"`
	Passwords map[string]secrets.Value `yaml:"passwords"`
	Inner     struct {
		Key secrets.Value `yaml:"key"`
	} `yaml:"inner"`
	List []secrets.Value `yaml:"list"`
}

func TestReferencesAreResolvedWhereverTheyAre(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.WriteFile(path, []byte("from a file, with a comma\n"), 0o600))
	file := write(t, "guarded: {password: 12345, inner: {key: 'env:KEY'}, list: ['env:KEY', plain:env:x]}")
	tree, err := config.Load(
		file,
		[]string{"KEY=from the environment", "SOUK_GUARDED_PASSWORDS=order=file:" + path + ",cart=c"},
	)
	require.NoError(t, err)
	var got guarded
	require.NoError(t, tree.Decode("guarded", &got))
	require.Equal(t, "12345", got.Password.Get())
	require.Equal(t, "from the environment", got.Inner.Key.Get())
	require.Equal(t, "from a file, with a comma", got.Passwords["order"].Get())
	require.Equal(t, "c", got.Passwords["cart"].Get())
	require.Equal(t, []string{"from the environment", "env:x"}, secrets.Read(got.List...))

	var paths []string
	config.EachLeaf("guarded", reflect.ValueOf(&got).Elem(), func(l config.Leaf) { paths = append(paths, l.Path) })
	slices.Sort(paths)
	require.Equal(t, []string{
		"guarded.inner.key", "guarded.list.0", "guarded.list.1", "guarded.password", "guarded.passwords.cart",
		"guarded.passwords.order", "guarded.user",
	}, paths)
}

func TestMistakesInSecretsShowNoSecret(t *testing.T) {
	t.Parallel()
	const canary = "hunter2-canary"
	tree, err := config.Load(write(t, `
guarded:
  password: [`+canary+`]
  passwords: {order: "file:/does/not/exist", cart: "vault:secret/x#k"}
  inner: {key: "env:NONE"}
`), []string{"SOUK_GUARDED_LIST=" + canary, "SOUK_GUARDED_PASSWORDS=" + canary})
	require.NoError(t, err)
	err = tree.Decode("guarded", new(guarded))
	for _, want := range []string{
		"guarded.password: must be a text (", "guarded.passwords: must be a mapping, each value a text (variable",
		"guarded.passwords.order: file:/does/not/exist: no such file or directory",
		"guarded.passwords.cart: vault:secret/x#k: vault.addr is not set", "guarded.inner.key: env:NONE: the variable is not set",
	} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), canary)
}
