package waittest_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is a test whose failures are recorded.
type recorder struct {
	testing.TB
	failures []string
}

func (*recorder) Helper() {}

func (r *recorder) Error(args ...any) { r.failures = append(r.failures, fmt.Sprint(args...)) }

func (r *recorder) Fatal(args ...any) {
	r.Error(args...)
	runtime.Goexit()
}

func TestReceiveReturnsTheNextValueOrTheZeroValueOfAClosedChannel(t *testing.T) {
	t.Parallel()
	ch := make(chan int, 2)
	ch <- 1
	ch <- 2
	close(ch)
	require.Equal(t, 1, waittest.Receive(t, ch))
	require.Equal(t, 2, waittest.Receive(t, ch))
	require.Zero(t, waittest.Receive(t, ch))
}

func TestReceiveFailsTheTestAfterTheTimeoutAndReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, start := &recorder{}, time.Now()
		require.Zero(t, waittest.Receive(r, make(chan int)))
		require.Equal(t, []string{"timeout: nothing was received"}, r.failures)
		require.Equal(t, waittest.Timeout, time.Since(start))
	})
}

func TestUntilReturnsAsSoonAsTheConditionHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		waittest.Until(t, func() bool { return true }, "")
		require.Zero(t, time.Since(start))
		waittest.Until(t, func() bool { return time.Since(start) >= time.Second }, "")
		require.InDelta(t, time.Second, time.Since(start), float64(10*time.Millisecond))
	})
}

func TestUntilEndsTheTestAfterTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		go func() {
			waittest.Until(&r, func() bool { return false }, "%d orders are missing", 3)
			r.Error("Until returned")
		}()
		<-time.After(2 * waittest.Timeout)
		synctest.Wait()
		require.Equal(t, []string{"timeout: 3 orders are missing"}, r.failures)
	})
}

func ExampleUntil() {
	var t testing.TB // the test's
	var sold atomic.Int64
	go sold.Add(1)
	waittest.Until(t, func() bool { return sold.Load() == 1 }, "it is not sold")
}
