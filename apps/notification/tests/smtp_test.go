package tests

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository"
)

// counting is a mail server that counts its connections, answers by a script and can hang up.
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

// talk answers by a script, from command to answer. An empty answer closes the connection.
func talk(conn net.Conn, script map[string]string) {
	say := func(step, otherwise string) bool {
		answer, ok := script[step]
		if !ok {
			answer = otherwise
		}
		if answer == "" {
			return false
		}
		_, err := fmt.Fprintf(conn, "%s\r\n", answer)
		return err == nil
	}
	if !say("greeting", "220 hello") {
		return
	}
	r := bufio.NewScanner(conn)
	data := false
	for r.Scan() {
		line := r.Text()
		if data {
			if line == "." {
				data = false
				if !say("content", "250 taken") {
					return
				}
			}
			continue
		}
		verb, _, _ := strings.Cut(line, " ")
		otherwise := "250 ok"
		if verb == "DATA" {
			otherwise = "354 go on"
			data = script["DATA"] == ""
		}
		if !say(verb, otherwise) || verb == "QUIT" {
			return
		}
	}
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

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	server := count(t, nil)
	post := &repository.SMTP{Addr: server.Addr().String(), TLS: repository.TLSNone, From: "shop@souk.example"}
	t.Cleanup(post.Close)
	send := func() {
		t.Helper()
		require.NoError(
			t,
			post.Send(t.Context(),
				message("zoe@example.com")),
		)
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
			errors[i] = post.Send(t.Context(),
				message(fmt.Sprintf("zoe%d@example.com", i)))
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
	require.Equal(t, before+2, server.accepted(), "no connection is kept after Close")
}

func TestRefusedMailIsNotSentAgain(t *testing.T) {
	t.Parallel()
	server := count(t, map[string]string{"RCPT": "550 no"})
	post := &repository.SMTP{Addr: server.Addr().String(), TLS: repository.TLSNone, From: "shop@souk.example"}
	t.Cleanup(post.Close)
	for n := 1; n <= 2; n++ {
		require.Error(t, post.Send(t.Context(), message("zoe@example.com")))
		require.Equal(t, n, server.accepted(), "a connection on which a mail was refused is closed")
	}
}

// TestFirstRefusalCounts: no content follows.
func TestFirstRefusalCounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script    map[string]string
		reason    string
		permanent bool
	}{
		"sender": {
			map[string]string{"MAIL": "550 no", "RCPT": "503 no sender", "DATA": "503 no sender"},
			"smtp: sender refused with 550", true,
		},
		"recipient": {
			map[string]string{"RCPT": "550 no", "DATA": "554 no recipients"}, "smtp: recipient refused with 550",
			true,
		},
		"recipient, not data": {map[string]string{"RCPT": "550 no"}, "smtp: recipient refused with 550", true},
		"recipient, for now": {
			map[string]string{"RCPT": "451 later", "DATA": "554 no recipients"}, "smtp: recipient failed with 451",
			false,
		},
		"data":       {map[string]string{"DATA": "554 no"}, "smtp: data refused with 554", true},
		"breaks off": {map[string]string{"RCPT": ""}, "smtp: recipient failed: the connection broke", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := count(t, c.script)
			post := &repository.SMTP{Addr: server.Addr().String(), TLS: repository.TLSNone, From: "shop@souk.example"}
			t.Cleanup(post.Close)
			for n := 1; n <= 2; n++ {
				err := post.Send(t.Context(), message("zoe@example.com"))
				require.Equal(t, domain.Failure{Reason: c.reason, Permanent: c.permanent}, domain.FailureOf(err, ""))
				require.Equal(t, n, server.accepted(), "each mail gets one connection and no second attempt")
			}
		})
	}
}

func TestAddressWithLineBreakIsRefused(t *testing.T) {
	t.Parallel()
	server := count(t, nil)
	post := &repository.SMTP{Addr: server.Addr().String(), TLS: repository.TLSNone, From: "shop@souk.example"}
	t.Cleanup(post.Close)
	err := post.Send(t.Context(),
		message("zoe@example.com>\r\nRCPT TO:<everybody@example.com"))
	require.Equal(t, domain.Failure{Reason: "smtp: the mail cannot be written", Permanent: true},
		domain.FailureOf(err, ""))
}

// message is a mail to an address.
func message(to string) domain.Message {
	return domain.Message{
		ID:        "dlv_1",
		To:        to,
		Subject:   "Hello",
		Text:      ".\nhello\n",
		HTML:      "<p>hello",
		MessageID: "1@souk",
	}
}

// mailbox keeps the mails that it gets.
type mailbox struct {
	mu  sync.Mutex
	got []string
}

// Mail accepts all senders.
func (b *mailbox) Mail(string, *smtp.MailOptions) error { return nil }

// Rcpt accepts all recipients.
func (b *mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data keeps the content.
func (b *mailbox) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, string(content))
	return err
}

// Reset does nothing.
func (b *mailbox) Reset() {}

// Logout does nothing.
func (b *mailbox) Logout() error { return nil }

// TestMailsAreSentEncrypted uses the server's capabilities from after the connection is encrypted.
func TestMailsAreSentEncrypted(t *testing.T) {
	t.Parallel()
	https := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate, which is valid for this machine
	t.Cleanup(https.Close)
	trusted := x509.NewCertPool()
	trusted.AddCert(https.Certificate())
	for _, mode := range []string{repository.TLSAuto, repository.TLSRequired, repository.TLSImplicit} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			box := &mailbox{}
			server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return box, nil }))
			server.TLSConfig = &tls.Config{Certificates: https.TLS.Certificates, MinVersion: tls.VersionTLS12}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			post := &repository.SMTP{
				Addr:   ln.Addr().String(),
				TLS:    mode,
				From:   "shop@souk.example",
				Config: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12},
			}
			if mode == repository.TLSImplicit {
				ln = tls.NewListener(ln, server.TLSConfig)
			}
			var wg sync.WaitGroup
			wg.Go(func() { _ = server.Serve(ln) })
			for range 2 {
				require.NoError(t, post.Send(t.Context(), message("zoe@example.com")))
			}
			post.Close()
			require.NoError(t, server.Shutdown(t.Context()))
			wg.Wait()
			require.Len(t, box.got, 2)
			for _, got := range box.got {
				require.Contains(t, got, "\r\n\r\n.\r\nhello\r\n")
			}
		})
	}
}
