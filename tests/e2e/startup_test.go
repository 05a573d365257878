package e2e

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
)

// refuses runs souk dev, which must end by itself with exit status 1, and returns what it said.
func refuses(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"dev"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "it started, or did not run: %v\n%s", err, out.String())
	require.Equal(t, 1, exit.ExitCode(), out.String())
	return out.String()
}

func tempHome(t *testing.T) string {
	t.Helper()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // best effort in a temporary directory
	return filepath.Join(dir, "data")
}

func TestSecondStartOnTheSameDirectory(t *testing.T) {
	s := start(t, "inprocess", nil)
	said := refuses(t, nil, "--data-dir", s.dir, "--http", freeAddr(t))
	require.Contains(t, said, "another souk dev (pid ")
	require.Contains(t, said, s.dir)
}

func TestPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	said := refuses(t, nil, "--data-dir", tempHome(t), "--http", ln.Addr().String())
	require.Contains(t, said, ln.Addr().String())
	require.Contains(t, said, "--http")
}

func TestNoRedis(t *testing.T) {
	said := refuses(t, []string{"PATH=" + t.TempDir()}, "--data-dir", tempHome(t), "--http", freeAddr(t))
	require.Contains(t, said, "apt-get install redis-server")
}

func TestWrongSettings(t *testing.T) {
	said := refuses(t, []string{"SOUK_GATEWAY_MAX_BODY=lots"}, "--data-dir", tempHome(t), "--http", freeAddr(t))
	require.Contains(t, said, "max_body")
	said = refuses(t, []string{"SOUK_GATEWAY_MAXBODY=1"}, "--data-dir", tempHome(t), "--http", freeAddr(t))
	require.Contains(t, said, "SOUK_GATEWAY_MAXBODY")
}

// TestDataSurvivesARestart: what was there is there again, after Ctrl-C and after kill -9; --ephemeral leaves nothing.
func TestDataSurvivesARestart(t *testing.T) {
	s := start(t, "inprocess", nil)
	shop := handle("restart")
	p := s.seller(shop).sell(shop, "Survivor", "10.00", 5)
	g := s.guest()
	g.add(p.Variants[0].ID, 2).want(200)
	s.stop()
	s.launch()
	var cart cartJSON
	g.get("/v1/cart").want(200).into(&cart)
	require.Len(t, cart.Items, 1, "the guest, its token and its cart are still there")
	s.kill()
	s.launch()
	var back productJSON
	s.anonymous().get("/v1/products/" + p.ID).want(200).into(&back)
	require.Equal(t, "Survivor", back.Title)
	s.verify()
	s.stop()

	dir := tempHome(t)
	e := &souk{t: t, dir: dir, addr: freeAddr(t), args: []string{"--ephemeral"}}
	e.url = "http://" + e.addr
	e.launch()
	e.stop()
	require.NoDirExists(t, dir)
}
