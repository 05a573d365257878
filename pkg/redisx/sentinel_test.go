package redisx_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/redisx"
	"souk/pkg/waittest"
)

// sentinel starts a sentinel that watches the primary as "souk", and returns its address.
func sentinel(t *testing.T, primary *server) string {
	t.Helper()
	s := newServer(t) // for its directory and its port
	s.stop()
	file := filepath.Join(s.dir, "sentinel.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `port %d
bind 127.0.0.1
dir %s
sentinel monitor souk 127.0.0.1 %d 2
sentinel down-after-milliseconds souk 1000
sentinel failover-timeout souk 3000
`, s.port, s.dir, primary.port), 0o600))
	s.cmd = exec.Command("redis-server", file, "--sentinel")
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	require.NoError(t, s.cmd.Start())
	return s.addr()
}

// acknowledged is the number of the last write that Redis has acknowledged. Write n sets the key n.
type acknowledged struct {
	mu sync.Mutex
	n  int
}

func (a *acknowledged) set(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n = n
}

func (a *acknowledged) get() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n
}

// TestSentinelFailsOverUnderLoad kills the primary during writes. The same client writes to the new primary, which has
// all that had reached the replica.
func TestSentinelFailsOverUnderLoad(t *testing.T) {
	t.Parallel()
	primary := newServer(t)
	replica := newServer(t, "--replicaof", "127.0.0.1", strconv.Itoa(primary.port))
	var sentinels []string
	for range 3 {
		sentinels = append(sentinels, sentinel(t, primary))
	}
	direct := open(t, redisx.Config{Addr: replica.addr()})
	ctx := context.Background()
	for _, addr := range sentinels { // a failover needs sentinels that know the replica and one another
		s := open(t, redisx.Config{Addr: addr})
		waittest.Until(t, func() bool {
			state, err := s.Do(ctx, s.B().Arbitrary("SENTINEL", "MASTER", "souk").Build()).AsStrMap()
			return err == nil && state["num-slaves"] == "1" && state["num-other-sentinels"] == "2"
		}, "the sentinels do not find the replica and one another")
	}

	client := open(t, redisx.Config{Sentinels: sentinels, Master: "souk"})
	var written acknowledged
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; {
			select {
			case <-stop:
				return
			default:
			}
			if client.Do(ctx, client.B().Set().Key(strconv.Itoa(n)).Value("v").Build()).Error() == nil {
				written.set(n)
				n++
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		waittest.Receive(t, done)
	})

	waittest.Until(t, func() bool { return written.get() > 100 }, "nothing is written")
	replicated := written.get()
	waittest.Until(t, func() bool {
		n, err := direct.Do(ctx, direct.B().Exists().Key(strconv.Itoa(replicated)).Build()).AsInt64()
		return err == nil && n == 1
	}, "the writes do not reach the replica")
	primary.stop()
	killed, before := time.Now(), written.get()
	waittest.Until(t, func() bool { return written.get() > before+100 }, "the client does not follow the failover")
	t.Logf("writes went on %v after the primary was killed", time.Since(killed).Round(10*time.Millisecond))
	for n := 1; n <= replicated; n++ {
		require.NoError(t, client.Do(ctx, client.B().Get().Key(strconv.Itoa(n)).Build()).Error(), "write %d is lost", n)
	}
}

func TestSentinelConfigIsChecked(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]redisx.Config{
		"master":    {Sentinels: []string{"127.0.0.1:1"}},
		"addr":      {Sentinels: []string{"127.0.0.1:1"}, Master: "souk", Addr: "127.0.0.1:2"},
		"sentinels": {Sentinels: []string{"nowhere"}, Master: "souk"},
	} {
		_, err := redisx.Open(t.Context(), cfg)
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", field, err)
	}
	_, err := redisx.Open(t.Context(), redisx.Config{Sentinels: []string{"127.0.0.1:1"}, Master: "souk"})
	require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
}
