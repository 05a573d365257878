// Package service sends the mails that are due.
package service

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/logging"
	"souk/pkg/metric"
	"souk/pkg/retry"
)

// SubjectSent is the event that the service publishes.
const SubjectSent = "evt.notification.sent"

// FailAfterSend is the failpoint after the server has accepted a mail and before that is recorded.
const FailAfterSend = "notification.after_send"

const (
	// lease is how long a claimed mail belongs to its process; an attempt must end before.
	lease = time.Minute
	// ahead is the number of mails claimed per mail that can be sent at the same time. Larger claims cost
	// less per mail; the extra mails are written while others are being sent.
	ahead = 4
	// idlePoll is the poll interval for mails without a wake: retries, and mails of a process that died.
	idlePoll = time.Second
	// claimInterval is the shortest time between two claims: mails that are due at the same time are claimed
	// in one statement, and their orders are requested in one batch. If more mails are due than one claim may
	// take, the next claim follows when three quarters of them are done.
	claimInterval = 45 * time.Millisecond
	// recordTimeout bounds one attempt to record the result of a mail.
	recordTimeout = 10 * time.Second
	// stopTimeout is how long results are still recorded after the sender was stopped.
	stopTimeout = 10 * time.Second
)

// Mails keeps mails.
type Mails interface {
	Claim(ctx context.Context, now, until time.Time, n int) ([]domain.Mail, error)
	Sent(ctx context.Context, m domain.Mail, at time.Time, ev event.Event) error
	Failed(ctx context.Context, m domain.Mail, reason string) error
	// Skipped records that a mail is not needed any more.
	Skipped(ctx context.Context, m domain.Mail, reason string) error
	// Split replaces a mail to a shop by one for each of its owners.
	Split(ctx context.Context, m domain.Mail, userIDs []string, at time.Time) error
	// Reserve counts a mail to a recipient, and returns false if the recipient has got too many.
	Reserve(ctx context.Context, m domain.Mail, recipient []byte, at time.Time) (bool, error)
	// Retry keeps the previous reason if reason is empty.
	Retry(ctx context.Context, m domain.Mail, reason string, at time.Time) error
}

// Orders is the part of the order service that notification calls.
type Orders interface {
	GetOrderForNotice(
		ctx context.Context, r *orderv1.GetOrderForNoticeRequest, opts ...grpc.CallOption,
	) (*orderv1.GetOrderForNoticeResponse, error)
}

// Users is the part of the user service that notification calls.
type Users interface {
	BatchGetUsers(
		ctx context.Context, r *userv1.BatchGetUsersRequest, opts ...grpc.CallOption,
	) (*userv1.BatchGetUsersResponse, error)
}

// Shops is the part of the shop service that notification calls.
type Shops interface {
	GetShopForNotice(
		ctx context.Context, r *shopv1.GetShopForNoticeRequest, opts ...grpc.CallOption,
	) (*shopv1.GetShopForNoticeResponse, error)
	GetInvitationForNotice(
		ctx context.Context, r *shopv1.GetInvitationForNoticeRequest, opts ...grpc.CallOption,
	) (*shopv1.GetInvitationForNoticeResponse, error)
}

// Post sends mails.
//
// Errors: *domain.Failure.
type Post interface {
	Send(ctx context.Context, m domain.Message) error
}

// Deps are the dependencies of a Sender. All are required, except Tracer and Metrics.
type Deps struct {
	Mails    Mails
	Orders   Orders
	Users    Users
	Shops    Shops
	Post     Post
	Renderer *Renderer
	Clock    clock.Clock
	Logger   *zap.Logger
	Tracer   trace.Tracer
	Metrics  prometheus.Registerer
	// Timeout bounds one attempt, without the wait for a free slot; it must be shorter than a minute.
	Timeout time.Duration
	// Concurrency is the number of mails sent at the same time.
	Concurrency int
	// GiveUp is how long a mail is retried.
	GiveUp time.Duration
}

// Sender sends due mails.
type Sender struct {
	Deps
	wake   chore.Wake
	active chan struct{} // holds a slot per mail that is being sent
	sent   *prometheus.CounterVec
	failed prometheus.Counter
	// skipped and delayed count mails that were not needed any more, and attempts that the recipient's limit delayed.
	skipped, delayed prometheus.Counter
}

