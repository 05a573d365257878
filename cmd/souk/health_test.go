package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/explain"
)

func TestHealthIsThatOfTheProcessWithTheSameConfiguration(t *testing.T) {
	t.Parallel()
	var answer atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health/ready" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		http.Error(w, "redis does not answer", int(answer.Load()))
	}))
	t.Cleanup(server.Close)
	address := strings.TrimPrefix(server.URL, "http://")
	_, port, _ := strings.Cut(address, ":")
	for _, addr := range []string{address, "0.0.0.0:" + port, ":" + port, "[::]:" + port} {
		file := settingsFile(t, "{url: x}", `admin: {addr: "`+addr+`"}`)
		answer.Store(http.StatusOK)
		status, _, err := souk(t, "health", "--config", file)
		require.NoError(t, err, addr)
		require.Zero(t, status)

		answer.Store(http.StatusServiceUnavailable)
		status, _, err = souk(t, "health", "--config", file)
		require.Equal(t, 1, status)
		require.ErrorContains(t, err, "503 Service Unavailable: redis does not answer")
	}
	answer.Store(http.StatusNoContent)
	_, _, err := souk(t, "health", server.URL+"/health/ready")
	require.NoError(t, err)
	status, _, err := souk(t, "health", server.URL+"/elsewhere")
	require.Equal(t, 1, status)
	require.ErrorContains(t, err, "404")
}

func TestHealthNeedsAFixedPort(t *testing.T) {
	t.Parallel()
	for _, more := range []string{"", `admin: {addr: ""}`, `admin: {addr: "127.0.0.1:0"}`} {
		status, _, err := souk(t, "health", "--config", settingsFile(t, "{url: x}", more))
		require.Equal(t, 1, status)
		require.Contains(t, explain.Error(err), "admin.addr has no fixed port")
	}
}

func TestHealthOfAProcessThatIsGone(t *testing.T) {
	t.Parallel()
	status, _, err := souk(t, "health", "http://127.0.0.1:1/health/ready")
	require.Equal(t, 1, status)
	require.ErrorContains(t, err, "connection refused")
}

func TestHealthRefusesWhatIsNoURL(t *testing.T) {
	t.Parallel()
	for _, argument := range []string{"nonsense", "127.0.0.1:9090", "localhost:9090/health/live", "ftp://localhost/", "http:///x"} {
		status, _, err := souk(t, "health", argument)
		require.Equal(t, 1, status, argument)
		require.EqualError(t, err, `"`+argument+`" is not a URL such as http://127.0.0.1:9090/health/live`)
	}
}
