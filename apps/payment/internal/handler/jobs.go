package handler

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"souk/apps/payment/internal/service"
	"souk/pkg/chore"
	"souk/pkg/metric"
)

// forgetBatch is the largest number of rows that one pass deletes.
const forgetBatch = 1000

// Reconcile applies open outcomes, every interval, until ctx ends. While it finds any it goes on without a
// pause: an outage leaves more behind than one pass handles. It registers payment_reconciled_total, payment_open
// and payment_open_oldest_seconds with r.
func Reconcile(
	s *service.Service, interval, openFor, giveUp time.Duration, r prometheus.Registerer,
) (func(context.Context) error, error) {
	applied, err := metric.Register(r, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "payment_reconciled_total",
		Help: "Outcomes that differed from the provider's, since an answer was lost, and were applied later.",
	}))
	if err != nil {
		return nil, err
	}
	open, err := metric.Register(r, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "payment_open",
		Help: "Payments and refunds whose outcome is open. Each process reports all: take the maximum.",
	}, []string{"kind"}))
	if err != nil {
		return nil, err
	}
	oldest, err := metric.Register(r, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "payment_open_oldest_seconds", Help: "Age of the oldest payment or refund whose outcome is open.",
	}))
	if err != nil {
		return nil, err
	}
	return chore.Chore{
		Name: "reconcile payments", Every: interval, Batch: 1, Logger: s.Logger,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			n, err := s.Reconcile(ctx, openFor, giveUp)
			applied.Add(float64(n))
			if err != nil {
				return n, err
			}
			payments, refunds, age, err := s.Store.Open(ctx, s.Clock.Now())
			if err != nil {
				return n, err
			}
			open.WithLabelValues("payment").Set(float64(payments))
			open.WithLabelValues("refund").Set(float64(refunds))
			oldest.Set(max(age.Seconds(), 0))
			return n, nil
		},
	}.Run, nil
}

// Forget deletes old rows, every interval, until ctx ends. It deletes in batches, so that no statement holds
// its locks for long, and without a pause while there are more.
func Forget(
	forget func(ctx context.Context, limit int) (int, error), interval time.Duration, log *zap.Logger,
) func(context.Context) error {
	return chore.Chore{
		Name: "delete old rows", Every: interval, Batch: forgetBatch, Logger: log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) { return forget(ctx, forgetBatch) },
	}.Run
}
