// Package batch collects items that several goroutines submit and hands them to one function call, a flush.
//
// Many requests do the same small thing at the same time: reserve stock, store a payment, read an offer. Done one by
// one, each pays for its own round trip, and writers of one hot row queue for its lock. A [Batcher] lets them share:
//
//   - A caller submits one item and waits for its own result.
//   - If no flush is running, one starts at once with that item. A lone caller does not wait for others.
//   - Items that arrive during a flush wait. When it ends, the next flush takes all of them, up to the limit.
//
// So batches grow with the load and cost nothing without it. Two refinements make them larger:
//
//   - Before a flush, the batcher yields the processor until no more items arrive (at most a few milliseconds).
//     Callers that became runnable at the same time then end up in the same batch. On an idle machine this takes
//     no time.
//   - [WithWindow] adds a fixed delay before a flush that follows closely on another one.
//
// A flush should be one statement or one transaction. If it fails as a whole, each of its callers gets that error. A
// failure that concerns one item only, such as out of stock, is that item's [Result].
//
// Batching is an optimization of storage and transport. Business rules must not depend on what shares a batch.
package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"souk/pkg/errs"
)

const (
	// recentWindows is how many windows after a flush the next one still counts as following closely.
	recentWindows = 4
	// maxYield bounds how long a flush is delayed by yielding.
	maxYield = 3 * time.Millisecond
	// yields is how often the processor is yielded before the waiting items are counted again.
	yields = 3
	// defaultTimeout bounds a flush unless WithFlushTimeout says otherwise.
	defaultTimeout = 10 * time.Second
	// retryAfter is what a caller is advised whose item a closed batcher refuses.
	retryAfter = time.Second
)

// Result is the outcome of one item.
type Result[R any] struct {
	// Value is the answer. It is valid if Err is nil.
	Value R
	// Err is this item's own failure.
	Err error
}

// Flush processes a batch. It returns one Result per item, in the order of the items, or an error that all callers
// get. Its context carries no caller's values or deadline, only the batcher's flush timeout.
type Flush[T, R any] func(ctx context.Context, items []T) ([]Result[R], error)

// Batcher batches the items of concurrent callers; see the package comment. It is safe for concurrent use.
type Batcher[T, R any] struct {
	flush Flush[T, R]
	limit int
	cfg   config

	mu       sync.Mutex
	waiting  []*submission[T, R]
	open     bool          // a worker waits for the batch window
	filled   chan struct{} // receives when a full batch ends the window
	workers  int           // goroutines that flush
	closed   bool
	lastTime time.Time // end of the last flush
	running  sync.WaitGroup
}

// submission is an item and its caller.
type submission[T, R any] struct {
	item T
	// withdrawn is set, under the batcher's mutex, if the caller left before a flush took the item.
	withdrawn bool
	result    chan Result[R] // buffered, so that a flush never waits for a caller
}

type config struct {
	parallel int
	timeout  time.Duration
	window   time.Duration
}

// Option configures a Batcher.
type Option func(*config)

// WithParallel lets up to n flushes run at the same time. The default is 1, which is best for one hot row.
func WithParallel(n int) Option {
	return func(c *config) { c.parallel = max(n, 1) }
}

// WithWindow sets the batch window: a flush waits that long for more items if another flush ended less than four
// windows ago. A full batch is flushed at once. The default is 0: no wait.
func WithWindow(d time.Duration) Option {
	return func(c *config) { c.window = d }
}

// WithFlushTimeout bounds one flush. The default is 10 s.
func WithFlushTimeout(d time.Duration) Option {
	return func(c *config) { c.timeout = d }
}

// New returns a Batcher whose flushes take at most limit items.
func New[T, R any](limit int, flush Flush[T, R], opts ...Option) *Batcher[T, R] {
	b := &Batcher[T, R]{
		flush: flush, limit: max(limit, 1), filled: make(chan struct{}, 1),
		cfg: config{parallel: 1, timeout: defaultTimeout},
	}
	for _, o := range opts {
		o(&b.cfg)
	}
	return b
}

// Submit adds item to the next batch and waits for its result. If ctx ends first, Submit returns at once. An item
// that waits is then withdrawn; an item that is being flushed is not, and may take effect. Other items are not
// affected.
//
// Errors: the item's own, the flush's, timeout (ctx ended), unavailable (the batcher is closed), internal (the flush
// panicked).
func (b *Batcher[T, R]) Submit(ctx context.Context, item T) (R, error) {
	var zero R
	if err := ctx.Err(); err != nil {
		return zero, errs.From(err)
	}
	s := &submission[T, R]{item: item, result: make(chan Result[R], 1)}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return zero, errs.New(errs.Unavailable, "shutting down").WithRetryAfter(retryAfter)
	}
	b.waiting = append(b.waiting, s)
	if b.open && len(b.waiting) >= b.limit {
		b.open = false
		b.filled <- struct{}{} // does not block: see waitWindow
	}
	if b.workers < b.cfg.parallel {
		b.startLocked()
	}
	b.mu.Unlock()

	select {
	case r := <-s.result:
		return r.Value, r.Err
	case <-ctx.Done():
		b.mu.Lock()
		s.withdrawn = true
		b.mu.Unlock()
		return zero, errs.From(ctx.Err())
	}
}

