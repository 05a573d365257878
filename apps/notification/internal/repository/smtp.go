package repository

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"souk/apps/notification/internal/domain"
)

// The ways to encrypt a connection to a mail server.
const (
	TLSAuto     = "auto"
	TLSRequired = "starttls"
	TLSImplicit = "tls"
	TLSNone     = "none"
)

// TLSModes lists all modes.
var TLSModes = []string{TLSAuto, TLSRequired, TLSImplicit, TLSNone}

const (
	// idleTimeout is how long a connection waits for the next mail; servers hang up after minutes.
	idleTimeout = 15 * time.Second
	// maxMails is the number of mails after which a connection is replaced: some servers accept no more.
	maxMails = 100
	// pipelineDepth is the number of commands sent at once to a server that allows it (RFC 2920): all before
	// the content.
	pipelineDepth = 3
	// quitTimeout bounds the QUIT command.
	quitTimeout = time.Second
)

// SMTP sends mails to a server. A connection serves one mail after another. It is closed when it has been
// idle for a while or when an error occurred on it. SMTP is safe for concurrent use; concurrent mails use
// separate connections.
type SMTP struct {
	// Addr is host:port.
	Addr string
	// TLS is one of TLSModes.
	TLS string
	// Username and Password authenticate; empty: no authentication.
	Username, Password string
	// From is the bare address of the sender.
	From string
	// Config configures TLS; nil: the system's certificates.
	Config *tls.Config

	mu     sync.Mutex
	idle   []*session
	closed bool
}

// session is a connection that can take a mail.
type session struct {
	client *smtp.Client
	conn   net.Conn
	// depth is the number of commands sent before the first answer; options follow the sender.
	depth   int
	options string
	mails   int
	expiry  *time.Timer
}

func (x *session) quit() {
	_ = x.conn.SetDeadline(time.Now().Add(quitTimeout)) // a connection that refuses it is broken, and Quit fails
	_ = x.client.Quit()                                 // the server has accepted its mails, whatever it answers now
	_ = x.conn.Close()                                  // Quit has closed it
}

// Send sends one mail. If it returns nil, the server has accepted the mail.
//
// Errors: *domain.Failure. It holds the server's code but not its text, which may contain addresses. A refusal of the
// connection, its encryption or the authentication is about the configuration, and temporary.
func (s *SMTP) Send(ctx context.Context, m domain.Message) error {
	if x := s.take(); x != nil {
		begun, err := s.deliver(ctx, x, m)
		if begun || ctx.Err() != nil {
			return err
		}
		// The server hung up since the last mail and has seen nothing of this one.
	}
	x, err := s.open(ctx)
	if err != nil {
		return err
	}
	_, err = s.deliver(ctx, x, m)
	return err
}

// Close closes idle connections. From then on each mail gets a connection of its own.
func (s *SMTP) Close() {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, x := range idle {
		if x.expiry.Stop() {
			x.quit()
		}
	}
}

// take returns the connection that was used last, nil if none is open.
func (s *SMTP) take() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.idle) > 0 {
		x := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		if x.expiry.Stop() {
			return x
		} // else its timer is closing it
	}
	return nil
}

// keep keeps the connection for the next mail.
func (s *SMTP) keep(x *session) {
	x.mails++
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || x.mails >= maxMails {
		go x.quit()
		return
	}
	x.expiry = time.AfterFunc(idleTimeout, func() {
		s.mu.Lock()
		s.idle = slices.DeleteFunc(s.idle, func(other *session) bool { return other == x })
		s.mu.Unlock()
		x.quit()
	})
	s.idle = append(s.idle, x)
}

// open connects, encrypts and authenticates.
func (s *SMTP) open(ctx context.Context) (*session, error) {
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, domain.Temporary("smtp: the server's address cannot be read")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, domain.Temporary("smtp: the server cannot be reached")
	}
	end, err := bound(ctx, conn)
	if err != nil {
		_ = conn.Close() // it is unusable
		return nil, err
	}
	defer end()
	if s.TLS == TLSImplicit {
		conn = tls.Client(conn, s.config(host))
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		_ = conn.Close() // the same
		return nil, temporary("greeting", err)
	}
	if err := s.prepare(c, host); err != nil {
		_ = conn.Close() // the same
		return nil, err
	}
	x := &session{client: c, conn: conn, depth: 1}
	if offered, _ := c.Extension("PIPELINING"); offered {
		x.depth = pipelineDepth
	}
	for _, option := range []struct{ extension, parameter string }{
		{"8BITMIME", " BODY=8BITMIME"}, {"SMTPUTF8", " SMTPUTF8"},
	} {
		if offered, _ := c.Extension(option.extension); offered {
			x.options += option.parameter
		}
	}
	return x, nil
}

