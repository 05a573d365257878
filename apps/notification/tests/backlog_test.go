package tests

import (
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

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
)

// backlog is mails that are all due.
type backlog struct {
	service.Mails
	mu     sync.Mutex
	due    []domain.Mail
	left   int
	done   chan struct{}
	noting []time.Duration // for which the database may be away once a mail is sent
	// again counts the reasons to try later
	again map[string]int
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
	b.noting = append(b.noting, time.Until(until))
	if b.left--; b.left == 0 {
		close(b.done)
	}
	return nil
}

func (b *backlog) Again(_ context.Context, _ domain.Mail, reason string, _ time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again != nil {
		b.again[reason]++
	}
	return nil
}

func (b *backlog) reasons() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.again)
}

// post takes each mail in no time, but the first two, which hang.
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
	<-ctx.Done()
	return domain.Later("it took too long")
}

// Mails that more are due of than can be sent at once wait for servers, and not for the clock.
func TestABacklogIsSentAsFastAsItCan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const concurrency, due = 4, 400
		mails := &backlog{left: due - 2, done: make(chan struct{})}
		orders := &others{orders: map[string]*orderv1.GetOrderForNoticeResponse{}}
		for i := range due {
			order := "ord_" + strconv.Itoa(i)
			mails.due = append(mails.due, domain.Mail{ID: "ntf_" + strconv.Itoa(i), Kind: domain.OrderConfirmed, OrderID: order, CreatedAt: time.Now()})
			orders.orders[order] = &orderv1.GetOrderForNoticeResponse{Order: &orderv1.Order{Id: order}, Email: "guest@example.com"}
		}
		renderer, err := service.NewRenderer(&mail.Address{Address: "shop@souk.example"}, "https://souk.example/")
		require.NoError(t, err)
		post := &post{}
		sender, err := service.New(service.Deps{
			Mails: mails, Orders: orders, Users: orders, Post: post, Renderer: renderer, Clock: clock.System{}, Logger: zap.NewNop(),
			Timeout: 10 * time.Second, Concurrency: concurrency, GiveUp: time.Hour,
		})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = sender.Run(ctx) })
		defer running.Wait()
		defer stop()
		began := time.Now()
		select {
		case <-mails.done:
		case <-time.After(time.Minute):
		}
		require.Zero(t, time.Since(began), "two that hang keep nobody else waiting")
		require.EqualValues(t, concurrency, post.most.Load(), "as many are sent at once")
	})
}

// stuck never ends before its time, and tells who came.
type stuck struct{ begun, cut atomic.Int64 }

func (s *stuck) Send(ctx context.Context, _ domain.Message) error {
	s.begun.Add(1)
	began := time.Now()
	<-ctx.Done()
	if time.Since(began) != 40*time.Second {
		s.cut.Add(1)
	}
	return domain.Later("it took too long")
}

// newSender sends one at a time, with 40 s for each, of so many that are due.
func newSender(t *testing.T, mails *backlog, post service.Post, due int) *service.Sender {
	t.Helper()
	orders := &others{orders: map[string]*orderv1.GetOrderForNoticeResponse{"ord_1": {Order: &orderv1.Order{Id: "ord_1"}, Email: "guest@example.com"}}}
	for i := range due {
		mails.due = append(mails.due, domain.Mail{ID: "ntf_" + strconv.Itoa(i), Kind: domain.OrderConfirmed, OrderID: "ord_1", CreatedAt: time.Now()})
	}
	renderer, err := service.NewRenderer(&mail.Address{Address: "shop@souk.example"}, "")
	require.NoError(t, err)
	sender, err := service.New(service.Deps{
		Mails: mails, Orders: orders, Users: orders, Post: post, Renderer: renderer, Clock: clock.System{}, Logger: zap.NewNop(),
		Timeout: 40 * time.Second, Concurrency: 1, GiveUp: time.Hour,
	})
	require.NoError(t, err)
	return sender
}

// Each mail that is begun has all of its time, and those that have no turn in theirs are tried later.
func TestWhoWaitsForATurnLosesNoTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mails := &backlog{again: map[string]int{}}
		post := &stuck{}
		sender := newSender(t, mails, post, 4)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = sender.Run(ctx) })
		<-time.After(59 * time.Second)
		stop()
		running.Wait()
		require.Equal(t, map[string]int{"it took too long": 1, "": 3}, mails.reasons())
		require.EqualValues(t, 1, post.begun.Load())
		require.Zero(t, post.cut.Load(), "none had less than its time")
	})
}

// A process that is to stop finishes what it has begun, and gives the rest back at once.
func TestWhatWaitsForATurnIsGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mails := &backlog{again: map[string]int{}}
		post := &stuck{}
		sender := newSender(t, mails, post, 3)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = sender.Run(ctx) })
		synctest.Wait()
		stop()
		synctest.Wait()
		require.Equal(t, map[string]int{"": 2}, mails.reasons())
		running.Wait()
		require.EqualValues(t, 1, post.begun.Load())
		require.Equal(t, map[string]int{"": 2, "it took too long": 1}, mails.reasons())
	})
}

// late takes 19.9 s for the first mail, and 39.9 for others.
type late struct{ begun atomic.Int64 }

func (l *late) Send(context.Context, domain.Message) error {
	took := 39900 * time.Millisecond
	if l.begun.Add(1) == 1 {
		took = 19900 * time.Millisecond
	}
	<-time.After(took)
	return nil
}

// What is sent last before the lease ends is written down before that, too, or it would be sent again.
func TestWhoHasALateTurnHasTimeToNote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		mails := &backlog{again: map[string]int{}, left: -1}
		sender := newSender(t, mails, &late{}, 2)
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = sender.Run(ctx) })
		<-time.After(time.Minute)
		stop()
		running.Wait()
		require.Equal(t, []time.Duration{10 * time.Second}, mails.noting)
		require.Equal(t, map[string]int{"": 1}, mails.reasons())
	})
}
