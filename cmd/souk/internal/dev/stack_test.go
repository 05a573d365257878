package dev

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/jobs"
	"souk/pkg/pgtest"
	"souk/pkg/telemetry/receiver"
)

// A client that understands the API's errors understands those below /dev, too.
func TestDevToolsReturnErrorsInTheAPIsFormat(t *testing.T) {
	t.Parallel()
	traces := receiver.NewRecorder(receiver.Options{})
	traces.Add(receiver.Span{TraceID: "0af7651916cd43dd8448eb211c80319c", SpanID: "b7ad6b7169203331"})
	c, err := startControl(&stack{traces: traces}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.close()) })
	transport := &http.Transport{DisableKeepAlives: true}
	host := ""
	send := func(path string) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path, http.NoBody)
		require.NoError(t, err)
		r.Host = host
		res, err := transport.RoundTrip(r)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, res.Body.Close()) })
		return res
	}
	for _, path := range []string{
		"/dev/traces", "/dev/traces/0af7651916cd43dd8448eb211c80319c", "/dev/traces/0AF7651916CD43DD8448EB211C80319C",
	} {
		require.Equal(t, http.StatusOK, send(path).StatusCode, path)
	}
	host = "evil.example"
	require.Equal(t, http.StatusMisdirectedRequest, send("/dev/traces").StatusCode)
	host = ""
	for _, tc := range []struct{ path, detail string }{
		{"/dev/traces/4bf92f3577b34da6a3ce929d0e0e4736", "there is no such trace, or it was not sampled"},
		{"/dev/traces/nonsense", "there is no such trace, or it was not sampled"},
		{"/dev/traces/a/b", "souk dev has no /dev/traces/a/b"},
		{"/dev/traces/", "souk dev has no /dev/traces/"},
		{"/dev/nothing", "souk dev has no /dev/nothing"},
	} {
		res := send(tc.path)
		require.Equal(t, http.StatusNotFound, res.StatusCode, tc.path)
		require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), tc.path)
		var problem map[string]any
		require.NoError(t, json.NewDecoder(res.Body).Decode(&problem), tc.path)
		require.Equal(t, map[string]any{
			"type": "https://souk.dev/problems/not_found", "title": "Not Found", "status": 404.0, "code": "not_found",
			"detail": tc.detail,
		}, problem, tc.path)
	}
}

// The pages of jobs need a database only when somebody opens them.
func TestPagesOfJobsAreOpenedAtTheirFirstRequest(t *testing.T) {
	t.Parallel()
	pages := &jobPages{
		urls: map[string]string{"webhook": "postgres://127.0.0.1:1/none"}, logs: slog.New(slog.DiscardHandler),
	}
	c, err := startControl(&stack{traces: receiver.NewRecorder(receiver.Options{})}, pages)
	require.NoError(t, err)
	stop := sync.OnceFunc(func() { require.NoError(t, c.close()) })
	t.Cleanup(stop)
	transport := &http.Transport{DisableKeepAlives: true}
	get := func() (status int, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+"/dev/jobs/", http.NoBody)
		require.NoError(t, err)
		res, err := transport.RoundTrip(r)
		require.NoError(t, err)
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode, string(raw)
	}
	status, body := get()
	require.Equal(t, http.StatusServiceUnavailable, status, body)
	require.NotContains(t, body, "127.0.0.1:1")

	pages.urls = map[string]string{"webhook": pgtest.URL(t, jobs.Migrations())} // it answers now
	status, body = get()
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, `<a href="webhook/">`)
	stop()
	_, err = pages.open(t.Context())
	require.Error(t, err, "souk dev has ended")
}
