package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxFlushWait bounds how long submitted rows wait for the relays whose ticks are open.
	maxFlushWait = 5 * time.Millisecond
	// busyRate is the number of events per second, of all relays, from which ticks are half as frequent: the fixed
	// cost of a tick is then better spent on more rows.
	busyRate = 1000
)

// Publisher publishes to JetStream, as one batch, the events that all relays of a process have at the same time. The
// cost of a batch to the server, some files and their syncs, hardly depends on its size.
//
// Its relays read their outboxes at the same moments. Each holds its own lock, marks its own rows, and gets only
// its own errors.
type Publisher struct {
	js      jetstream.JetStream
	start   time.Time
	maxWait time.Duration // for open ticks, before a flush

	mu        sync.Mutex
	open      int           // ticks that have not submitted or left yet
	allClosed chan struct{} // has a value after open has come to 0
	waiting   []*submission
	led       bool // a submitter waits for the open ticks, then flushes what is waiting
	interval  time.Duration
	flushed   time.Time // when rows were last published
}

// submission is the rows of one relay that wait for a flush.
type submission struct {
	source string
	rows   []row
	done   chan outcome
}

// NewPublisher returns the publisher of a process's relays.
func NewPublisher(js jetstream.JetStream) *Publisher {
	return &Publisher{
		js: js, start: time.Now(), maxWait: maxFlushWait, allClosed: make(chan struct{}, 1), interval: tickInterval,
	}
}

// untilNextTick returns the time until the next common tick of busy relays. It returns 0 when the relay's last tick
// is at least an interval ago.
func (p *Publisher) untilNextTick(last time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(last) >= p.interval {
		return 0
	}
	return p.interval - time.Since(p.start)%p.interval
}

// adapt sets the interval by the current rate of events. The caller holds mu.
func (p *Publisher) adapt(events int) {
	over := max(time.Since(p.flushed), tickInterval)
	p.flushed, p.interval = time.Now(), tickInterval
	if float64(events)/over.Seconds() >= busyRate {
		p.interval = 2 * tickInterval
	}
}

// tick is a relay's part in the next flush. It begins before the relay reads rows, and ends with publish or leave.
type tick struct {
	p    *Publisher
	once sync.Once
}

func (p *Publisher) begin() *tick {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	return &tick{p: p}
}

// leave closes the tick, so that no flush waits for it. It may be called more than once, and after publish.
func (t *tick) leave() {
	t.once.Do(func() {
		p := t.p
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open--; p.open > 0 {
			return
		}
		select {
		case p.allClosed <- struct{}{}:
		default:
		}
	})
}

// publish publishes rows to JetStream, in order for each aggregate, and returns those that were acknowledged.
// After an error the relay retries the others. If ctx ends first, the outcome of all rows is unknown. Only the
// loss of the connection should end ctx: all relays share the connection, and one relay flushes for all of them.
func (t *tick) publish(ctx context.Context, source string, rows []row) ([]row, error) {
	p := t.p
	s := &submission{source: source, rows: rows, done: make(chan outcome, 1)}
	p.mu.Lock()
	p.waiting = append(p.waiting, s)
	lead := !p.led
	p.led = true
	p.mu.Unlock()
	t.leave()
	if lead {
		p.awaitTicks(ctx)
		p.flush(ctx)
	}
	select {
	case o := <-s.done:
		return o.sent, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// awaitTicks waits until no tick is open, or maxWait has passed.
func (p *Publisher) awaitTicks(ctx context.Context) {
	timeout := time.NewTimer(p.maxWait)
	defer timeout.Stop()
	for {
		p.mu.Lock()
		open := p.open
		p.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-p.allClosed:
		case <-timeout.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// flush publishes what is waiting.
func (p *Publisher) flush(ctx context.Context) {
	p.mu.Lock()
	submissions := p.waiting
	p.waiting, p.led = nil, false
	n := 0
	for _, s := range submissions {
		n += len(s.rows)
	}
	all := make([]message, 0, n)
	for i, s := range submissions {
		for _, row := range s.rows {
			all = append(all, message{row: row, source: s.source, submission: i})
		}
	}
	p.adapt(len(all))
	p.mu.Unlock()

	for i, o := range publish(ctx, p.js, all, len(submissions)) {
		submissions[i].done <- o
	}
}
