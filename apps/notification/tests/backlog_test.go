package tests

import (
	"cmp"
	"context"
	"maps"
	"net/mail"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// backlog is a store of mails that are all due.
type backlog struct {
	service.Mails
	mu        sync.Mutex
	due       []domain.Mail
	left      int
	done      chan struct{}
	recording []time.Duration // time left to record each sent mail
	// retries counts the reasons to retry.
	retries map[string]int
}

// add adds n mails about orders of their own.
func (b *backlog) add(n int) {
	for i := range n {
		b.due = append(b.due, domain.Mail{
			ID:        "ntf_" + strconv.Itoa(i),
			Kind:      domain.OrderConfirmed,
			OrderID:   "ord_" + strconv.Itoa(i),
			CreatedAt: time.Now(),
		})
	}
}

func (b *backlog) Claim(_ context.Context, _, _ time.Time, n int) ([]domain.Mail, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, len(b.due))
	claimed := b.due[:n]
	b.due = b.due[n:]
	return claimed, nil
}

func (b *backlog) Sent(ctx context.Context, _ domain.Mail, _ time.Time, _ event.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, _ := ctx.Deadline()
	b.recording = append(b.recording, time.Until(until))
	if b.left--; b.left == 0 {
		close(b.done)
	}
	return nil
}

// Reserve never refuses.
func (b *backlog) Reserve(context.Context, domain.Mail, []byte, time.Time) (bool, error) {
	return true, nil
}

func (b *backlog) Retry(_ context.Context, _ domain.Mail, reason string, _ time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.retries != nil {
		b.retries[reason]++
	}
	return nil
}

func (b *backlog) reasons() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.retries)
}

// post takes no time for a mail, except the first two, which hang.
type post struct{ begun, now, most atomic.Int64 }

func (p *post) Send(ctx context.Context, _ domain.Message) error {
	now := p.now.Add(1)
	defer p.now.Add(-1)
	for most := p.most.Load(); now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
	}
	if p.begun.Add(1) > 2 {
		runtime.Gosched()
		return nil
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Hour): // its context has no end
	}
	return domain.Temporary("it took too long")
}

// TestBacklogWaitsForServersOnly: mails in excess of Concurrency wait for servers, not for the clock.
func TestBacklogWaitsForServersOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const concurrency, due = 4, 400
		mails := &backlog{left: due - 2, done: make(chan struct{})}
		mails.add(due)
		post := &post{}
		stop := run(newSender(t, service.Deps{
			Mails: mails, Post: post, Timeout: 10 * time.Second, Concurrency: concurrency,
		}))
		defer stop()
		began := time.Now()
		select {
		case <-mails.done:
		case <-time.After(time.Minute):
		}
		require.Zero(t, time.Since(began), "two hanging mails delay no other")
		require.EqualValues(t, concurrency, post.most.Load(), "mails sent at the same time")
	})
}

// stuck never returns before its context ends, and counts its calls.
type stuck struct{ begun, cut atomic.Int64 }

func (s *stuck) Send(ctx context.Context, _ domain.Message) error {
	s.begun.Add(1)
	began := time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(time.Hour): // its context has no end
	}
	if time.Since(began) != 40*time.Second {
		s.cut.Add(1)
	}
	return domain.Temporary("it took too long")
}

// newSender returns a sender without its service. One mail is sent at a time, with a timeout of 40 s, unless d sets
// these. All orders are of guests, so no user is requested.
func newSender(t *testing.T, d service.Deps) *service.Sender {
	t.Helper()
	var err error
	d.Renderer, err = service.NewRenderer(&mail.Address{Address: "shop@souk.example"}, "https://souk.example/")
	require.NoError(t, err)
	if d.Orders == nil {
		d.Orders = &guestOrders{}
	}
	if d.Clock == nil {
		d.Clock = clock.System{}
	}
	d.Logger, d.GiveUp = zap.NewNop(), time.Hour
	d.Timeout, d.Concurrency = cmp.Or(d.Timeout, 40*time.Second), cmp.Or(d.Concurrency, 1)
	sender, err := service.New(d)
	require.NoError(t, err)
	return sender
}

// run runs a sender until stop is called. stop waits for its end.
func run(s *service.Sender) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// guestOrders answers as the order service does, with err if it is set.
type guestOrders struct{ err atomic.Pointer[errs.Error] }

func (o *guestOrders) GetOrderForNotice(
	_ context.Context, r *orderv1.GetOrderForNoticeRequest, _ ...grpc.CallOption,
) (*orderv1.GetOrderForNoticeResponse, error) {
	if err := o.err.Load(); err != nil {
		return nil, err
	}
	return &orderv1.GetOrderForNoticeResponse{Order: &orderv1.Order{Id: r.GetId()}, Email: "guest@example.com"}, nil
}

// TestWaitForASlotTakesNoTimeFromAMail: each mail has its full timeout; a mail without a slot is retried
// later.
func TestWaitForASlotTakesNoTimeFromAMail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mails := &backlog{retries: map[string]int{}}
		post := &stuck{}
		mails.add(4)
		stop := run(newSender(t, service.Deps{Mails: mails, Post: post}))
		<-time.After(59 * time.Second)
		stop()
		require.Equal(t, map[string]int{"it took too long": 1, "": 3}, mails.reasons())
		require.EqualValues(t, 1, post.begun.Load())
		require.Zero(t, post.cut.Load(), "no mail had less than its timeout")
	})
}

// TestStopReleasesWaitingMails: a process that stops finishes what it has begun, and releases the rest at
// once.
func TestStopReleasesWaitingMails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mails := &backlog{retries: map[string]int{}}
		post := &stuck{}
		mails.add(3)
		stop := run(newSender(t, service.Deps{Mails: mails, Post: post}))
		synctest.Wait()
		var stopped sync.WaitGroup
		stopped.Go(stop)
		synctest.Wait()
		require.Equal(t, map[string]int{"": 2}, mails.reasons())
		stopped.Wait()
		require.EqualValues(t, 1, post.begun.Load())
		require.Equal(t, map[string]int{"": 2, "it took too long": 1}, mails.reasons())
	})
}

// late takes 19.9 s for the first mail and 39.9 s for each other.
type late struct{ begun atomic.Int64 }

func (l *late) Send(context.Context, domain.Message) error {
	took := 39900 * time.Millisecond
	if l.begun.Add(1) == 1 {
		took = 19900 * time.Millisecond
	}
	<-time.After(took)
	return nil
}

// TestLateSlotLeavesTimeToRecord: a mail sent just before its lease expires is still recorded before, or it
// would be sent again.
func TestLateSlotLeavesTimeToRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mails := &backlog{retries: map[string]int{}, left: -1}
		mails.add(2)
		stop := run(newSender(t, service.Deps{Mails: mails, Post: &late{}}))
		<-time.After(time.Minute)
		stop()
		require.Equal(t, []time.Duration{10 * time.Second}, mails.recording)
		require.Equal(t, map[string]int{"": 1}, mails.reasons())
	})
}
