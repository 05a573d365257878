package natsrpc

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
)

// errLost ends a call whose connection broke: nobody knows what became of it.
var errLost = errors.New("the connection to NATS was lost")

// calls are the requests on a connection that wait for their answers. They do what nats.Conn.RequestMsg does, but for
// one thing: there a request that was sent into a connection that breaks waits for an answer until its deadline.
type calls struct {
	nc    *nats.Conn
	spare sync.Pool // of empty channels

	mu      sync.Mutex
	inbox   string // where answers come, with the call's number behind it; "" before the first call
	last    uint64
	waiting map[uint64]chan *nats.Msg // nil is sent to those that are lost
}

// do sends a request and returns its answer. It fails with nats.ErrDisconnected when nothing was sent, for nats.go
// would keep the request until it is connected again; with errLost; with nats.ErrNoResponders; and with
// what ctx and nats.Conn.PublishMsg fail with.
func (c *calls) do(ctx context.Context, request *nats.Msg) (*nats.Msg, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	id, answer, err := c.begin(request)
	if err != nil {
		return nil, err
	}
	// Asked now that the call is known: one that passes here is ended when the connection breaks after.
	if !c.nc.IsConnected() {
		c.abandon(id, answer)
		return nil, nats.ErrDisconnected
	}
	if err := c.nc.PublishMsg(request); err != nil {
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

// begin has the answer to a request come to the channel.
func (c *calls) begin(request *nats.Msg) (id uint64, answer chan *nats.Msg, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inbox == "" {
		if err := c.open(); err != nil {
			return 0, nil, err
		}
	}
	answer, ok := c.spare.Get().(chan *nats.Msg)
	if !ok {
		answer = make(chan *nats.Msg, 1) // so that nobody waits to send what is sent once
	}
	c.last++
	c.waiting[c.last] = answer
	request.Reply = string(strconv.AppendUint(append(make([]byte, 0, 64), c.inbox...), c.last, 36))
	return c.last, answer, nil
}

// abandon waits no longer, and returns what has come after all.
func (c *calls) abandon(id uint64, answer chan *nats.Msg) (got *nats.Msg, ok bool) {
	c.mu.Lock()
	_, waits := c.waiting[id]
	delete(c.waiting, id)
	c.mu.Unlock()
	if !waits {
		got, ok = <-answer, true // it was sent before the call was deleted
	}
	c.spare.Put(answer)
	return got, ok
}

// open subscribes to answers and follows the connection, until that is closed: both end with it.
func (c *calls) open() error {
	inbox := c.nc.NewInbox() + "."
	// Listening first: who can subscribe is told of the end of the connection.
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
	if answer, ok := c.waiting[id]; ok { // else its caller gave up
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
		// Asked, not read from status: of many changes at once, nats.go drops the last.
		if c.nc.IsClosed() {
			c.nc.RemoveStatusListener(status)
			return
		}
	}
}
