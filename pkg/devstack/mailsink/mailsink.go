// Package mailsink is an SMTP server that delivers no mail. It keeps the last messages in memory for a
// developer or a test to read, and parses them when they are read.
package mailsink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"souk/pkg/clock"
	"souk/pkg/id"
)

// Options configure the sink. The zero value is usable.
type Options struct {
	// Host is the address to listen on. Empty means 127.0.0.1.
	Host string
	// Port is the port. Zero picks a free one.
	Port int
	// Keep is how many messages are kept. The oldest are dropped first. Zero means 1,000.
	Keep int
	// MaxBytes is the largest message. Zero means 10 MiB.
	MaxBytes int64
	// Clock gives the time at which a message is received. Nil means the system's clock.
	Clock clock.Clock
}

// Message is a received mail, decoded.
type Message struct {
	// ID identifies the message in this sink.
	ID string `json:"id"`
	// From is the envelope's sender. If that is empty, it is the header's.
	From string `json:"from"`
	// To are the envelope's recipients.
	To []string `json:"to"`
	// Subject is the decoded subject.
	Subject string `json:"subject"`
	// Text is the plain text part in UTF-8. It is empty if the message has none.
	Text string `json:"text"`
	// HTML is the HTML part in UTF-8. It is empty if the message has none.
	HTML string `json:"html"`
	// Date is the date in the header. It is zero if the header has no valid date.
	Date time.Time `json:"date,omitzero"`
	// ReceivedAt is when the sink received the message.
	ReceivedAt time.Time `json:"receivedAt"`
	// MessageID is the Message-ID of the header, without angle brackets.
	MessageID string `json:"messageId"`
	// Headers are all headers, decoded, by canonical name.
	Headers map[string][]string `json:"headers"`
}

// Sink is a running mail sink.
type Sink struct {
	o      Options
	smtp   *smtp.Server
	listen net.Listener
	addr   *net.TCPAddr
	served chan struct{}

	stopOnce sync.Once
	stopErr  error

	mu       sync.Mutex
	messages []received // oldest first
	arrived  chan struct{}
}

// Start starts the sink. Mail can be sent as soon as it returns.
func Start(ctx context.Context, o Options) (*Sink, error) {
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Keep <= 0 {
		o.Keep = 1000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 10 << 20
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(o.Host, strconv.Itoa(o.Port)))
	if err != nil {
		return nil, fmt.Errorf("mail sink: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil, errors.Join(errors.New("mail sink: not a TCP address"), l.Close())
	}
	s := &Sink{o: o, listen: l, addr: addr, served: make(chan struct{}), arrived: make(chan struct{})}
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{sink: s}, nil }))
	s.smtp.Domain = "localhost"
	s.smtp.MaxMessageBytes = o.MaxBytes
	s.smtp.MaxRecipients = 100
	s.smtp.ReadTimeout, s.smtp.WriteTimeout = time.Minute, time.Minute
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.ErrorLog = silent{}
	go func() {
		defer close(s.served)
		_ = s.smtp.Serve(listener{l}) // returns an error because of Stop
	}()
	return s, nil
}

// silent drops the library's log, since a client that hangs up is not worth a line.
type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// Addr returns the address to send mail to, as host:port. It has no TLS and no authentication.
func (s *Sink) Addr() string { return s.addr.String() }

// Stop ends the sink once it has received the mails in flight. If ctx ends first, it cuts them off. It may be
// called twice.
func (s *Sink) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() {
		_ = s.listen.Close() // Shutdown closes it only if Serve has begun; an error means it is closed already
		if err := s.smtp.Shutdown(ctx); err != nil && !errors.Is(err, net.ErrClosed) {
			s.stopErr = s.smtp.Close()
		}
		<-s.served
	})
	if s.stopErr != nil && !errors.Is(s.stopErr, smtp.ErrServerClosed) {
		return fmt.Errorf("mail sink: %w", s.stopErr)
	}
	return nil
}

// Messages returns the kept messages, newest first.
func (s *Sink) Messages() []Message {
	return parsed(s.kept(""))
}

// Wait returns the newest message to the address. It waits for one until ctx ends.
func (s *Sink) Wait(ctx context.Context, to string) (Message, error) {
	for {
		s.mu.Lock()
		arrived := s.arrived
		s.mu.Unlock()
		if found := s.kept(to); len(found) > 0 {
			return found[0].parse(), nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return Message{}, fmt.Errorf("mail sink: no message to %s: %w", to, ctx.Err())
		}
	}
}

// kept returns the kept messages to the address, newest first. An empty address means all.
func (s *Sink) kept(to string) []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []received
	for _, r := range slices.Backward(s.messages) {
		if to == "" || slices.ContainsFunc(r.to, func(rcpt string) bool { return strings.EqualFold(rcpt, to) }) {
			found = append(found, r)
		}
	}
	return found
}

func (s *Sink) add(r received) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.messages) >= s.o.Keep {
		s.messages[0] = received{} // frees it now: append drops the slot only when it reallocates
		s.messages = s.messages[1:]
	}
	s.messages = append(s.messages, r)
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// ServeHTTP answers GET with {"messages": […]}, newest first. The query parameter to selects the messages to one
// address. DELETE deletes all messages.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		messages := parsed(s.kept(r.URL.Query().Get("to")))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(map[string]any{"messages": messages}) // an error means that the client has gone
	case http.MethodDelete:
		s.mu.Lock()
		s.messages = nil
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, HEAD, DELETE")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	}
}

// received is a message before parsing.
type received struct {
	id   string
	at   time.Time
	from string
	to   []string
	raw  []byte
}

func (r received) parse() Message {
	m := parse(r.raw)
	m.ID, m.ReceivedAt, m.To = r.id, r.at, r.to
	if r.from != "" {
		m.From = r.from
	}
	return m
}

func parsed(rs []received) []Message {
	messages := make([]Message, len(rs))
	for i, r := range rs {
		messages[i] = r.parse()
	}
	return messages
}

// usualSize is a buffer size, in bytes, that most messages fit into.
const usualSize = 4 << 10

// session is one SMTP conversation.
type session struct {
	sink *Sink
	from string
	to   []string
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.from = from; return nil }
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error   { s.to = append(s.to, to); return nil }
func (s *session) Reset()                                      { s.from, s.to = "", nil }
func (s *session) Logout() error                               { return nil }

func (s *session) Data(r io.Reader) error {
	raw := bytes.NewBuffer(make([]byte, 0, usualSize))
	if _, err := raw.ReadFrom(r); err != nil {
		return err
	}
	// The clone is as small as the message, which matters since the sink keeps many.
	s.sink.add(
		received{
			id:   id.New("msg"),
			at:   s.sink.o.Clock.Now(),
			from: s.from,
			to:   slices.Clone(s.to),
			raw:  bytes.Clone(raw.Bytes()),
		},
	)
	return nil
}