// New returns a Sender. Run runs it.
func New(d Deps) (*Sender, error) {
	s := &Sender{Deps: d, wake: chore.NewWake(), active: make(chan struct{}, d.Concurrency)}
	var err error
	if s.sent, err = metric.Register(d.Metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mail_sent_total", Help: "Mails that a server took, by kind."}, []string{"kind"})); err != nil {
		return nil, err
	}
	for counter, opts := range map[*prometheus.Counter]prometheus.CounterOpts{
		&s.failed:  {Name: "mail_failed_total", Help: "Mails that were given up."},
		&s.skipped: {Name: "mail_skipped_total", Help: "Mails that were not needed any more when they were due."},
		&s.delayed: {Name: "mail_delayed_total", Help: "Attempts that wait because the recipient has got too many mails."},
	} {
		if *counter, err = metric.Register(d.Metrics, prometheus.NewCounter(opts)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Wake makes the sender look for mails now. It is called after the transaction of a new mail has committed.
func (s *Sender) Wake() { s.wake.Now() }

// Ready returns nil: mails wait until the sender runs.
func (s *Sender) Ready(context.Context) error { return nil }

// Run sends due mails until ctx ends, and finishes what it has begun.
func (s *Sender) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, ahead*s.Concurrency)
	var backlog atomic.Bool // mails may be due that had no free slot: a freed slot wakes the loop
	var (
		due     bool // mails may be due, and the last claim is too recent for another one
		resting bool // no claim until claimInterval is over or, after a full claim, most of its mails are sent
		most    int  // slots in use at which the rest after a full claim ends
		failing bool
	)
	return chore.Loop(ctx, s.wake, func(ctx context.Context, woken bool) (time.Duration, error) {
		switch {
		case resting && woken && (!backlog.Load() || len(slots) > most):
			due = true
			return chore.Keep, nil
		case resting && !woken && !due:
			resting = false
			return idlePoll, nil
		}
		free := cap(slots) - len(slots)
		if free == 0 {
			resting = false
			backlog.Store(true)
			return idlePoll, nil
		}
		now := s.Clock.Now()
		until := now.Add(lease)
		got, err := s.Mails.Claim(ctx, now, until, free)
		if err != nil && ctx.Err() == nil && !failing {
			s.Logger.Warn("mails that are due cannot be read", zap.Error(err))
		}
		full := len(got) == free
		failing, due, resting, most = err != nil, full, true, cap(slots)-free+free/4
		backlog.Store(full)
		for _, m := range got {
			slots <- struct{}{}
			wg.Go(func() {
				s.attempt(ctx, m, until)
				<-slots
				if backlog.Load() {
					s.wake.Now()
				}
			})
		}
		return claimInterval, nil
	})
}

// attempt sends one mail and records the result. The claim ends at until, which is computed before the claim.
func (s *Sender) attempt(running context.Context, m domain.Mail, until time.Time) {
	// The result is recorded even after the sender stops, as long as the mail is claimed.
	recordCtx, cancelRecord := context.WithTimeout(context.WithoutCancel(running), until.Sub(s.Clock.Now()))
	defer cancelRecord()
	recordCtx = event.Event{Metadata: map[string]string{"traceparent": m.Traceparent}}.Context(recordCtx)
	if s.Tracer != nil {
		var span trace.Span
		recordCtx, span = s.Tracer.Start(recordCtx, "send "+string(m.Kind))
		defer span.End()
	}
	if m.Kind.ToShop() && m.UserID == "" {
		s.split(recordCtx, m)
		return
	}
	err := s.send(recordCtx, running.Done(), m, until)
	defer context.AfterFunc(running, func() { time.AfterFunc(stopTimeout, cancelRecord) })()
	if err == nil {
		if err = s.recordSent(recordCtx, m); err != nil {
			s.log(recordCtx, m).
				Error("a mail was sent, but that could not be recorded; it may be sent again", zap.Error(err))
		}
		return
	}
	log := s.log(recordCtx, m)
	if errors.Is(err, errNotBegun) {
		if err = s.Mails.Retry(recordCtx, m, "", s.Clock.Now()); err != nil {
			log.Warn("the claim of an unsent mail could not be released; it is due again in a minute", zap.Error(err))
		}
		return
	}
	s.recordUnsent(recordCtx, m, err)
}

// split replaces a mail to a shop by one for each of its owners, which are sent like others.
func (s *Sender) split(ctx context.Context, m domain.Mail) {
	res, err := s.Shops.GetShopForNotice(ctx, &shopv1.GetShopForNoticeRequest{Id: m.ShopID})
	switch {
	case errs.Is(err, errs.NotFound):
		err = domain.Skip("there is no such shop")
	case err == nil && len(res.GetOwnerIds()) == 0:
		err = domain.Skip("the shop has no owner")
	case err == nil:
		err = record(ctx, func(ctx context.Context) error {
			return s.Mails.Split(ctx, m, res.GetOwnerIds(), s.Clock.Now())
		})
	}
	if err != nil {
		s.recordUnsent(ctx, m, err)
		return
	}
	s.wake.Now()
}

// recordUnsent records why a mail was not sent.
func (s *Sender) recordUnsent(ctx context.Context, m domain.Mail, err error) {
	log := s.log(ctx, m)
	now := s.Clock.Now()
	f := domain.FailureOf(err, "the content of the mail could not be read: "+string(errs.CodeOf(err)))
	tooOld := now.Sub(m.CreatedAt) >= s.GiveUp
	var write func(context.Context) error
	switch {
	case f.Skip:
		s.skipped.Inc()
		write = func(ctx context.Context) error { return s.Mails.Skipped(ctx, m, f.Reason) }
	case f.Permanent || tooOld:
		s.failed.Inc()
		log.Error("a mail was given up", zap.String("reason", f.Reason), zap.Int32("attempts", m.Attempts))
		write = func(ctx context.Context) error { return s.Mails.Failed(ctx, m, f.Reason) }
	case errors.Is(err, errTooMany):
		s.delayed.Inc()
		write = func(ctx context.Context) error { return s.Mails.Retry(ctx, m, "", now.Add(domain.LimitBackoff)) }
	default:
		log.Warn("a mail was not sent; it is tried again", zap.String("reason", f.Reason),
			zap.Int32("attempts", m.Attempts))
		write = func(ctx context.Context) error {
			return s.Mails.Retry(ctx, m, f.Reason, now.Add(domain.Backoff(m.Attempts)))
		}
	}
	if err := record(ctx, write); err != nil {
		log.Warn("the result of a mail could not be recorded", zap.Error(err))
	}
}

func (s *Sender) log(ctx context.Context, m domain.Mail) *zap.Logger {
	return logging.With(ctx, s.Logger).
		With(zap.String("mail_id", m.ID), zap.String("kind", string(m.Kind)), zap.String("order_id", m.OrderID))
}

func (s *Sender) recordSent(ctx context.Context, m domain.Mail) error {
	if err := failpoint.Hit(ctx, FailAfterSend); err != nil {
		return err
	}
	now := s.Clock.Now()
	ev, err := event.New(ctx, SubjectSent, m.ID, 1, now, &notificationv1.NotificationSent{
		NotificationId: m.ID, Kind: string(m.Kind), OrderId: m.OrderID,
	})
	if err != nil {
		return err
	}
	s.sent.WithLabelValues(string(m.Kind)).Inc()
	return record(ctx, func(ctx context.Context) error { return s.Mails.Sent(ctx, m, now, ev) })
}

// record runs write, which is idempotent, until it succeeds or ctx ends: a short outage of the database is no
// reason to send a mail again.
func record(ctx context.Context, write func(context.Context) error) error {
	policy := retry.Policy{Attempts: math.MaxInt, Base: 50 * time.Millisecond, Max: time.Second}
	away := func(err error) bool { return errs.Is(err, errs.Unavailable) || errs.Is(err, errs.Timeout) }
	return retry.Do(ctx, policy, away, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, recordTimeout)
		defer cancel()
		return write(ctx)
	})
}

