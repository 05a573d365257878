package natsrpc

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// errLost ends a call whose connection broke. Its outcome is unknown.
var errLost = errors.New("the connection to NATS was lost")

// calls are the requests of a connection that wait for their answers. They work like nats.Conn.RequestMsg, except
// that they fail as soon as the connection breaks; RequestMsg waits until its deadline.
type calls struct {
	nc    *nats.Conn
	spare sync.Pool // of unused answer channels

	mu      sync.Mutex
	inbox   string                    // the answers' subjects are this and the call's number; "" before the first call
	last    uint64                    // number of the last call
	waiting map[uint64]chan *nats.Msg // by number; a lost call receives nil
}

// request sends a request and returns its answer. It returns nats.ErrDisconnected if nothing was sent (nats.go
// would buffer the request until it reconnects), errLost, nats.ErrNoResponders, or an error of ctx or
// nats.Conn.PublishMsg.
func (c *calls) request(ctx context.Context, msg *nats.Msg) (*nats.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	id, answer, err := c.begin(msg)
	if err != nil {
		return nil, err
	}
	// The check follows the registration: if the connection breaks later, watch ends the call.
	if !c.nc.IsConnected() {
		c.abandon(id, answer)
		return nil, nats.ErrDisconnected
	}
	if err := c.nc.PublishMsg(msg); err != nil {
		c.abandon(id, answer)
		return nil, err
	}
	select {
	case got := <-answer:
		c.spare.Put(answer)
		return read(got)
	case <-ctx.Done():
		if got, ok := c.abandon(id, answer); ok {
			return read(got)
		}
		return nil, ctx.Err()
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
func (c *calls) begin(msg *nats.Msg) (id uint64, answer chan *nats.Msg, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inbox == "" {
		if err := c.open(); err != nil {
			return 0, nil, err
		}
	}
	answer, ok := c.spare.Get().(chan *nats.Msg)
	if !ok {
		answer = make(chan *nats.Msg, 1) // buffered: the one send to it does not block
	}
	c.last++
	c.waiting[c.last] = answer
	msg.Reply = string(strconv.AppendUint(append(make([]byte, 0, 64), c.inbox...), c.last, 36))
	return c.last, answer, nil
}

// abandon removes a call, and returns its answer if that has arrived in the meantime.
func (c *calls) abandon(id uint64, answer chan *nats.Msg) (got *nats.Msg, ok bool) {
	c.mu.Lock()
	_, waits := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if !waits {
		got, ok = <-answer, true // does not block: the answer is sent before the call is removed
	}
	c.spare.Put(answer)
	return got, ok
}

// open subscribes to the answers and watches the connection. Both end when the connection is closed.
func (c *calls) open() error {
	inbox := c.nc.NewInbox() + "."
	// Listen before subscribing, so that a break after the subscription is not missed.
	status := c.nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	_, err := c.nc.Subscribe(inbox+"*", func(m *nats.Msg) {
		if id, err := strconv.ParseUint(m.Subject[len(inbox):], 36, 64); err == nil {
			c.deliver(id, m)
		}
	})
	if err != nil {
		c.nc.RemoveStatusListener(status)
		return err
	}
	c.inbox, c.waiting = inbox, map[uint64]chan *nats.Msg{}
	go c.watch(status)
	return nil
}

func (c *calls) deliver(id uint64, m *nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer, ok := c.waiting[id]; ok { // otherwise its caller gave up
		delete(c.waiting, id)
		answer <- m
	}
}

// watch ends all calls whenever the connection breaks.
func (c *calls) watch(status chan nats.Status) {
	for range status {
		c.mu.Lock()
		for _, answer := range c.waiting {
			answer <- nil
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
