package repository

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"souk/apps/notification/internal/domain"
	"souk/pkg/secrets"
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
	// longest bounds a mail whose context has no end.
	longest = time.Minute
)

// SMTP sends mails to a server, with go-mail. A connection serves one mail after another. It is closed when it has been
// idle for a while or when an error occurred on it. SMTP is safe for concurrent use; concurrent mails use separate
// connections.
type SMTP struct {
	// Addr is host:port.
	Addr string
	// TLS is one of TLSModes.
	TLS string
	// Username and Password authenticate; unset: no authentication.
	Username, Password secrets.Value
	// FromName and From are the name and the bare address of the sender.
	FromName, From string
	// Config configures TLS; nil: the system's certificates.
	Config *tls.Config

	mu     sync.Mutex
	idle   []*session
	closed bool
}

// session is a connection that can take a mail.
type session struct {
	client *mail.Client
	smtp   *smtp.Client
	conn   net.Conn
	mails  int
	expiry *time.Timer
}

func (x *session) quit() {
	_ = x.conn.SetDeadline(time.Now().Add(time.Second)) // a connection that refuses it is broken, and QUIT fails
	_ = x.client.CloseWithSMTPClient(x.smtp)            // the server has accepted its mails, whatever it answers now
	_ = x.conn.Close()                                  // QUIT has closed it
}

// Send sends one mail. If it returns nil, the server has accepted the mail.
//
// Errors: *domain.Failure. It holds the server's code but not its text, which may contain addresses. A refusal of the
// connection, its encryption or the authentication is about the configuration, and temporary.
func (s *SMTP) Send(ctx context.Context, m domain.Message) error {
	msg, err := s.message(m)
	if err != nil {
		return domain.Permanent("smtp: the mail cannot be written")
	}
	for x := s.take(); x != nil; x = s.take() {
		begun, err := s.deliver(ctx, x, msg)
		if begun || ctx.Err() != nil {
			return err
		}
		// The server hung up since the last mail and has seen nothing of this one.
	}
	x, err := s.open(ctx)
	if err != nil {
		return err
	}
	_, err = s.deliver(ctx, x, msg)
	return err
}

func (s *SMTP) message(m domain.Message) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent(), mail.WithBoundary("souk-"+m.ID))
	err := errors.Join(msg.FromFormat(s.FromName, s.From), msg.AddToFormat(m.ToName, m.To))
	msg.Subject(m.Subject)
	msg.SetDateWithValue(m.Date)
	msg.SetMessageIDWithValue(m.MessageID)
	for name, value := range m.Headers {
		msg.SetGenHeader(mail.Header(name), value)
	}
	msg.SetBodyString(mail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(mail.TypeTextHTML, m.HTML)
	return msg, err
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
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return nil, domain.Temporary("smtp: the server cannot be reached")
	}
	x := &session{conn: conn}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // pending I/O fails now
	if x.client, err = s.client(conn); err == nil {
		x.smtp, err = x.client.DialToSMTPClientWithContext(ctx)
	}
	if err != nil {
		_ = conn.Close() // it is unusable
		return nil, temporary("connection", err)
	}
	return x, nil
}

// client returns a client that uses a connection.
func (s *SMTP) client(conn net.Conn) (*mail.Client, error) {
	host, number, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.Config != nil {
		cfg = s.Config.Clone()
	}
	cfg.ServerName = host
	dial := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	opts := []mail.Option{
		mail.WithPort(port), mail.WithTimeout(longest), mail.WithHELO("souk.localhost"), mail.WithTLSConfig(cfg),
		mail.WithoutRset(), mail.WithoutNoop(),
	}
	switch {
	case s.TLS == TLSNone:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	case s.TLS == TLSImplicit:
		opts = append(opts, mail.WithSSL())
		dial = func(context.Context, string, string) (net.Conn, error) { return tls.Client(conn, cfg), nil }
	case s.TLS == TLSAuto && loopback(host):
		opts = append(opts, mail.WithTLSPolicy(mail.TLSOpportunistic))
	default:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.Username.IsSet() {
		now := secrets.Read(s.Username, s.Password)
		opts = append(opts, mail.WithSMTPAuth(mail.SMTPAuthPlain), mail.WithUsername(now[0]), mail.WithPassword(now[1]))
	}
	return mail.NewClient(host, append(opts, mail.WithDialContextFunc(dial))...)
}

// deliver sends one mail, and keeps the connection if that succeeds. begun is false if the connection was gone before
// the mail began.
func (s *SMTP) deliver(ctx context.Context, x *session, m *mail.Msg) (begun bool, err error) {
	end := context.AfterFunc(ctx, func() { _ = x.conn.Close() }) // pending I/O fails now
	err = x.client.SendWithSMTPClient(x.smtp, m)
	if end() && err == nil {
		s.keep(x)
		return true, nil
	}
	_ = x.conn.Close() // its state is undefined
	if err == nil || m.IsDelivered() {
		return true, nil
	}
	var failed *mail.SendError
	if !errors.As(err, &failed) {
		return true, temporary("mail", err)
	}
	switch failed.Reason {
	case mail.ErrConnCheck:
		return false, temporary("connection", err)
	case mail.ErrSMTPMailFrom: // without an answer, the server has hung up before the mail began
		return failed.ErrorCode() > 0, refused("sender", failed.ErrorCode())
	case mail.ErrSMTPRcptTo:
		if unknown(failed.ErrorCode(), failed.Error()) {
			return true, domain.Bounced(fmt.Sprintf("smtp: recipient refused with %d", failed.ErrorCode()))
		}
		return true, refused("recipient", failed.ErrorCode())
	case mail.ErrSMTPData:
		return true, refused("data", failed.ErrorCode())
	}
	return true, refused("content", failed.ErrorCode())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// refused returns the failure of a step that concerns this mail: a 5xx is permanent, unless it is about the order of
// commands.
func refused(step string, code int) error {
	switch {
	case code >= 500 && code < 600 && code != 503:
		return domain.Permanent(fmt.Sprintf("smtp: %s refused with %d", step, code))
	case code > 0:
		return domain.Temporary(fmt.Sprintf("smtp: %s failed with %d", step, code))
	}
	return domain.Temporary("smtp: " + step + " failed: the connection broke")
}

// noMailbox are the enhanced codes (RFC 3463) of mailboxes that do not exist or are disabled, and not those of mails
// that are refused for what they are or who sends them.
var noMailbox = []string{"5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1"}

// unknown reports whether a recipient was refused because there is no such mailbox. Only an enhanced code says so: a
// 550 alone may be about the sender or the server's rules, and concern all recipients.
func unknown(code int, answer string) bool {
	return code >= 500 && slices.ContainsFunc(noMailbox, func(enhanced string) bool {
		return strings.Contains(answer, `"`+enhanced+" ") // go-mail quotes the text of the answer
	})
}

// temporary returns a failure that is retried.
func temporary(step string, err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return domain.Temporary(fmt.Sprintf("smtp: %s failed with %d", step, answer.Code))
	}
	return domain.Temporary("smtp: " + step + " failed")
}
