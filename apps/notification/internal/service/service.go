// Package service makes the deliveries of notices and sends them.
package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/notification/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	commentv1 "souk/gen/go/souk/comment/v1"
	notificationv1 "souk/gen/go/souk/notification/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/id"
	"souk/pkg/metric"
	"souk/pkg/retry"
)

// SubjectSent is the event that the service publishes.
const SubjectSent = "evt.notification.sent"

// FailAfterSend is the failpoint after a provider has taken a delivery and before that is recorded.
const FailAfterSend = "notification.after_send"

// recordTimeout bounds one attempt to record the result of a delivery.
const recordTimeout = 10 * time.Second

// JobTimeout returns the longest time that a delivery may take if a step takes at most d.
func JobTimeout(d time.Duration) time.Duration { return 3*d + recordTimeout }

// Store keeps notices and deliveries.
type Store interface {
	Notice(ctx context.Context, noticeID string) (domain.Notice, error)
	// Split ends a notice with a delivery for each target.
	Split(ctx context.Context, n domain.Notice, targets []domain.Target, at time.Time) error
	EndNotice(ctx context.Context, noticeID string, state domain.State, reason string, at time.Time) error
	NoticeFailed(ctx context.Context, noticeID, reason string) error
	// ListDue returns when a shop may get another list of a kind.
	ListDue(ctx context.Context, kind domain.Kind, shopID string) (time.Time, error)
	// Listed reports whether the owners of a shop had a notice of a shop order before a time.
	Listed(ctx context.Context, shopOrderID string, before time.Time) (bool, error)
	// Preferences returns the preferences of users and mailboxes; what is missing has none.
	Preferences(ctx context.Context, owners ...string) (map[string]domain.Preferences, error)
	// Devices returns the devices of users.
	Devices(ctx context.Context, userIDs ...string) ([]domain.Device, error)
	Device(ctx context.Context, deviceID string) (domain.Device, error)
	// DeleteDevice deletes a device of a user, or of any if userID is empty.
	DeleteDevice(ctx context.Context, userID, deviceID string) error
	Delivery(ctx context.Context, deliveryID string) (domain.Delivery, error)
	// Reserve counts a delivery to a recipient, unless that has got too many or the mailbox is suppressed.
	Reserve(
		ctx context.Context, deliveryID string, recipient, mailbox []byte, at time.Time,
	) (domain.Reservation, error)
	// Suppress adds a mailbox to the suppression list.
	Suppress(ctx context.Context, mailbox []byte, v domain.Suppression) (domain.Suppression, error)
	Sent(ctx context.Context, deliveryID string, at time.Time, ev event.Event) error
	// Deposit is Sent for a delivery that is put into an inbox.
	Deposit(ctx context.Context, deliveryID string, n domain.Notification, ev event.Event) error
	EndDelivery(ctx context.Context, deliveryID string, state domain.State, reason string, at time.Time) error
	DeliveryFailed(ctx context.Context, deliveryID, reason string) error
}

// Orders is the part of the order service that notification calls.
type Orders interface {
	GetOrderForNotice(
		ctx context.Context, r *orderv1.GetOrderForNoticeRequest, opts ...grpc.CallOption,
	) (*orderv1.GetOrderForNoticeResponse, error)
}

// Carts is the part of the cart service that notification calls.
type Carts interface {
	GetCartForNotice(
		ctx context.Context, r *cartv1.GetCartForNoticeRequest, opts ...grpc.CallOption,
	) (*cartv1.GetCartForNoticeResponse, error)
}

// Reviews is the part of the comment service that notification calls.
type Reviews interface {
	GetReviewForNotice(
		ctx context.Context, r *commentv1.GetReviewForNoticeRequest, opts ...grpc.CallOption,
	) (*commentv1.GetReviewForNoticeResponse, error)
}

// Vouchers is the part of the voucher service that notification calls.
type Vouchers interface {
	GetVoucherForNotice(
		ctx context.Context, r *voucherv1.GetVoucherForNoticeRequest, opts ...grpc.CallOption,
	) (*voucherv1.GetVoucherForNoticeResponse, error)
}

