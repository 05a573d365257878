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

// TLSModes are all of them.
var TLSModes = []string{TLSAuto, TLSRequired, TLSImplicit, TLSNone}

const (
	// keepIdle is how long a connection waits for the next mail; servers hang up after minutes.
	keepIdle = 15 * time.Second
	// keepMails is after how many mails a connection is replaced: some servers take no more.
	keepMails = 100
	// pipelined is how many commands go together to a server that takes that (RFC 2920): all before the content.
	pipelined = 3
	// quitTimeout bounds the goodbye to a server.
	quitTimeout = time.Second
)

// SMTP hands mails to a server. A connection serves one mail after another, and is closed when none comes for a
// while, or when something went wrong with it. It may be used by several goroutines, each of which has a connection.
type SMTP struct {
	// Addr is host:port.
	Addr string
	// TLS is one of TLSModes.
	TLS string
	// Username and Password sign in; empty: without.
	Username, Password string
	// From is the bare address of the sender.
	From string
	// Config is for TLS; nil: the system's certificates.
	Config *tls.Config

	mu     sync.Mutex
	idle   []*session
	closed bool
}

// session is a connection that is ready for a mail.
type session struct {
	client *smtp.Client
	conn   net.Conn
	// atOnce is how many commands are sent before the first is answered, options is what follows the sender.
	atOnce  int
	options string
	mails   int
	expiry  *time.Timer
}

func (x *session) quit() {
	_ = x.conn.SetDeadline(time.Now().Add(quitTimeout)) // a connection that refuses it is broken, and Quit fails
	_ = x.client.Quit()                                 // the server has its mails, whatever it says now
	_ = x.conn.Close()                                  // after Quit it is closed already
}

// Send hands one mail over. When it returns nil the server has it. Its errors are *domain.Failure, and hold
// the server's code but not its words, in which addresses may stand. What a server says to a connection, its
// encryption or a sign-in is about the configuration, and may pass.
func (s *SMTP) Send(ctx context.Context, m domain.Message) error {
	if x := s.take(); x != nil {
		begun, err := s.hand(ctx, x, m)
		if begun || ctx.Err() != nil {
			return err
		}
		// The server hung up since the last mail, and knows nothing of this one.
	}
	x, err := s.open(ctx)
	if err != nil {
		return err
	}
	_, err = s.hand(ctx, x, m)
	return err
}

// Close hangs up. Mails that are sent after it have connections of their own.
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

// take returns the connection that was used last; nil when none is open.
func (s *SMTP) take() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.idle) > 0 {
		x := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		if x.expiry.Stop() {
			return x
		} // else it is being closed
	}
	return nil
}

// keep has the connection wait for the next mail.
func (s *SMTP) keep(x *session) {
	x.mails++
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || x.mails >= keepMails {
		go x.quit()
		return
	}
	x.expiry = time.AfterFunc(keepIdle, func() {
		s.mu.Lock()
		s.idle = slices.DeleteFunc(s.idle, func(other *session) bool { return other == x })
		s.mu.Unlock()
		x.quit()
	})
	s.idle = append(s.idle, x)
}

// open connects, encrypts and signs in.
func (s *SMTP) open(ctx context.Context) (*session, error) {
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, domain.Later("smtp: the server's address cannot be read")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, domain.Later("smtp: the server cannot be reached")
	}
	end, err := bound(ctx, conn)
	if err != nil {
		_ = conn.Close() // it is of no use
		return nil, err
	}
	defer end()
	if s.TLS == TLSImplicit {
		conn = tls.Client(conn, s.config(host))
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		_ = conn.Close() // the same
		return nil, later("greeting", err)
	}
	if err := s.prepare(c, host); err != nil {
		_ = conn.Close() // the same
		return nil, err
	}
	x := &session{client: c, conn: conn, atOnce: 1}
	if offered, _ := c.Extension("PIPELINING"); offered {
		x.atOnce = pipelined
	}
	for _, option := range []struct{ extension, parameter string }{{"8BITMIME", " BODY=8BITMIME"}, {"SMTPUTF8", " SMTPUTF8"}} {
		if offered, _ := c.Extension(option.extension); offered {
			x.options += option.parameter
		}
	}
	return x, nil
}

// bound ends what happens on conn with ctx, until end is called, which reports whether ctx is still alive.
func bound(ctx context.Context, conn net.Conn) (end func() bool, err error) {
	at, _ := ctx.Deadline() // the zero time is none
	if err := conn.SetDeadline(at); err != nil {
		return nil, domain.Later("smtp: the connection broke")
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }), nil // whoever waits gives up now
}

// hand hands one mail over, and keeps the connection if that went well. begun is false when the connection was
// gone before the server answered anything about the mail.
func (s *SMTP) hand(ctx context.Context, x *session, m domain.Message) (begun bool, err error) {
	kept := false
	defer func() {
		if !kept {
			_ = x.conn.Close() // whatever is left of it is of no use
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

// transact is one mail of the conversation. Its content waits for the answers to all commands, pipelined or not: a mail
// that is not begun cannot have been delivered.
func (x *session) transact(from string, m domain.Message) (begun bool, err error) {
	if strings.ContainsAny(from+m.To, "\r\n") {
		return true, domain.Never("smtp: an address has a line break")
	}
	type step struct {
		name, command string
		code          int
	}
	steps := []step{{"sender", "MAIL FROM:<" + from + ">" + x.options, 250}, {"recipient", "RCPT TO:<" + m.To + ">", 25}, {"data", "DATA", 354}}
	text := x.client.Text
	for together := range slices.Chunk(steps, x.atOnce) {
		for _, step := range together {
			_, _ = text.W.WriteString(step.command + "\r\n") // Flush returns its error, too
		}
		if err := text.W.Flush(); err != nil {
			return begun, later(together[0].name, err)
		}
		for _, step := range together {
			if _, _, err := text.ReadResponse(step.code); err != nil {
				var answer *textproto.Error
				return begun || (errors.As(err, &answer) && answer.Code != 421), refused(step.name, err)
			}
			begun = true
		}
	}
	w := text.DotWriter()
	if _, err := w.Write(m.Data); err != nil {
		return true, later("content", err)
	}
	if err := w.Close(); err != nil {
		return true, later("content", err)
	}
	if _, _, err := text.ReadResponse(250); err != nil {
		return true, refused("content", err)
	}
	return true, nil
}

// prepare encrypts the connection and signs in.
func (s *SMTP) prepare(c *smtp.Client, host string) error {
	if err := c.Hello("souk.localhost"); err != nil {
		return later("hello", err)
	}
	if s.TLS == TLSAuto || s.TLS == TLSRequired {
		switch offered, _ := c.Extension("STARTTLS"); {
		case offered:
			if err := c.StartTLS(s.config(host)); err != nil {
				return later("starttls", err)
			}
		case s.TLS == TLSRequired || !loopback(host):
			return domain.Later("smtp: the server does not offer STARTTLS")
		}
	}
	if s.Username == "" {
		return nil
	}
	if err := c.Auth(smtp.PlainAuth("", s.Username, s.Password, host)); err != nil {
		return later("sign-in", err)
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

// refused is a failure at a step that is about this mail: a 5xx is for good.
func refused(step string, err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code >= 500 && answer.Code < 600 && answer.Code != 503 {
		return domain.Never(fmt.Sprintf("smtp: %s refused with %d", step, answer.Code))
	}
	return later(step, err)
}

// later is a failure that may pass.
func later(step string, err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return domain.Later(fmt.Sprintf("smtp: %s failed with %d", step, answer.Code))
	}
	return domain.Later("smtp: " + step + " failed: the connection broke")
}
