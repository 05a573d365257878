package outbox

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
)

// link follows a connection to NATS. What is sent into one that breaks gets no answer, and the server
// forgets pulls that were open: with a link nobody waits for either, and all go on when it is back.
type link struct {
	nc     *nats.Conn
	status chan nats.Status
	gone   chan struct{}
	back   chan struct{} // something when the connection is back

	mu     sync.Mutex
	giveUp context.CancelFunc // ends the context that is in use
}

func newLink(nc *nats.Conn) *link {
	l := &link{
		nc:     nc,
		status: nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.CLOSED),
		gone:   make(chan struct{}),
		back:   make(chan struct{}, 1),
	}
	go l.watch()
	return l
}

// close ends the link, not the connection.
func (l *link) close() {
	l.nc.RemoveStatusListener(l.status) // closes the channel
	<-l.gone
}

func (l *link) watch() {
	defer close(l.gone)
	for s := range l.status {
		if s != nats.CONNECTED {
			l.mu.Lock()
			if l.giveUp != nil {
				l.giveUp()
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

// context returns a context that also ends when the connection breaks. It fails when there is none.
// One is in use at a time.
func (l *link) context(ctx context.Context) (context.Context, context.CancelFunc, error) {
	ctx, cancel := context.WithCancel(ctx)
	l.mu.Lock()
	l.giveUp = cancel
	l.mu.Unlock()
	if !l.nc.IsConnected() {
		cancel()
		return nil, nil, nats.ErrDisconnected
	}
	return ctx, cancel, nil
}