// Users is the part of the user service that notification calls.
type Users interface {
	GetFormerEmail(
		ctx context.Context, r *userv1.GetFormerEmailRequest, opts ...grpc.CallOption,
	) (*userv1.GetFormerEmailResponse, error)
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

// Provider sends the messages of a channel.
//
// Errors: *domain.Failure.
type Provider interface {
	Send(ctx context.Context, m domain.Message) error
}

// Deps are the dependencies of a Service. All are required, except Tracer and Metrics.
type Deps struct {
	Store Store
	Carts Carts

	Reviews  Reviews
	Vouchers Vouchers

	Orders Orders
	Users  Users
	Shops  Shops
	// Providers send the messages of each channel but the inbox. Channels without one are not used.
	Providers map[domain.Channel]Provider
	Renderer  *Renderer
	Links     *Links
	Mailboxes *Mailboxes
	// Templates are what operators wrote.
	Templates Templates
	Logger    *zap.Logger
	Clock     clock.Clock
	Tracer    trace.Tracer
	Metrics   prometheus.Registerer
	// Timeout bounds each step of an attempt at a delivery: to write it, to wait for a slot, and to send it.
	Timeout time.Duration
	// Concurrency is the number of messages sent at the same time on each channel.
	Concurrency int
	// GiveUp is how long a delivery is retried.
	GiveUp time.Duration
}

// Service makes and sends deliveries.
type Service struct {
	Deps
	templates                      written
	slots                          map[domain.Channel]chan struct{} // holds one per message that is being sent
	sent, failed, skipped, delayed *prometheus.CounterVec
}

// New returns a Service.
func New(d Deps) (*Service, error) {
	s := &Service{Deps: d, slots: map[domain.Channel]chan struct{}{}}
	for channel := range d.Providers {
		s.slots[channel] = make(chan struct{}, d.Concurrency)
	}
	var err error
	count := func(o prometheus.CounterOpts) *prometheus.CounterVec {
		c, registerErr := metric.Register(d.Metrics, prometheus.NewCounterVec(o, []string{"channel", "kind"}))
		err = errors.Join(err, registerErr)
		return c
	}
	s.sent = count(prometheus.CounterOpts{Name: "delivery_sent_total", Help: "Deliveries that a provider took."})
	s.failed = count(prometheus.CounterOpts{
		Name: "delivery_failed_total", Help: "Notices and deliveries that were given up.",
	})
	s.skipped = count(prometheus.CounterOpts{
		Name: "delivery_skipped_total",
		Help: "Notices and deliveries that were not needed any more when they were due.",
	})
	s.delayed = count(prometheus.CounterOpts{
		Name: "delivery_delayed_total", Help: "Attempts that wait, for example because the recipient has got too many.",
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Notify makes the deliveries of a notice that is due. It may be called again.
//
// Errors: *domain.Failure, and those of the services that know the recipients.
func (s *Service) Notify(ctx context.Context, noticeID string) error {
	n, err := s.Store.Notice(ctx, noticeID)
	if err != nil || n.State != domain.Queued {
		return err
	}
	ctx, end := s.trace(ctx, n, "notify ")
	defer end()
	err = s.split(ctx, n)
	if err == nil {
		return nil
	}
	labels := prometheus.Labels{"channel": "", "kind": string(n.Kind)}
	return s.unsent(ctx, err, labels, n.ID, n, n.CreatedAt, s.Store.EndNotice, s.Store.NoticeFailed)
}

func (s *Service) split(ctx context.Context, n domain.Notice) error {
	if n.Kind.Rule().Hourly > 0 {
		switch due, err := s.Store.ListDue(ctx, n.Kind, n.ShopID); {
		case err != nil:
			return err
		case due.After(s.Clock.Now()):
			return domain.Wait("the shop has got too many lists in the last hour", due.Sub(s.Clock.Now()))
		}
	}
	targets, err := s.targets(ctx, n)
	if err != nil {
		return err
	}
	return record(ctx, func(ctx context.Context) error { return s.Store.Split(ctx, n, targets, s.Clock.Now()) })
}

// targets returns the recipients of a notice, and their channels.
func (s *Service) targets(ctx context.Context, n domain.Notice) ([]domain.Target, error) {
	l, err := s.read(ctx, n)
	if err != nil {
		return nil, err
	}
	if n.Kind == domain.ShopInvitation {
		return []domain.Target{{Channel: domain.Email, Recipient: n.About}}, nil
	}
	users, mails := l.owners, l.owners
	switch rule := n.Kind.Rule(); {
	case rule.ToUser:
		users = []string{n.Items[0].UserID}
		mails = users
	case !rule.ToShop:
		users, mails = nil, []string{l.order.GetId()}
		if customer := l.answer.GetCustomerId(); strings.HasPrefix(customer, string(id.User)+"_") {
			users = []string{customer}
			if l.answer.GetEmail() == "" {
				mails = users
			}
		}
	}
	if len(mails) == 0 {
		return nil, domain.Skip("the shop has no owner")
	}
	var preferences map[string]domain.Preferences
	if len(users) > 0 {
		if preferences, err = s.Store.Preferences(ctx, users...); err != nil {
			return nil, err
		}
	}
	var out []domain.Target
	add := func(c domain.Channel, recipient string) {
		if preferences[recipient].Wants(n.Kind, c) {
			out = append(out, domain.Target{Channel: c, Recipient: recipient})
		}
	}
	if n.Kind == domain.EmailChanged { // also to the former address
		out = append(out, domain.Target{Channel: domain.Email, Recipient: n.About})
	}
	for _, recipient := range mails {
		add(domain.Email, recipient)
	}
	for _, userID := range users {
		add(domain.Inbox, userID)
		if s.Providers[domain.SMS] != nil {
			add(domain.SMS, userID)
		}
	}
	if s.Providers[domain.Push] == nil || len(users) == 0 {
		return out, nil
	}
	devices, err := s.Store.Devices(ctx, users...)
	if err != nil {
		return nil, err
	}
	for _, device := range devices {
		if preferences[device.UserID].Wants(n.Kind, domain.Push) {
			out = append(out, domain.Target{Channel: domain.Push, Recipient: device.ID})
		}
	}
	return out, nil
}

// Deliver sends a delivery and records the result. It may be called again.
//
// Errors: *domain.Failure, and those of the services that know the content.
func (s *Service) Deliver(ctx context.Context, deliveryID string) error {
	d, err := s.Store.Delivery(ctx, deliveryID)
	if err != nil || d.State != domain.Queued {
		return err
	}
	ctx, end := s.trace(ctx, d.Notice, "send ")
	defer end()
	labels := prometheus.Labels{"channel": string(d.Channel), "kind": string(d.Notice.Kind)}
	msg, err := s.send(ctx, d)
	if err == nil {
		s.sent.With(labels).Inc()
		return s.recordSent(ctx, d, msg)
	}
	return s.unsent(ctx, err, labels, d.ID, d.Notice, d.CreatedAt, s.Store.EndDelivery, s.Store.DeliveryFailed)
}

// trace continues the trace of the event that a notice is about.
func (s *Service) trace(ctx context.Context, n domain.Notice, name string) (context.Context, func()) {
	ctx = event.Event{Metadata: map[string]string{"traceparent": n.Traceparent}}.Context(ctx)
	if s.Tracer == nil {
		return ctx, func() {}
	}
	ctx, span := s.Tracer.Start(ctx, name+string(n.Kind))
	return ctx, func() { span.End() }
}

// send writes a delivery, waits for a slot, and sends it. Each of these takes no longer than Timeout. What goes into an
// inbox is sent by recording it.
func (s *Service) send(ctx context.Context, d domain.Delivery) (msg domain.Message, err error) {
	writing, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if msg, err = s.write(writing, d); err != nil || d.Channel == domain.Inbox {
		return msg, err
	}
	waiting, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	select {
	case s.slots[d.Channel] <- struct{}{}:
		defer func() { <-s.slots[d.Channel] }()
	case <-waiting.Done():
		return msg, domain.Wait("no connection is free", time.Second)
	}
	sending, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	err = s.Providers[d.Channel].Send(sending, msg)
	if f := domain.FailureOf(err, ""); f.Bounced {
		if err := s.bounced(ctx, msg, f.Reason); err != nil {
			return msg, err // the next attempt suppresses it
		}
	}
	if domain.FailureOf(err, "").Gone && d.Channel == domain.Push {
		if err := s.Store.DeleteDevice(ctx, "", d.Recipient); err != nil && !errs.Is(err, errs.NotFound) {
			return msg, err // the next attempt deletes it
		}
	}
	return msg, err
}

// unsent records why a notice or delivery did not succeed, and returns that with its ID.
func (s *Service) unsent(
	ctx context.Context, err error, labels prometheus.Labels, subject string, n domain.Notice, since time.Time,
	end func(context.Context, string, domain.State, string, time.Time) error,
	again func(context.Context, string, string) error,
) error {
	now := s.Clock.Now()
	f := domain.FailureOf(err, "the content could not be read: "+string(errs.CodeOf(err)))
	f.Permanent = f.Permanent || !f.Skip && now.Sub(since) >= s.GiveUp
	switch {
	case f.Skip:
		s.skipped.With(labels).Inc()
		err = record(ctx, func(ctx context.Context) error { return end(ctx, subject, domain.Skipped, f.Reason, now) })
	case f.Permanent:
		s.failed.With(labels).Inc()
		f.Wait = 0
		err = record(ctx, func(ctx context.Context) error { return end(ctx, subject, domain.Failed, f.Reason, now) })
	case f.Wait > 0:
		s.delayed.With(labels).Inc()
		return &f
	default:
		err = record(ctx, func(ctx context.Context) error { return again(ctx, subject, f.Reason) })
	}
	if err != nil {
		return fmt.Errorf("the result of %s could not be recorded: %w", subject, err)
	}
	return fmt.Errorf("%s, %s about %s: %w", subject, n.Kind, n.OrderID+n.About, &f)
}

func (s *Service) recordSent(ctx context.Context, d domain.Delivery, msg domain.Message) error {
	if err := failpoint.Hit(ctx, FailAfterSend); err != nil {
		return err
	}
	now := s.Clock.Now()
	ev, err := event.New(ctx, SubjectSent, d.ID, 1, now, &notificationv1.NotificationSent{
		NotificationId: d.ID, Kind: string(d.Notice.Kind), OrderId: d.Notice.OrderID, Channel: string(d.Channel),
	})
	if err != nil {
		return err
	}
	err = record(ctx, func(ctx context.Context) error {
		if d.Channel != domain.Inbox {
			return s.Store.Sent(ctx, d.ID, now, ev)
		}
		return s.Store.Deposit(ctx, d.ID, domain.Notification{
			ID: id.New(id.Notification), UserID: d.Recipient, Kind: d.Notice.Kind, Title: msg.Subject, Body: msg.Body,
			Link: msg.Link, CreatedAt: now,
		}, ev)
	})
	if err != nil {
		return fmt.Errorf("%s was sent, but that could not be recorded; it may be sent again: %w", d.ID, err)
	}
	return nil
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
