package tests

import (
	"context"
	"net/mail"
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
	mu   sync.Mutex
	due  []domain.Mail
	left int
	done chan struct{}
}

func (b *backlog) Claim(_ context.Context, _, _ time.Time, n int) ([]domain.Mail, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, len(b.due))
	claimed := b.due[:n]
	b.due = b.due[n:]
	return claimed, nil
}

func (b *backlog) Sent(context.Context, domain.Mail, time.Time, event.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left--; b.left == 0 {
		close(b.done)
	}
	return nil
}

func (b *backlog) Again(context.Context, domain.Mail, string, time.Time) error { return nil }

// post takes each mail in no time, but the first two, which hang.
type post struct{ begun atomic.Int64 }

func (p *post) Send(ctx context.Context, _ domain.Message) error {
	if p.begun.Add(1) > 2 {
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
		sender, err := service.New(service.Deps{
			Mails: mails, Orders: orders, Users: orders, Post: &post{}, Renderer: renderer, Clock: clock.System{}, Logger: zap.NewNop(),
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
		require.Equal(t, 45*time.Millisecond, time.Since(began), "one pause, for the two of the first look that hang")
	})
}
