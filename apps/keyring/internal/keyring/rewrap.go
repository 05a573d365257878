package keyring

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"souk/pkg/metric"
)

// Rewrap wraps keys again after the wrapping key was changed.
type Rewrap struct {
	store *Store
	log   *zap.Logger
	left  prometheus.Gauge
}

// NewRewrap returns the task.
func NewRewrap(store *Store, log *zap.Logger, metrics prometheus.Registerer) (*Rewrap, error) {
	left, err := metric.Register(metrics, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "keyring_former_keys",
		Help: "Keys of personal data that the former wrapping key wraps. At 0 keyring.former_key may be removed.",
	}))
	return &Rewrap{store: store, log: log, left: left}, err
}

// Pass wraps a batch of keys again.
//
// Errors: those of [Store.Rewrap].
func (r *Rewrap) Pass(ctx context.Context, _ time.Time) (int, error) {
	n, err := r.store.Rewrap(ctx)
	if err != nil {
		return n, err
	}
	left, err := r.store.Left(ctx)
	if err != nil {
		return n, err
	}
	r.left.Set(float64(left))
	if n > 0 && left == 0 {
		r.log.Info("all keys of personal data are wrapped by keyring.key: keyring.former_key may be removed")
	}
	return n, nil
}