// Close refuses new items and waits until all submitted items have their results. It may be called more than once.
func (b *Batcher[T, R]) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.running.Wait()
}

func (b *Batcher[T, R]) startLocked() {
	b.workers++
	b.running.Add(1)
	go b.work()
}

// work flushes until no items wait.
func (b *Batcher[T, R]) work() {
	defer b.running.Done()
	finished := false
	defer func() {
		if finished {
			return
		}
		// The flush ended this goroutine with runtime.Goexit, as a failed test does. Another one takes over.
		b.mu.Lock()
		defer b.mu.Unlock()
		b.workers--
		if len(b.waiting) > 0 {
			b.startLocked()
		}
	}()
	for {
		if b.cfg.window > 0 {
			b.waitWindow()
		}
		b.yield()
		batch := b.take()
		if len(batch) == 0 {
			finished = true
			return
		}
		b.run(batch)
	}
}

// waitWindow waits for the batch window, or until the batch is full. It returns at once if a full batch or no items
// wait, if another worker waits, if the batcher is closed, or if the last flush was long ago.
func (b *Batcher[T, R]) waitWindow() {
	b.mu.Lock()
	n := len(b.waiting)
	if n == 0 || n >= b.limit || b.open || b.closed || time.Since(b.lastTime) >= recentWindows*b.cfg.window {
		b.mu.Unlock()
		return
	}
	b.open = true
	b.mu.Unlock()
	t := time.NewTimer(b.cfg.window)
	defer t.Stop()
	select {
	case <-b.filled:
		return
	case <-t.C:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		<-b.filled // the batch filled up just as the window ended
	}
	b.open = false
}

// yield lets other goroutines run until no more items arrive. Callers that a previous flush, possibly of another
// batcher, has just answered arrive within microseconds of each other; without yielding, the first one would be
// flushed alone.
func (b *Batcher[T, R]) yield() {
	began := time.Now()
	for before := -1; ; {
		b.mu.Lock()
		n := len(b.waiting)
		b.mu.Unlock()
		if n == before || n == 0 || n >= b.limit || time.Since(began) > maxYield {
			return
		}
		before = n
		for range yields {
			runtime.Gosched()
		}
	}
}

// take removes and returns the next batch, without withdrawn items. If no items wait, it counts the worker as
// ended in the same critical section, so that the next caller starts another.
func (b *Batcher[T, R]) take() []*submission[T, R] {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []*submission[T, R]
	taken := 0
	for taken < len(b.waiting) && len(batch) < b.limit {
		if s := b.waiting[taken]; !s.withdrawn {
			batch = append(batch, s)
		}
		taken++
	}
	rest := copy(b.waiting, b.waiting[taken:])
	clear(b.waiting[rest:])
	b.waiting = b.waiting[:rest]
	switch {
	case len(batch) == 0:
		b.workers--
	case rest > 0 && b.workers < b.cfg.parallel:
		b.startLocked() // the rest need not wait for this flush
	}
	return batch
}

// run flushes one batch and gives its callers their results, whatever flush does.
func (b *Batcher[T, R]) run(batch []*submission[T, R]) {
	var results []Result[R]
	err := error(internal(errors.New("a flush ended its goroutine")))
	defer func() {
		if p := recover(); p != nil {
			results, err = nil, internal(fmt.Errorf("panic in a flush: %v\n%s", p, debug.Stack()))
		}
		if err == nil && len(results) != len(batch) {
			err = internal(fmt.Errorf("a flush returned %d results for %d items", len(results), len(batch)))
		}
		b.mu.Lock()
		b.lastTime = time.Now()
		b.mu.Unlock()
		for i, s := range batch {
			if err != nil {
				s.result <- Result[R]{Err: err}
			} else {
				s.result <- results[i]
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.timeout)
	defer cancel()
	items := make([]T, len(batch))
	for i, s := range batch {
		items[i] = s.item
	}
	results, err = b.flush(ctx, items)
}

func internal(cause error) *errs.Error {
	return errs.Wrap(cause, errs.Internal, "something went wrong on our side")
}
