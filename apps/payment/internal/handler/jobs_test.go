package handler

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/service"
	"souk/pkg/breaker"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/money"
)

// backlog is a store with more open payments than one pass takes, and the provider who declined all of them.
type backlog struct {
	service.Store
	service.Provider

	open, settled int
}

func (b *backlog) AskOpen(_ context.Context, _, _ time.Time, limit int) ([]domain.Payment, error) {
	out := make([]domain.Payment, min(b.open, limit))
	for i := range out {
		out[i] = domain.Payment{ID: "pay_" + strconv.Itoa(b.open-i), Status: domain.Pending, Method: domain.Card, Amount: money.New(100, "BRL"), Provider: "sandbox", Version: 1}
	}
	b.open -= len(out)
	return out, nil
}

func (b *backlog) AskOpenRefunds(context.Context, time.Time, time.Time, int) ([]domain.Refund, error) {
	return nil, nil
}

func (b *backlog) Status(context.Context, string) (domain.Charge, error) {
	return domain.Charge{State: domain.ChargeDeclined, Reason: domain.ReasonDeclined}, nil
}

func (b *backlog) Settle(_ context.Context, s domain.Settlement, _ event.Event) (domain.Payment, error) {
	b.settled++
	return domain.Payment{ID: s.PaymentID, Status: s.Status, Version: 2}, nil
}

// TestABacklogIsReconciledWithoutPauses: what an outage left behind does not wait for an interval a pass.
func TestABacklogIsReconciledWithoutPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // its time does not pass while the job is busy
		b := &backlog{open: 250}
		s := service.New(service.Deps{
			Store: b, Provider: b, ProviderName: "sandbox", ProviderTimeout: time.Second,
			Breakers: breaker.NewRegistry(breaker.Options{}, nil), Clock: clock.System{}, Logger: zap.NewNop(),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- Reconcile(s, time.Hour, time.Minute, time.Hour)(ctx) }()
		synctest.Wait()
		require.Equal(t, 250, b.settled)
		cancel()
		require.NoError(t, <-done)
	})
}
