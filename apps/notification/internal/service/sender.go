// Package service sends the mails that are due.
package service

import (
	"context"
	"errors"
	"math"
	"net/mail"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/cohort"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/id"
	"souk/pkg/logging"
	"souk/pkg/metric"
	"souk/pkg/retry"
)

// SubjectSent is the event that the service tells.
const SubjectSent = "evt.notification.sent"

// FailAfterSend is where tests stop the process: the server has the mail, nobody wrote it down.
const FailAfterSend = "notification.after_send"

const (
	// lease is how long a claimed mail belongs to its process; a try must end before.
	lease = time.Minute
	// ahead is how many mails are claimed for each that can be sent at once. The more are claimed and asked for together, the
	// less each costs; they are written while others are being sent.
	ahead = 4
	// idlePoll is how often it is looked for what nobody woke us for: retries, and mails of a process that died.
	idlePoll = time.Second
	// gather is the least time from one look to the next: mails that are due at the same time are claimed together, and
	// their orders are asked for together. Where more are due than may be claimed at once, the next look is when three quarters
	// of those are done.
	gather = 45 * time.Millisecond
	// noteTimeout bounds one attempt to write down what became of a mail.
	noteTimeout = 10 * time.Second
	// lastNotes is how long that is tried once the process is to stop.
	lastNotes = 10 * time.Second
)

// Mails keeps mails.
type Mails interface {
	Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error)
	Sent(ctx context.Context, m domain.Mail, at time.Time, told event.Event) error
	Failed(ctx context.Context, m domain.Mail, reason string) error
	// Again keeps the reason of the try before when there is no new one.
	Again(ctx context.Context, m domain.Mail, reason string, at time.Time) error
}

// Orders is what notification needs of the order service.
type Orders interface {
	GetOrderForNotice(ctx context.Context, r *orderv1.GetOrderForNoticeRequest, opts ...grpc.CallOption) (*orderv1.GetOrderForNoticeResponse, error)
}

// Users is what notification needs of the user service.
type Users interface {
	BatchGetUsers(ctx context.Context, r *userv1.BatchGetUsersRequest, opts ...grpc.CallOption) (*userv1.BatchGetUsersResponse, error)
}

// Post takes mails to their recipients. Its errors are *domain.Failure.
type Post interface {
	Send(ctx context.Context, m domain.Message) error
}

// Deps are what a Sender needs. All are required but Tracer and Metrics.
type Deps struct {
	Mails    Mails
	Orders   Orders
	Users    Users
	Post     Post
	Renderer *Renderer
	Clock    clock.Clock
	Logger   *zap.Logger
	Tracer   trace.Tracer
	Metrics  prometheus.Registerer
	// Timeout bounds one try, without its wait for its turn; it must be shorter than a minute.
	Timeout time.Duration
	// Concurrency is how many are sent at once.
	Concurrency int
	// GiveUp is how long a mail is tried.
	GiveUp time.Duration
}

// Sender sends the mails that are due, again and again.
type Sender struct {
	Deps
	wake   chan struct{}
	turns  chan struct{} // as many as are sent at once
	sent   *prometheus.CounterVec
	failed prometheus.Counter
}

// New returns a Sender that is to be run with Run.
func New(d Deps) (*Sender, error) {
	s := &Sender{Deps: d, wake: make(chan struct{}, 1), turns: make(chan struct{}, d.Concurrency)}
	var err error
	if s.sent, err = metric.Register(d.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mail_sent_total", Help: "Mails that a server took, by kind."}, []string{"kind"})); err != nil {
		return nil, err
	}
	s.failed, err = metric.Register(d.Metrics, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "mail_failed_total", Help: "Mails that were given up."}))
	return s, err
}

// Wake says that there is a mail to send: its transaction is committed.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Ready returns nil: mails wait until it runs.
func (s *Sender) Ready(context.Context) error { return nil }

