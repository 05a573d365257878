// Package breaker provides circuit breakers, one per target. An open breaker stops calls to a target that does not
// answer.
//
// Only errs.Unavailable and errs.Timeout count as failures: a target that refuses a request is alive.
package breaker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"

	"souk/pkg/errs"
)

// ErrOpen is the cause of the error that an open breaker returns.
var ErrOpen = errors.New("the breaker is open")

// Options configure a Registry.
type Options struct {
	// MinRequests is the number of calls within Window below which a breaker does not open. 0 means 20.
	MinRequests uint32
	// FailureRatio is the share of failed calls within Window at which a breaker opens. 0 means 0.5.
	FailureRatio float64
	// Window is the time in which calls are counted. 0 means 10 s.
	Window time.Duration
	// OpenFor is how long an open breaker rejects calls before it allows trial calls. 0 means 1 s.
	OpenFor time.Duration
	// Trials is the number of consecutive trial calls that must succeed to close a breaker. 0 means 3.
	Trials uint32
}

func (o Options) withDefaults() Options {
	if o.MinRequests == 0 {
		o.MinRequests = 20
	}
	if o.FailureRatio == 0 {
		o.FailureRatio = 0.5
	}
	if o.Window == 0 {
		o.Window = 10 * time.Second
	}
	if o.OpenFor == 0 {
		o.OpenFor = time.Second
	}
	if o.Trials == 0 {
		o.Trials = 3
	}
	return o
}

// Registry holds one breaker per target. Targets are names of services and external systems, so the code bounds
// their number.
type Registry struct {
	options Options
	state   *prometheus.GaugeVec

	mu       sync.RWMutex
	breakers map[string]*gobreaker.CircuitBreaker[struct{}]
}

// NewRegistry returns a Registry. It exports the state of its breakers as the gauge breaker_state{target}
// (0 closed, 1 half open, 2 open) on metrics, which may be nil.
func NewRegistry(o Options, metrics prometheus.Registerer) *Registry {
	r := &Registry{
		options: o.withDefaults(),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "breaker_state",
			Help: "State of the breaker of calls to a target: 0 closed, 1 half open, 2 open.",
		}, []string{"target"}),
		breakers: map[string]*gobreaker.CircuitBreaker[struct{}]{},
	}
	if metrics == nil {
		return r
	}
	var already prometheus.AlreadyRegisteredError
	if err := metrics.Register(r.state); errors.As(err, &already) {
		if shared, ok := already.ExistingCollector.(*prometheus.GaugeVec); ok {
			r.state = shared // the registries of a process share the gauge
		}
	}
	return r
}

// outcome passes an error through gobreaker, and records whether it counts.
type outcome struct {
	error
	failure, excluded bool
}

// Call calls f unless the breaker of target is open, and returns f's error unchanged. A call that ends because ctx's
// deadline has passed is a failure, also if the caller set the deadline. A call whose ctx was cancelled, because the
// caller left, counts neither as a success nor as a failure.
//
// Errors: those of f, unavailable (the breaker is open; the cause is ErrOpen and RetryAfter is set).
func (r *Registry) Call(ctx context.Context, target string, f func() error) error {
	_, err := r.breaker(target).Execute(func() (struct{}, error) {
		err := f()
		if err == nil {
			return struct{}{}, nil
		}
		code := errs.CodeOf(err)
		return struct{}{}, &outcome{
			error:    err,
			failure:  code == errs.Unavailable || code == errs.Timeout,
			excluded: errors.Is(ctx.Err(), context.Canceled),
		}
	})
	switch o := err.(type) { //nolint:errorlint // created above, never wrapped
	case nil:
		return nil
	case *outcome:
		return o.error
	default:
		return errs.Wrap(ErrOpen, errs.Unavailable, "%s does not answer at the moment", target).
			WithRetryAfter(r.options.OpenFor)
	}
}

func (r *Registry) breaker(target string) *gobreaker.CircuitBreaker[struct{}] {
	r.mu.RLock()
	b, ok := r.breakers[target]
	r.mu.RUnlock()
	if ok {
		return b
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b, ok = r.breakers[target]; ok {
		return b
	}
	state := r.state.WithLabelValues(target)
	state.Set(0)
	b = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        target,
		MaxRequests: r.options.Trials,
		Interval:    r.options.Window,
		Timeout:     r.options.OpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			done := c.TotalSuccesses + c.TotalFailures
			return done >= r.options.MinRequests && float64(c.TotalFailures) >= r.options.FailureRatio*float64(done)
		},
		OnStateChange: func(_ string, _, to gobreaker.State) { state.Set(float64(to)) },
		IsSuccessful: func(err error) bool {
			o, ok := err.(*outcome) //nolint:errorlint // created in Call, never wrapped
			return err == nil || ok && !o.failure
		},
		IsExcluded: func(err error) bool {
			o, ok := err.(*outcome) //nolint:errorlint // created in Call, never wrapped
			return ok && o.excluded
		},
	})
	r.breakers[target] = b
	return b
}