// bound limits I/O on conn to ctx, until end is called. end reports whether ctx has not ended.
func bound(ctx context.Context, conn net.Conn) (end func() bool, err error) {
	at, _ := ctx.Deadline() // the zero time means no deadline
	if err := conn.SetDeadline(at); err != nil {
		return nil, domain.Temporary("smtp: the connection broke")
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }), nil // pending I/O fails now
}

// deliver sends one mail, and keeps the connection if that succeeds. begun is false if the connection was
// gone before the server answered anything about the mail.
func (s *SMTP) deliver(ctx context.Context, x *session, m domain.Message) (begun bool, err error) {
	kept := false
	defer func() {
		if !kept {
			_ = x.conn.Close() // its state is undefined
		}
	}()
	end, err := bound(ctx, x.conn)
	if err != nil {
		return false, err
	}
	defer func() {
		if kept = end() && err == nil; kept {
			s.keep(x)
		}
	}()
	return x.transact(s.From, m)
}

// transact runs one mail transaction. The content waits for the answers to all commands, pipelined or not: a
// mail that is not begun cannot have been delivered.
func (x *session) transact(from string, m domain.Message) (begun bool, err error) {
	if strings.ContainsAny(from+m.To, "\r\n") {
		return true, domain.Permanent("smtp: an address has a line break")
	}
	type step struct {
		name, command string
		code          int
	}
	steps := []step{
		{"sender", "MAIL FROM:<" + from + ">" + x.options, 250},
		{"recipient", "RCPT TO:<" + m.To + ">", 25},
		{"data", "DATA", 354},
	}
	text := x.client.Text
	for commands := range slices.Chunk(steps, x.depth) {
		for _, step := range commands {
			_, _ = text.W.WriteString(step.command + "\r\n") // Flush returns the error
		}
		if err := text.W.Flush(); err != nil {
			return begun, temporary(commands[0].name, err)
		}
		for _, step := range commands {
			if _, _, err := text.ReadResponse(step.code); err != nil {
				var answer *textproto.Error
				return begun || (errors.As(err, &answer) && answer.Code != 421), refused(step.name, err)
			}
			begun = true
		}
	}
	w := text.DotWriter()
	if _, err := w.Write(m.Data); err != nil {
		return true, temporary("content", err)
	}
	if err := w.Close(); err != nil {
		return true, temporary("content", err)
	}
	if _, _, err := text.ReadResponse(250); err != nil {
		return true, refused("content", err)
	}
	return true, nil
}

// prepare encrypts the connection and authenticates.
func (s *SMTP) prepare(c *smtp.Client, host string) error {
	if err := c.Hello("souk.localhost"); err != nil {
		return temporary("hello", err)
	}
	if s.TLS == TLSAuto || s.TLS == TLSRequired {
		switch offered, _ := c.Extension("STARTTLS"); {
		case offered:
			if err := c.StartTLS(s.config(host)); err != nil {
				return temporary("starttls", err)
			}
		case s.TLS == TLSRequired || !loopback(host):
			return domain.Temporary("smtp: the server does not offer STARTTLS")
		}
	}
	if s.Username == "" {
		return nil
	}
	if err := c.Auth(smtp.PlainAuth("", s.Username, s.Password, host)); err != nil {
		return temporary("sign-in", err)
	}
	return nil
}

func (s *SMTP) config(host string) *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.Config != nil {
		cfg = s.Config.Clone()
	}
	cfg.ServerName = host
	return cfg
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// refused returns the failure of a step that concerns this mail: a 5xx is permanent.
func refused(step string, err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code >= 500 && answer.Code < 600 && answer.Code != 503 {
		return domain.Permanent(fmt.Sprintf("smtp: %s refused with %d", step, answer.Code))
	}
	return temporary(step, err)
}

// temporary returns a failure that is retried.
func temporary(step string, err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return domain.Temporary(fmt.Sprintf("smtp: %s failed with %d", step, answer.Code))
	}
	return domain.Temporary("smtp: " + step + " failed: the connection broke")
}
