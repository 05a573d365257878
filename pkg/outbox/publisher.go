package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// handOverFor bounds how long events wait for those of the relays that have begun a round at the same time.
	handOverFor = 5 * time.Millisecond
	// lively is how many events a second, of all relays, make rounds half as frequent: what a round costs by itself is
	// then better spent on what it brings.
	lively = 1000
)

// Publisher gives JetStream the events of all relays of a process that are due at the same time as one batch. What a
// batch costs the server, some files and their syncs, hardly depends on how much is in it.
//
// Its relays look at their outboxes at the same moments; each keeps its own turn, marks its own rows, and hears of
// its own failures alone.
type Publisher struct {
	js    jetstream.JetStream
	began time.Time
	most  time.Duration // for which events wait for others

	mu      sync.Mutex
	looking int           // relays in a round that have not said yet what they have
	last    chan struct{} // something when looking comes to 0
	waiting []*handover
	led     bool // somebody waits for the others, to publish what is waiting
	pace    time.Duration
	sent    time.Time // when something was last published
}

// handover is what one relay has to publish.
type handover struct {
	source string
	rows   []row
	done   chan outcome
}

// NewPublisher returns the publisher of a process's relays.
func NewPublisher(js jetstream.JetStream) *Publisher {
	return &Publisher{js: js, began: time.Now(), most: handOverFor, last: make(chan struct{}, 1), pace: gather}
}

// untilNext is how long it is to the next moment at which relays that are busy begin a round; 0 when the last round, of
// that time, is long enough ago.
func (p *Publisher) untilNext(last time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(last) >= p.pace {
		return 0
	}
	return p.pace - time.Since(p.began)%p.pace
}

// adapt sets the pace by how many events are published now. Its caller holds mu.
func (p *Publisher) adapt(events int) {
	over := max(time.Since(p.sent), gather)
	p.sent, p.pace = time.Now(), gather
	if float64(events)/over.Seconds() >= lively {
		p.pace = 2 * gather
	}
}

// round is a relay's part in what goes out now. It begins before the relay looks for rows, and ends with publish or leave.
type round struct {
	p    *Publisher
	once sync.Once
}

func (p *Publisher) begin() *round {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looking++
	return &round{p: p}
}

// leave says that there is nothing to wait for. It may be called more than once, and after publish.
func (r *round) leave() {
	r.once.Do(func() {
		p := r.p
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.looking--; p.looking > 0 {
			return
		}
		select {
		case p.last <- struct{}{}:
		default:
		}
	})
}

// publish gives rows to JetStream, in order for each aggregate, and returns those that it has acknowledged. On an
// error the others go out with the next attempt. When ctx ends first, nobody knows which are out; it should end with
// the connection alone, which all relays share, for one of them publishes for the others, too.
func (r *round) publish(ctx context.Context, source string, rows []row) ([]row, error) {
	p := r.p
	h := &handover{source: source, rows: rows, done: make(chan outcome, 1)}
	p.mu.Lock()
	p.waiting = append(p.waiting, h)
	lead := !p.led
	p.led = true
	p.mu.Unlock()
	r.leave()
	if lead {
		p.await(ctx)
		p.send(ctx)
	}
	select {
	case o := <-h.done:
		return o.sent, o.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// await waits for the relays that are still looking.
func (p *Publisher) await(ctx context.Context) {
	t := time.NewTimer(p.most)
	defer t.Stop()
	for {
		p.mu.Lock()
		looking := p.looking
		p.mu.Unlock()
		if looking == 0 {
			return
		}
		select {
		case <-p.last:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// send publishes what is waiting.
func (p *Publisher) send(ctx context.Context) {
	p.mu.Lock()
	handovers := p.waiting
	p.waiting, p.led = nil, false
	n := 0
	for _, h := range handovers {
		n += len(h.rows)
	}
	all := make([]message, 0, n)
	for i, h := range handovers {
		for _, row := range h.rows {
			all = append(all, message{row: row, source: h.source, of: i})
		}
	}
	p.adapt(len(all))
	p.mu.Unlock()

	for i, o := range publish(ctx, p.js, all, len(handovers)) {
		handovers[i].done <- o
	}
}
