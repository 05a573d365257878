package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDeploymentListsWhatAServiceNeeds(t *testing.T) {
	t.Parallel()
	_, files := setup(t)
	text := string(files[deploymentFile])
	require.Contains(t, text, `  - name: cart
    database: true
    redis: true
    documents: false
    http: false
    calls: [product, settings]
    reaches: ""
`)
	require.Contains(t, text, `  - name: natsauth
    database: false
    redis: false
    documents: false
    http: false
    calls: []
`)
}

func TestReachesIsRequiredOfServicesThatConnectToOthers(t *testing.T) {
	t.Parallel()
	write := func(source string) string {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "x.go"), []byte(source), 0o600))
		return dir
	}
	connects := write(`package x; func f(p P) { p.HTTPClient("oidc") }`)
	says := service{Name: "x", Glance: map[string]string{"Reaches": "a provider"}}
	require.NoError(t, checkReaches(connects, says))
	require.ErrorContains(t, checkReaches(connects, service{Name: "x"}), `lacks the line "//   - Reaches: …"`)
	require.ErrorContains(t, checkReaches(write(`package x`), says), "has no client")
}