// Run sends until ctx ends, and finishes what it has begun.
func (s *Sender) Run(ctx context.Context) error {
	slots, freed := make(chan struct{}, ahead*s.Concurrency), make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	more, failing := false, false // more: there may be mails that no slot was free for
	resting, full := false, false // until gather is over, or, after a look that found as many as it might, most of them are sent
	most := 0                     // how many slots are taken then: those of a quarter of them, and of whoever takes longer
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
			more = true
		case <-freed:
			if !more {
				continue
			}
			if full && len(slots) <= most {
				resting = false
			}
		case <-timer.C:
			if resting && !more {
				resting = false
				timer.Reset(idlePoll)
				continue
			}
			resting, more = false, true
		}
		if resting {
			continue
		}
		free := cap(slots) - len(slots)
		if free == 0 {
			timer.Reset(idlePoll)
			continue
		}
		now := s.Clock.Now()
		until := now.Add(lease)
		got, err := s.Mails.Claim(ctx, now, until, free)
		if err != nil && ctx.Err() == nil && !failing {
			s.Logger.Warn("mails that are due cannot be read", zap.Error(err))
		}
		full, most = len(got) == free, cap(slots)-free+free/4
		failing, more = err != nil, full
		together := cohort.Of(len(got))
		for i, m := range got {
			slots <- struct{}{}
			wg.Go(func() {
				s.try(cohort.With(ctx, together[i]), m, until)
				together[i].Leave()
				<-slots
				select {
				case freed <- struct{}{}:
				default:
				}
			})
		}
		resting = true
		timer.Reset(gather)
	}
}

// try sends one mail and notes what became of it; it is ours until the time, which is from before it was claimed.
func (s *Sender) try(running context.Context, m domain.Mail, until time.Time) {
	// What became of it is written down also when the time for sending is over, as long as the mail is ours.
	noteCtx, cancelNote := context.WithTimeout(context.WithoutCancel(running), until.Sub(s.Clock.Now()))
	defer cancelNote()
	noteCtx = event.Event{Metadata: map[string]string{"traceparent": m.Traceparent}}.Context(noteCtx)
	if s.Tracer != nil {
		var span trace.Span
		noteCtx, span = s.Tracer.Start(noteCtx, "send "+string(m.Kind))
		defer span.End()
	}
	err := s.send(noteCtx, running.Done(), m, until)
	defer context.AfterFunc(running, func() { time.AfterFunc(lastNotes, cancelNote) })()
	if err == nil {
		if err = s.noteSent(noteCtx, m); err != nil {
			s.log(noteCtx, m).Error("a mail was sent, but that could not be written down; it may be sent again", zap.Error(err))
		}
		return
	}
	log := s.log(noteCtx, m)
	if errors.Is(err, errNoTurn) {
		if err = s.Mails.Again(noteCtx, m, "", s.Clock.Now()); err != nil {
			log.Warn("a mail that was not begun could not be given back; it is due again in a minute", zap.Error(err))
		}
		return
	}
	f := domain.FailureOf(err, "it is not known what the mail should say: "+string(errs.CodeOf(err)))
	now := s.Clock.Now()
	if f.Permanent || now.Sub(m.CreatedAt) >= s.GiveUp {
		s.failed.Inc()
		log.Error("a mail was given up", zap.String("reason", f.Reason), zap.Int32("attempts", m.Attempts))
		err = note(noteCtx, func(ctx context.Context) error { return s.Mails.Failed(ctx, m, f.Reason) })
	} else {
		log.Warn("a mail was not sent; it is tried again", zap.String("reason", f.Reason), zap.Int32("attempts", m.Attempts))
		err = note(noteCtx, func(ctx context.Context) error {
			return s.Mails.Again(ctx, m, f.Reason, now.Add(domain.Pause(m.Attempts)))
		})
	}
	if err != nil {
		log.Warn("what became of a mail could not be written down", zap.Error(err))
	}
}

func (s *Sender) log(ctx context.Context, m domain.Mail) *zap.Logger {
	return logging.With(ctx, s.Logger).With(zap.String("mail_id", m.ID), zap.String("kind", string(m.Kind)), zap.String("order_id", m.OrderID))
}

