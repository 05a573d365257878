package repository

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
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

// SMTP hands mails to a server, each over a connection of its own.
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
}

// Send hands one mail over. When it returns nil the server has it. Its errors are *domain.Failure, and hold
// the server's code but not its words, in which addresses may stand. What a server says to a connection, its
// encryption or a sign-in is about the configuration, and may pass.
func (s *SMTP) Send(ctx context.Context, m domain.Message) error {
	host, _, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return domain.Later("smtp: the server's address cannot be read")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return domain.Later("smtp: the server cannot be reached")
	}
	defer func() { _ = conn.Close() }() // after Quit it is closed already
	if end, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(end); err != nil {
			return domain.Later("smtp: the connection broke")
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })() // whoever waits gives up now
	if s.TLS == TLSImplicit {
		conn = tls.Client(conn, s.config(host))
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return later("greeting", err)
	}
	if err := s.prepare(c, host); err != nil {
		return err
	}
	if err := c.Mail(s.From); err != nil {
		return refused("sender", err)
	}
	if err := c.Rcpt(m.To); err != nil {
		return refused("recipient", err)
	}
	w, err := c.Data()
	if err != nil {
		return refused("data", err)
	}
	if _, err := w.Write(m.Data); err != nil {
		return later("content", err)
	}
	if err := w.Close(); err != nil {
		return refused("content", err)
	}
	_ = c.Quit() // the server has the mail, whatever comes now
	return nil
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