// errTooMany means that the recipient has got too many mails in the last hour. It is not an attempt.
var errTooMany = domain.Temporary("the recipient has got too many mails in the last hour")

// errNotBegun means that a mail got no slot before its claim ended or the sender stopped. It is not an
// attempt.
var errNotBegun = errors.New("no free slot")

// send writes a mail and sends it when a slot is free. Both take no longer than Timeout, without the wait for
// the slot. The wait ends when stop is closed, or early enough to send the mail and record the result before
// the claim ends at until. So a process that dies leaves at most as many sent and unrecorded mails as it has
// claimed.
func (s *Sender) send(ctx context.Context, stop <-chan struct{}, m domain.Mail, until time.Time) error {
	began := s.Clock.Now()
	msg, err := s.write(ctx, m)
	if err != nil {
		return err
	}
	left := s.Timeout - s.Clock.Now().Sub(began)
	wait, cancel := context.WithTimeout(ctx, until.Sub(s.Clock.Now())-left-recordTimeout)
	defer cancel()
	select {
	case s.active <- struct{}{}:
		defer func() { <-s.active }()
	case <-wait.Done():
		return errNotBegun
	case <-stop:
		return errNotBegun
	}
	ctx, cancelPost := context.WithTimeout(ctx, left)
	defer cancelPost()
	return s.Post.Send(ctx, msg)
}
