package natsrpc

import (
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// maxPending is the number of bytes waiting to be sent above which writers block.
	maxPending = 1 << 20
	// maxKeptBuffer is the size in bytes above which a buffer is not reused.
	maxKeptBuffer = 64 << 10
	// writeTimeout ends a connection whose peer does not read, as nats.FlusherTimeout does.
	writeTimeout = time.Minute
	// closeTimeout bounds how long Close waits for the last bytes to be sent.
	closeTimeout = time.Second
)

// BatchWrites makes a TCP connection to NATS send the messages that are ready at the same moment in one write.
// By default nats.go writes each message with a system call of its own and holds a lock meanwhile, which costs
// more than everything natsrpc does for a call. If nats.SetCustomDialer is used too, it must come before BatchWrites.
func BatchWrites() nats.Option {
	return func(o *nats.Options) error {
		if o.CustomDialer == nil {
			o.CustomDialer = &net.Dialer{Timeout: o.Timeout}
		}
		o.CustomDialer = batchDialer{o.CustomDialer}
		o.FlusherTimeout = 0 // writeTimeout replaces it
		return nil
	}
}

type batchDialer struct{ nats.CustomDialer }

// Dial connects.
func (d batchDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.CustomDialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return newBatchConn(conn), nil
}

// batchConn is a connection whose Write only buffers; a goroutine sends the buffer. A failed send closes the
// connection, and the next Write returns its error.
type batchConn struct {
	net.Conn
	done chan struct{} // closed when the sending goroutine has ended

	mu      sync.Mutex
	more    sync.Cond // pending is not empty, or closed is set
	room    sync.Cond // pending was taken, or err or closed is set
	pending []byte
	closed  bool
	err     error // why sending ended
}

func newBatchConn(conn net.Conn) *batchConn {
	c := &batchConn{Conn: conn, done: make(chan struct{})}
	c.more.L, c.room.L = &c.mu, &c.mu
	go c.send()
	return c
}

// Write buffers p. It blocks while more than maxPending bytes wait.
func (c *batchConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > maxPending && c.err == nil && !c.closed {
		c.room.Wait()
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case c.closed:
		return 0, net.ErrClosed
	}
	c.pending = append(c.pending, p...)
	c.more.Signal()
	return len(p), nil
}

// Close sends what is pending, within closeTimeout, and closes the connection.
func (c *batchConn) Close() error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		// It fails only on a closed connection, where the send does not block.
		_ = c.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	}
	c.mu.Unlock()
	c.more.Signal()
	c.room.Broadcast()
	<-c.done
	return c.Conn.Close()
}

// send writes what is pending until the connection is closed or fails.
func (c *batchConn) send() {
	defer close(c.done)
	var out []byte
	for c.wait() {
		runtime.Gosched() // goroutines that are ready to run often have something to send
		c.mu.Lock()
		out, c.pending = c.pending, out[:0]
		if !c.closed { // otherwise Close has set the deadline
			_ = c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // ignored for the reason given in Close
		}
		c.mu.Unlock()
		c.room.Broadcast()
		if _, err := c.Conn.Write(out); err != nil {
			c.fail(err)
			return
		}
		if cap(out) > maxKeptBuffer {
			out = nil
		}
	}
}

// wait waits for pending bytes. It returns false if the connection is closed and nothing is pending.
func (c *batchConn) wait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) == 0 && !c.closed {
		c.more.Wait()
	}
	return len(c.pending) > 0
}

// fail ends the connection for writers and readers.
func (c *batchConn) fail(err error) {
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	c.room.Broadcast()
	_ = c.Conn.Close() // the error that matters is err
}