func (s *Sender) noteSent(ctx context.Context, m domain.Mail) error {
	if err := failpoint.Hit(ctx, FailAfterSend); err != nil {
		return err
	}
	now := s.Clock.Now()
	told, err := event.New(ctx, SubjectSent, m.ID, 1, now, &notificationv1.NotificationSent{
		NotificationId: m.ID, Kind: string(m.Kind), OrderId: m.OrderID,
	})
	if err != nil {
		return err
	}
	s.sent.WithLabelValues(string(m.Kind)).Inc()
	return note(ctx, func(ctx context.Context) error { return s.Mails.Sent(ctx, m, now, told) })
}

// note writes down what became of a mail, which may be done twice, until ctx ends: a database that is away for a
// moment is no reason to send a mail again.
func note(ctx context.Context, write func(context.Context) error) error {
	again := retry.Policy{Attempts: math.MaxInt, Base: 50 * time.Millisecond, Max: time.Second}
	away := func(err error) bool { return errs.Is(err, errs.Unavailable) || errs.Is(err, errs.Timeout) }
	return retry.Do(ctx, again, away, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, noteTimeout)
		defer cancel()
		return write(ctx)
	})
}

// errNoTurn is that a mail was not begun, for others were being sent all the time: no try, and nothing against it.
var errNoTurn = errors.New("others were being sent")

// send writes a mail and, when its turn has come, hands it over. That takes no longer than Timeout, without the wait for the
// turn, which ends with stop, or early enough for the rest and for writing down what became of it: the mail is ours until the
// time. A process that dies leaves no more mails that were sent and not noted than it had claimed.
func (s *Sender) send(ctx context.Context, stop <-chan struct{}, m domain.Mail, until time.Time) error {
	began := s.Clock.Now()
	msg, err := s.write(ctx, m)
	if err != nil {
		return err
	}
	left := s.Timeout - s.Clock.Now().Sub(began)
	wait, cancel := context.WithTimeout(ctx, until.Sub(s.Clock.Now())-left-noteTimeout)
	defer cancel()
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-wait.Done():
		return errNoTurn
	case <-stop:
		return errNoTurn
	}
	ctx, cancelPost := context.WithTimeout(ctx, left)
	defer cancelPost()
	return s.Post.Send(ctx, msg)
}

// write asks for all that the mail is to say, which takes no longer than Timeout.
func (s *Sender) write(ctx context.Context, m domain.Mail) (domain.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	res, err := s.Orders.GetOrderForNotice(ctx, &orderv1.GetOrderForNoticeRequest{Id: m.OrderID})
	if errs.Is(err, errs.NotFound) {
		return domain.Message{}, domain.Never("there is no such order")
	}
	if err != nil {
		return domain.Message{}, err
	}
	to, err := s.recipient(ctx, res)
	if err != nil {
		return domain.Message{}, err
	}
	msg, err := s.Renderer.Render(m, res.GetOrder(), to, s.Clock.Now())
	if err != nil {
		return domain.Message{}, domain.Never("it cannot be written")
	}
	return msg, nil
}

// recipient is the address given at checkout, else the user's.
func (s *Sender) recipient(ctx context.Context, o *orderv1.GetOrderForNoticeResponse) (*mail.Address, error) {
	address, name := o.GetEmail(), o.GetOrder().GetShippingAddress().GetName()
	if address == "" && strings.HasPrefix(o.GetCustomerId(), string(id.User)+"_") {
		res, err := s.Users.BatchGetUsers(ctx, &userv1.BatchGetUsersRequest{Ids: []string{o.GetCustomerId()}})
		if err != nil {
			return nil, err
		}
		for _, u := range res.GetUsers() {
			address = u.GetEmail()
			if u.GetName() != "" {
				name = u.GetName()
			}
		}
	}
	if address == "" {
		return nil, domain.Never("there is no address to send it to")
	}
	to, err := mail.ParseAddress(address)
	if err != nil || to.Name != "" {
		return nil, domain.Never("the address to send it to is none")
	}
	to.Name = oneLine(name)
	return to, nil
}
