package operate

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

func TestWatchServesTheOutcomeOfVerify(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.saga(t, "ord_parked", "parked")
	s, err := Open(h.source())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	listening, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- s.Watch(ctx, WatchOptions{
			VerifyOptions: VerifyOptions{Settle: 10 * time.Millisecond, Warnings: io.Discard},
			Every:         20 * time.Millisecond, Addr: "127.0.0.1:0",
			OnListen: func(addr string) { listening <- addr },
		})
	}()
	addr := waittest.Receive(t, listening)
	metrics := func() string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
		require.NoError(t, err)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return string(body)
	}
	shows := func(line string) {
		t.Helper()
		waittest.Until(t, func() bool { return strings.Contains(metrics(), line) }, "no line %s", line)
	}
	shows(`verify_wrong{check="sagas_order",severity="violation"} 1`)
	shows(`verify_wrong{check="dead_letters",severity="warning"} 0`)
	require.Regexp(t, `verify_run_total{result="broken"} [1-9]`, metrics())
	require.Regexp(t, `verify_last_run_timestamp_seconds \d`, metrics())

	_, err = h.pool(t, "order").Exec(t.Context(), `delete from saga`)
	require.NoError(t, err)
	shows(`verify_wrong{check="sagas_order",severity="violation"} 0`)

	cancel()
	require.NoError(t, waittest.Receive(t, done))
}
