package mailsink

import (
	"net"
	"sync"
)

// listener accepts connections whose replies are gathered.
type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// conn holds what is written to it until it is read from again, or closed: the replies to commands that came together
// (RFC 2920) go back together. The SMTP library writes each on its own, which wakes the client for each.
type conn struct {
	net.Conn

	mu   sync.Mutex
	held []byte
}

// Write holds b.
func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, b...)
	return len(b), nil
}

// Read sends what is held, and reads.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Close sends what is held, and hangs up.
func (c *conn) Close() error {
	_ = c.flush() // the client may have gone
	return c.Conn.Close()
}

func (c *conn) flush() error {
	c.mu.Lock()
	held := c.held
	c.held = nil // another write may come while this one is under way
	c.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(held)
	return err
}
