package e2e

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/devstack"
)

// refusedStart runs souk dev, asserts that it ends by itself with exit status 1, and returns its output.
func refusedStart(t *testing.T, env []string, args ...string) string {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"dev"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "souk dev started, or could not be run: %v\n%s", err, out.String())
	require.Equal(t, 1, exit.ExitCode(), out.String())
	return out.String()
}

func tempHome(t *testing.T) string {
	t.Helper()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // only a temporary directory would remain
	return filepath.Join(dir, "data")
}

func TestSecondStartOnTheSameDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", nil)
	output := refusedStart(t, nil, "--data-dir", s.dir, "--http", freeAddr(t))
	require.Contains(t, output, "another souk dev (pid ")
	require.Contains(t, output, s.dir)
}

func TestStartOnAUsedPortIsRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	output := refusedStart(t, nil, "--data-dir", tempHome(t), "--http", ln.Addr().String())
	require.Contains(t, output, ln.Addr().String())
	require.Contains(t, output, "--http")
}

func TestStartWithoutRedisIsRefused(t *testing.T) {
	output := refusedStart(t, []string{"PATH=" + t.TempDir()}, "--data-dir", tempHome(t), "--http", freeAddr(t))
	require.Contains(t, output, "apt-get install redis-server")
}

func TestStartWithWrongSettingsIsRefused(t *testing.T) {
	t.Parallel()
	output := refusedStart(t, []string{"SOUK_GATEWAY_MAX_BODY=lots"}, "--data-dir", tempHome(t), "--http", freeAddr(t))
	require.Contains(t, output, "max_body")
	output = refusedStart(t, []string{"SOUK_GATEWAY_MAXBODY=1"}, "--data-dir", tempHome(t), "--http", freeAddr(t))
	require.Contains(t, output, "SOUK_GATEWAY_MAXBODY")
}

// TestDataSurvivesARestart restarts souk dev after Ctrl-C and after kill -9. Its data must still exist. With
// --ephemeral nothing remains.
func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", nil)
	shop := handle("restart")
	p := s.seller(shop).sell(shop, "Survivor", "10.00", 5)
	g := s.guest()
	g.add(p.Variants[0].ID, 2).want(200)
	s.stop()
	s.launch()
	var cart cartJSON
	g.get("/v1/cart").want(200).into(&cart)
	require.Len(t, cart.Items, 1, "the guest, its token and its cart still exist")
	require.True(t, s.kill(), "souk dev ends when it is killed")
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

// TestAGatewayIsNotReadyWithoutTheTablesOfItsProcess takes back a migration while souk runs.
func TestAGatewayIsNotReadyWithoutTheTablesOfItsProcess(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", nil)
	s.anonymous().get("/health/ready").want(http.StatusOK)
	s.must("migrate", "down", "--service", "cart")
	s.anonymous().get("/health/ready").want(http.StatusServiceUnavailable)
	s.must("migrate", "up", "--service", "cart")
	s.anonymous().get("/health/ready").want(http.StatusOK)
}
