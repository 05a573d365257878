package dev

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

func TestProviderRunsAloneForClientsOnLoopback(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:58233"
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	require.NoError(t, os.WriteFile(secret, []byte("a secret of sixteen\n"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	out, printed := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- RunOIDC(ctx, OIDCOptions{
			DataDir: dir, Listen: address, Issuer: "http://localhost:58233", SecretFile: secret,
		}, printed)
	}()
	line := make([]byte, 200)
	n, err := out.Read(line)
	require.NoError(t, err)
	require.Equal(t, "the OpenID provider is ready on http://localhost:58233\n", string(line[:n]))

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(host, bearer string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/dev/token",
			strings.NewReader(`{"email": "ana@example.com"}`))
		require.NoError(t, err)
		req.Host = host
		req.Header.Set("Authorization", "Bearer "+bearer)
		res, err := client.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	require.Equal(t, http.StatusOK, ask("localhost:58233", "a secret of sixteen"))
	require.Equal(t, http.StatusUnauthorized, ask("localhost:58233", "a guess"))
	require.Equal(t, http.StatusMisdirectedRequest, ask("provider.example", "a secret of sixteen"))
	cancel()
	require.NoError(t, waittest.Receive(t, done))
}

func TestProviderRefusesAWeakSecretAndAnIssuerOffLoopback(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := OIDCOptions{
		DataDir:    dir,
		Listen:     "127.0.0.1:0",
		Issuer:     "http://127.0.0.1:8090",
		SecretFile: write("good", "a secret of sixteen"),
	}
	for want, change := range map[string]func(*OIDCOptions){
		"--secret-file is required":      func(o *OIDCOptions) { o.SecretFile = "" },
		"no such file":                   func(o *OIDCOptions) { o.SecretFile = "/nowhere" },
		"holds fewer than 16 characters": func(o *OIDCOptions) { o.SecretFile = write("short", " short\n") },
		"the issuer is a URL on loopback such as http://127.0.0.1:8090, not \"http://id.example\"": func(o *OIDCOptions) {
			o.Issuer = "http://id.example"
		},
		"the issuer is a URL on loopback such as http://127.0.0.1:8090, not \"\"": func(o *OIDCOptions) { o.Issuer = "" },
	} {
		o := good
		change(&o)
		require.ErrorContains(t, RunOIDC(t.Context(), o, io.Discard), want)
	}
}
