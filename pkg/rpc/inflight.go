package rpc

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	optionsv1 "souk/gen/go/souk/options/v1"
	"souk/pkg/errs"
)

// slotWait is how long a call waits for others in the process to end.
const slotWait = 5 * time.Second

// InFlight bounds the calls of one method that are in flight, as its contract says (souk.options.v1.in_flight). A nil
// InFlight bounds nothing. A [Server] applies it itself; a gateway may apply it earlier, before it reads a body.
type InFlight struct {
	perCaller int
	process   *semaphore.Weighted

	mu      sync.Mutex
	callers map[string]int // calls in flight or waiting, by caller
}

// NewInFlight returns the bounds of an option, or nil if it is unset.
func NewInFlight(option *optionsv1.InFlight) *InFlight {
	if option == nil {
		return nil
	}
	return &InFlight{
		perCaller: int(option.GetPerCaller()),
		process:   semaphore.NewWeighted(int64(option.GetPerProcess())),
		callers:   map[string]int{},
	}
}

// Acquire begins a call of a caller. The caller of Acquire calls release at its end.
//
// Errors: rate_limited (the caller has too many in flight), overloaded (the process has).
func (f *InFlight) Acquire(ctx context.Context, caller string) (release func(), err error) {
	if f == nil {
		return func() {}, nil
	}
	if !f.enter(caller) {
		return nil, errs.New(errs.RateLimited, "your last request of this kind is still in flight: wait for its answer").
			WithRetryAfter(shedRetryAfter)
	}
	wait, cancel := context.WithTimeout(ctx, slotWait)
	defer cancel()
	if err := f.process.Acquire(wait, 1); err != nil {
		f.leave(caller)
		return nil, errs.New(errs.Overloaded, "too many requests of this kind are in flight: try again later").
			WithRetryAfter(shedRetryAfter)
	}
	return func() {
		f.process.Release(1)
		f.leave(caller)
	}, nil
}

func (f *InFlight) enter(caller string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.callers[caller] >= f.perCaller {
		return false
	}
	f.callers[caller]++
	return true
}

func (f *InFlight) leave(caller string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.callers[caller]--; f.callers[caller] == 0 {
		delete(f.callers, caller)
	}
}
