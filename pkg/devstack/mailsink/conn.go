package mailsink

import (
	"net"
	"sync"
)

// listener accepts connections that batch their replies.
type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// conn holds written bytes until the next Read or Close, so that the replies to pipelined commands (RFC 2920)
// are sent in one packet. The SMTP library writes each reply on its own, which would wake the client for
// each.
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

// Read sends the held bytes, and reads.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.flush(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Close sends the held bytes, and closes the connection.
func (c *conn) Close() error {
	_ = c.flush() // an error means that the client has gone
	return c.Conn.Close()
}

func (c *conn) flush() error {
	c.mu.Lock()
	held := c.held
	c.held = nil // a concurrent Write must not change the bytes being sent
	c.mu.Unlock()
	if len(held) == 0 {
		return nil
	}
	_, err := c.Conn.Write(held)
	return err
}
