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

// backlog is a store with more open payments than one pass handles, and the provider that declined them all.
type backlog struct {
	service.Store
	service.Provider

	open, applied int
}

func (b *backlog) AskOpen(_ context.Context, _, _ time.Time, limit int) ([]domain.Payment, error) {
	out := make([]domain.Payment, min(b.open, limit))
	for i := range out {
		out[i] = domain.Payment{
			ID:       "pay_" + strconv.Itoa(b.open-i),
			Status:   domain.Pending,
			Method:   domain.Card,
			Amount:   money.New(100, "BRL"),
			Provider: "sandbox",
			Version:  1,
		}
	}
	b.open -= len(out)
	return out, nil
}

func (b *backlog) AskOpenRefunds(context.Context, time.Time, time.Time, int) ([]domain.Refund, error) {
	return nil, nil
}

func (b *backlog) Open(context.Context, time.Time) (payments, refunds int64, oldest time.Duration, err error) {
	return int64(b.open), 0, 0, nil
}

func (b *backlog) Status(context.Context, string) (domain.Charge, error) {
	return domain.Charge{State: domain.ChargeDeclined, Reason: domain.ReasonDeclined}, nil
}

func (b *backlog) Apply(_ context.Context, t domain.Transition, _ event.Event) (domain.Payment, error) {
	b.applied++
	return domain.Payment{ID: t.PaymentID, Status: t.Status, Version: 2}, nil
}

// TestBacklogIsReconciledWithoutPauses: the payments that an outage left open do not wait for the interval.
func TestBacklogIsReconciledWithoutPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // time stands still while the job is busy
		b := &backlog{open: 250}
		s := service.New(service.Deps{
			Store: b, Provider: b, ProviderName: "sandbox", ProviderTimeout: time.Second,
			Breakers: breaker.NewRegistry(breaker.Options{}, nil), Clock: clock.System{}, Logger: zap.NewNop(),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		reconcile, err := Reconcile(s, time.Hour, time.Minute, time.Hour, nil)
		require.NoError(t, err)
		go func() { done <- reconcile(ctx) }()
		synctest.Wait()
		require.Equal(t, 250, b.applied)
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			require.Fail(t, "Reconcile did not return")
		}
	})
}
