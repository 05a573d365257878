package natsrpc

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

var (
	// errLost ends a call whose connection broke. Its outcome is unknown.
	errLost = errors.New("the connection to NATS was lost")
	// errNoHeartbeat ends a call whose handler sends no heartbeats. Its outcome is unknown.
	errNoHeartbeat = errors.New("neither an answer nor a heartbeat arrived")
)

// calls are the requests of a connection that wait for their answers. They work like nats.Conn.RequestMsg, except
// that they fail as soon as the connection breaks, or without heartbeats; RequestMsg waits until its deadline.
type calls struct {
	nc      *nats.Conn
	timeout time.Duration // how long a call waits for a heartbeat
	spare   sync.Pool     // of calls

	mu      sync.Mutex
	inbox   string           // the answers' subjects are this and the call's number; "" before the first call
	last    uint64           // number of the last call
	waiting map[uint64]*call // by number
}

type call struct {
	answer chan *nats.Msg // buffered, for the one answer; a lost call receives nil
	beat   time.Time      // time of the last heartbeat, or of the request
}

// request sends a request and returns its answer. It returns nats.ErrDisconnected if nothing was sent (nats.go
// would buffer the request until it reconnects), errLost, errNoHeartbeat, nats.ErrNoResponders, or an error of ctx or
// nats.Conn.PublishMsg.
func (c *calls) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	id, pending, err := c.begin(msg)
	if err != nil {
		return nil, err
	}
	// The check follows the registration: if the connection breaks later, watch ends the call.
	if !c.nc.IsConnected() {
		c.abandon(id, pending)
		return nil, nats.ErrDisconnected
	}
	if err := c.nc.PublishMsg(msg); err != nil {
		c.abandon(id, pending)
		return nil, err
	}
	timer := time.NewTimer(c.timeout)
	defer timer.Stop()
	for {
		select {
		case got := <-pending.answer:
			c.spare.Put(pending)
			return read(got)
		case <-timer.C:
			if rest := c.timeout - c.sinceBeat(pending); rest > 0 {
				timer.Reset(rest)
				continue
			}
			err = errNoHeartbeat
		case <-ctx.Done():
			err = ctx.Err()
		}
		if got, ok := c.abandon(id, pending); ok {
			return read(got)
		}
		return nil, err
	}
}

func read(answer *nats.Msg) (*nats.Msg, error) {
	if answer == nil {
		return nil, errLost
	}
	if len(answer.Data) == 0 && first(answer.Header, "Status") == "503" {
		return nil, nats.ErrNoResponders
	}
	return answer, nil
}

// begin registers a call and sets the reply subject of its request.
func (c *calls) begin(msg *nats.Msg) (id uint64, pending *call, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inbox == "" {
		if err := c.open(); err != nil {
			return 0, nil, err
		}
	}
	pending, ok := c.spare.Get().(*call)
	if !ok {
		pending = &call{answer: make(chan *nats.Msg, 1)}
	}
	pending.beat = time.Now()
	c.last++
	c.waiting[c.last] = pending
	msg.Reply = string(strconv.AppendUint(append(make([]byte, 0, 64), c.inbox...), c.last, 36))
	return c.last, pending, nil
}

// sinceBeat returns the time since the last heartbeat of a call.
func (c *calls) sinceBeat(pending *call) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(pending.beat)
}

// abandon removes a call, and returns its answer if that has arrived in the meantime.
func (c *calls) abandon(id uint64, pending *call) (got *nats.Msg, ok bool) {
	c.mu.Lock()
	_, waits := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if !waits {
		got, ok = <-pending.answer, true // does not block: the answer is sent before the call is removed
	}
	c.spare.Put(pending)
	return got, ok
}

// open subscribes to the answers and watches the connection. Both end when the connection is closed.
func (c *calls) open() error {
	inbox := c.nc.NewInbox() + "."
	// Listen before subscribing, so that a break after the subscription is not missed.
	status := c.nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	for subject, handle := range map[string]func(uint64, *nats.Msg){
		inbox:            c.deliver,
		Heartbeat(inbox): c.noteHeartbeat,
	} {
		_, err := c.nc.Subscribe(subject+"*", func(m *nats.Msg) {
			if id, err := strconv.ParseUint(m.Subject[len(subject):], 36, 64); err == nil {
				handle(id, m)
			}
		})
		if err != nil {
			c.nc.RemoveStatusListener(status)
			return err
		}
	}
	c.inbox, c.waiting = inbox, map[uint64]*call{}
	go c.watch(status)
	return nil
}

func (c *calls) deliver(id uint64, m *nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pending, ok := c.waiting[id]; ok { // otherwise its caller gave up
		delete(c.waiting, id)
		pending.answer <- m
	}
}

func (c *calls) noteHeartbeat(id uint64, _ *nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pending, ok := c.waiting[id]; ok {
		pending.beat = time.Now()
	}
}

// watch ends all calls whenever the connection breaks.
func (c *calls) watch(status chan nats.Status) {
	for range status {
		c.mu.Lock()
		for _, pending := range c.waiting {
			pending.answer <- nil
		}
		clear(c.waiting)
		c.mu.Unlock()
		// Ask the connection: nats.go drops the last of many simultaneous status changes.
		if c.nc.IsClosed() {
			c.nc.RemoveStatusListener(status)
			return
		}
	}
}
