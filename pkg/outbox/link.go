package outbox

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
)

// link watches a connection to NATS. When a connection breaks, requests in flight get no answer, and the server
// forgets open pulls. A link cancels the wait for both, and signals when the connection is back.
type link struct {
	nc     *nats.Conn
	status chan nats.Status
	done   chan struct{} // closed when watch has returned
	back   chan struct{} // has a value after the connection came back, or was closed for good

	mu     sync.Mutex
	cancel context.CancelFunc // cancels the context that is in use
}

func newLink(nc *nats.Conn) *link {
	l := &link{
		nc:     nc,
		status: nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED),
		done:   make(chan struct{}),
		back:   make(chan struct{}, 1),
	}
	go l.watch()
	return l
}

// close ends the link, but leaves the connection open.
func (l *link) close() {
	l.nc.RemoveStatusListener(l.status) // closes the channel
	<-l.done
}

func (l *link) watch() {
	defer close(l.done)
	for s := range l.status {
		if s != nats.CONNECTED {
			l.mu.Lock()
			if l.cancel != nil {
				l.cancel()
			}
			l.mu.Unlock()
		}
		if s != nats.RECONNECTING {
			select {
			case l.back <- struct{}{}:
			default:
			}
		}
	}
}

// context returns a context that also ends when the connection breaks. It fails when there is no connection now.
// Only one such context may be in use at a time.
func (l *link) context(ctx context.Context) (context.Context, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(ctx)
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	if !l.nc.IsConnected() {
		cancel()
		return nil, nil, nats.ErrDisconnected
	}
	return ctx, cancel, nil
}
