package operate

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

// startJobsUI serves the pages until the test ends. It returns their address.
func startJobsUI(t *testing.T, h *harness, o JobsUIOptions) string {
	t.Helper()
	s, err := Open(h.source())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	out, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- s.JobsUI(ctx, w, o) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, waittest.Receive(t, ended))
	})
	lines := make(chan string, 1)
	go func() {
		line := make([]byte, 200)
		n, _ := out.Read(line) // without a line, the address below is missing
		lines <- string(line[:n])
	}()
	url := regexp.MustCompile(`http://\S+/`).FindString(waittest.Receive(t, lines))
	require.NotEmpty(t, url)
	return url
}

func TestJobsUIShowsAndRetriesJobs(t *testing.T) {
	t.Parallel()
	h := setup(t)
	pool := h.pool(t, "notification")
	_, err := pool.Exec(t.Context(), `
		insert into river_job (kind, args, queue, max_attempts, attempt, state, errors, finalized_at, attempted_at)
		values ('delivery', '{"id": "d1"}', 'mail', 3, 3, 'discarded', array[$1::jsonb], now(), now())`,
		`{"error": "the mail server refuses the sender", "at": "2026-01-02T03:04:05Z", "attempt": 3, "trace": ""}`)
	require.NoError(t, err)
	url := startJobsUI(t, h, JobsUIOptions{HTTP: "127.0.0.1:0", Log: io.Discard})
	transport := &http.Transport{DisableKeepAlives: true}
	send := func(method, path, body string, header ...string) (status int, answer string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		require.NoError(t, err)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
			if header[i] == "Host" {
				r.Host = header[i+1]
			}
		}
		res, err := transport.RoundTrip(r)
		require.NoError(t, err)
		raw, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode, string(raw)
	}
	state := func() (state string) {
		t.Helper()
		require.NoError(t, pool.QueryRow(t.Context(), `select state::text from river_job`).Scan(&state))
		return state
	}

	status, page := send(http.MethodGet, "", "")
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, page, `<a href="notification/">`)
	status, page = send(http.MethodGet, "notification/jobs", "", "Accept", "text/html")
	require.Equal(t, http.StatusOK, status, page)
	script := regexp.MustCompile(`/(notification/assets/main[^"]+\.js)"`).FindStringSubmatch(page)
	require.Len(t, script, 2, page)
	status, _ = send(http.MethodGet, script[1], "")
	require.Equal(t, http.StatusOK, status)
	status, answer := send(http.MethodGet, "notification/api/jobs/1", "")
	require.Equal(t, http.StatusOK, status, answer)
	require.Contains(t, answer, "the mail server refuses the sender")

	const job = `{"ids": ["1"]}`
	for _, refused := range []struct {
		name, method, path string
		header             []string
		want               int
	}{
		{"a foreign host", http.MethodGet, "", []string{"Host", "evil.example"}, http.StatusMisdirectedRequest},
		{
			"a retry of a foreign host", http.MethodPost, "notification/api/jobs/retry",
			[]string{"Host", "evil.example:80"}, http.StatusMisdirectedRequest,
		},
		{
			"a retry of another site", http.MethodPost, "notification/api/jobs/retry",
			[]string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden,
		},
		{
			"a retry of another port", http.MethodPost, "notification/api/jobs/retry",
			[]string{"Origin", "http://127.0.0.1:1"}, http.StatusForbidden,
		},
		{"a cancellation", http.MethodPost, "notification/api/jobs/cancel", nil, http.StatusForbidden},
		{"a deletion", http.MethodPost, "notification/api/jobs/delete", nil, http.StatusForbidden},
		{"another method", http.MethodPut, "notification/api/jobs/retry", nil, http.StatusMethodNotAllowed},
		{"a service without jobs", http.MethodGet, "order/", nil, http.StatusNotFound},
	} {
		status, answer := send(refused.method, refused.path, job, refused.header...)
		require.Equal(t, refused.want, status, refused.name+": "+answer)
		require.NotContains(t, answer, "notification/\"", refused.name)
		require.Equal(t, "discarded", state(), refused.name)
	}
	status, answer = send(http.MethodPost, "notification/api/jobs/retry", job,
		"Sec-Fetch-Site", "same-origin", "Origin", strings.TrimSuffix(url, "/"))
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, "available", state())
}

func TestJobsUIIsForThisMachineUnlessTheNetworkIsAllowed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	s, err := Open(h.source())
	require.NoError(t, err)
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:80"} {
		require.ErrorContains(t, s.JobsUI(t.Context(), io.Discard, JobsUIOptions{HTTP: addr}), "--network", addr)
	}
	require.ErrorContains(t, s.JobsUI(t.Context(), io.Discard, JobsUIOptions{HTTP: "localhost"}), "host:port")
	require.NotEmpty(t, startJobsUI(t, h, JobsUIOptions{HTTP: "0.0.0.0:0", Network: true, Log: io.Discard}))
}
