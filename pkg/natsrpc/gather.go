package natsrpc

import (
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// gatherMost is how many bytes may wait to be sent before who sends more waits, too.
	gatherMost = 1 << 20
	// gatherKept is the size in bytes above which a buffer is left to the garbage collector.
	gatherKept = 64 << 10
	// writeTimeout ends a connection whose other side takes nothing, as nats.FlusherTimeout does.
	writeTimeout = time.Minute
	// closeTimeout bounds how long the last bytes may take.
	closeTimeout = time.Second
)

// Gather has a connection over TCP send what is ready at the same moment in one piece. nats.go by itself hands each message to
// the kernel on its own, and lets nobody else send meanwhile; both cost more than all that natsrpc does for a call.
// It stands behind nats.SetCustomDialer, if there is one.
func Gather() nats.Option {
	return func(o *nats.Options) error {
		if o.CustomDialer == nil {
			o.CustomDialer = &net.Dialer{Timeout: o.Timeout}
		}
		o.CustomDialer = gatherDialer{o.CustomDialer}
		o.FlusherTimeout = 0 // there is writeTimeout
		return nil
	}
}

type gatherDialer struct{ nats.CustomDialer }

// Dial connects.
func (d gatherDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.CustomDialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return gather(conn), nil
}

// gathering is a connection whose writes return at once; a goroutine does them. What goes wrong shows at the next
// write, and ends reading.
type gathering struct {
	net.Conn
	done chan struct{} // closed when nothing is written any more

	mu      sync.Mutex
	more    sync.Cond // there is something to write, or no more to come
	room    sync.Cond // something was written, or nothing will be
	waiting []byte
	closed  bool
	err     error // why nothing is written any more
}

func gather(conn net.Conn) *gathering {
	g := &gathering{Conn: conn, done: make(chan struct{})}
	g.more.L, g.room.L = &g.mu, &g.mu
	go g.send()
	return g
}

// Write takes p to be sent. It waits while very much is waiting.
func (g *gathering) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) > gatherMost && g.err == nil && !g.closed {
		g.room.Wait()
	}
	switch {
	case g.err != nil:
		return 0, g.err
	case g.closed:
		return 0, net.ErrClosed
	}
	g.waiting = append(g.waiting, p...)
	g.more.Signal()
	return len(p), nil
}

// Close sends what waits, within bounds, and closes the connection.
func (g *gathering) Close() error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		_ = g.Conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // fails when it is closed: nothing is waited for then
	}
	g.mu.Unlock()
	g.more.Signal()
	g.room.Broadcast()
	<-g.done
	return g.Conn.Close()
}

// send writes what waits, again and again.
func (g *gathering) send() {
	defer close(g.done)
	var out []byte
	for g.wait() {
		runtime.Gosched() // those who are ready to run have something to send themselves, often
		g.mu.Lock()
		out, g.waiting = g.waiting, out[:0]
		if !g.closed { // else Close has set it
			_ = g.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // as in Close
		}
		g.mu.Unlock()
		g.room.Broadcast()
		if _, err := g.Conn.Write(out); err != nil {
			g.fail(err)
			return
		}
		if cap(out) > gatherKept {
			out = nil
		}
	}
}

// wait waits until there is something to write; it is false when there will be nothing.
func (g *gathering) wait() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.waiting) == 0 && !g.closed {
		g.more.Wait()
	}
	return len(g.waiting) > 0
}

// fail ends the connection for who writes and for who reads.
func (g *gathering) fail(err error) {
	g.mu.Lock()
	g.err = err
	g.mu.Unlock()
	g.room.Broadcast()
	_ = g.Conn.Close() // the error is told
}
