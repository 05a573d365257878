package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/breaker"
	"souk/pkg/errs"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	down    = errs.New(errs.Unavailable, "down")
	refused = errs.New(errs.OutOfStock, "sold out")
)

func fail(err error) func() error { return func() error { return err } }

func TestBreakerOpensPerTargetAndRecovers(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	r := breaker.NewRegistry(breaker.Options{MinRequests: 4, OpenFor: 20 * time.Millisecond, Trials: 1}, metrics)
	for range 4 {
		require.ErrorIs(t, r.Call(t.Context(), "product", fail(down)), down)
	}

	called := false
	err := r.Call(t.Context(), "product", func() error { called = true; return nil })
	require.False(t, called, "an open breaker does not call")
	require.ErrorIs(t, err, breaker.ErrOpen)
	coded := errs.From(err)
	require.Equal(t, errs.Unavailable, coded.Code)
	require.Equal(t, 20*time.Millisecond, coded.RetryAfter)
	require.NoError(t, r.Call(t.Context(), "cart", fail(nil)), "other targets are not affected")
	require.Equal(t, 2.0, gauge(t, metrics, "product"))
	require.Equal(t, 0.0, gauge(t, metrics, "cart"))

	waittest.Until(t, func() bool { return r.Call(t.Context(), "product", fail(nil)) == nil },
		"the breaker does not close")
	require.Equal(t, 0.0, gauge(t, metrics, "product"))
}

func TestRefusalsAndCancelledCallsDoNotOpen(t *testing.T) {
	t.Parallel()
	r := breaker.NewRegistry(breaker.Options{MinRequests: 2}, nil)
	for range 20 {
		require.ErrorIs(t, r.Call(t.Context(), "product", fail(refused)), refused)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 {
		require.ErrorIs(t, r.Call(cancelled, "cart", fail(context.Canceled)), context.Canceled)
	}
	require.NoError(t, r.Call(t.Context(), "product", fail(nil)))
	require.NoError(t, r.Call(t.Context(), "cart", fail(nil)))
}

func TestTimeoutsOpenTheBreaker(t *testing.T) {
	t.Parallel()
	r := breaker.NewRegistry(breaker.Options{MinRequests: 2}, nil)
	for range 2 {
		require.Error(t, r.Call(t.Context(), "product", fail(fmt.Errorf("call: %w", context.DeadlineExceeded))))
	}
	require.ErrorIs(t, r.Call(t.Context(), "product", fail(nil)), breaker.ErrOpen)
}

// The caller of a callee that hangs runs out of time. A caller that leaves says nothing of the callee.
func TestCallsWhoseCallerRanOutOfTimeCountAndThoseWhoseCallerLeftDoNot(t *testing.T) {
	t.Parallel()
	r := breaker.NewRegistry(breaker.Options{MinRequests: 4}, nil)
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	left, leave := context.WithCancel(t.Context())
	leave()
	for range 20 {
		require.ErrorIs(t, r.Call(left, "product", func() error { return left.Err() }), context.Canceled)
	}
	for range 4 {
		require.ErrorIs(t, r.Call(late, "product", func() error { return late.Err() }), context.DeadlineExceeded)
	}
	require.ErrorIs(t, r.Call(t.Context(), "product", fail(nil)), breaker.ErrOpen)
}

func TestPanicsPassThrough(t *testing.T) {
	t.Parallel()
	r := breaker.NewRegistry(breaker.Options{}, nil)
	require.Panics(t, func() { _ = r.Call(t.Context(), "product", func() error { panic("bug") }) })
}

func TestRegistriesShareAMetric(t *testing.T) {
	t.Parallel()
	metrics := prometheus.NewRegistry()
	for _, target := range []string{"product", "cart"} {
		r := breaker.NewRegistry(breaker.Options{MinRequests: 1}, metrics)
		require.Error(t, r.Call(t.Context(), target, fail(errors.Join(down))))
	}
	require.Equal(t, 2.0, gauge(t, metrics, "product"))
	require.Equal(t, 2.0, gauge(t, metrics, "cart"))
}

func gauge(t *testing.T, g prometheus.Gatherer, target string) float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "breaker_state" && m.GetLabel()[0].GetValue() == target {
				return m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no breaker_state of %s", target)
	return 0
}

func ExampleRegistry_Call() {
	r := breaker.NewRegistry(breaker.Options{MinRequests: 1}, nil)
	call := func() error { return errs.New(errs.Unavailable, "connection refused") }
	fmt.Println(r.Call(context.Background(), "bank", call))
	fmt.Println(r.Call(context.Background(), "bank", call))
	// Output:
	// unavailable: connection refused
	// unavailable: bank does not answer at the moment: the breaker is open
}

func BenchmarkCall(b *testing.B) {
	r := breaker.NewRegistry(breaker.Options{}, nil)
	for b.Loop() {
		_ = r.Call(b.Context(), "product", fail(nil))
	}
}
