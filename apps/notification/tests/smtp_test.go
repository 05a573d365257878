package tests

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository"
)

// counting is a mail server that counts connections, and can hang up.
type counting struct {
	net.Listener
	wg    sync.WaitGroup
	mu    sync.Mutex
	conns []net.Conn
}

func count(t *testing.T, script map[string]string) *counting {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &counting{Listener: ln}
	c.wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			c.wg.Go(func() {
				defer func() { _ = conn.Close() }()
				talk(conn, script)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		c.hangUp()
		c.wg.Wait()
	})
	return c
}

func (c *counting) accepted() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conns)
}

func (c *counting) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	server := count(t, nil)
	post := &repository.SMTP{Addr: server.Addr().String(), TLS: repository.TLSNone, From: "shop@souk.example"}
	t.Cleanup(post.Close)
	send := func() {
		t.Helper()
		require.NoError(t, post.Send(t.Context(), domain.Message{To: "zoe@example.com", Data: []byte("Subject: hello\r\n\r\nhello\r\n")}))
	}
	for range 5 {
		send()
	}
	require.Equal(t, 1, server.accepted(), "one mail after another")

	server.hangUp()
	send()
	require.Equal(t, 2, server.accepted(), "the server had hung up: the mail goes over another connection")

	var wg sync.WaitGroup
	errors := make([]error, 8)
	for i := range errors {
		wg.Go(func() {
			errors[i] = post.Send(t.Context(), domain.Message{To: fmt.Sprintf("zoe%d@example.com", i), Data: []byte("\r\nhello\r\n")})
		})
	}
	wg.Wait()
	for _, err := range errors {
		require.NoError(t, err)
	}

	post.Close()
	before := server.accepted()
	send()
	send()
	require.Equal(t, before+2, server.accepted(), "nothing is kept any more")
}

func TestRefusalsAreNotTriedTwice(t *testing.T) {
	t.Parallel()
	server := count(t, map[string]string{"RCPT": "550 no"})
	post := &repository.SMTP{Addr: server.Addr().String(), TLS: repository.TLSNone, From: "shop@souk.example"}
	t.Cleanup(post.Close)
	for n := 1; n <= 2; n++ {
		require.Error(t, post.Send(t.Context(), domain.Message{To: "zoe@example.com", Data: []byte("\r\n")}))
		require.Equal(t, n, server.accepted(), "a connection on which a mail was refused is closed")
	}
}
