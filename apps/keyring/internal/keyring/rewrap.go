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

// Pass wraps all keys again, batch by batch.
//
// Errors: those of [Store.Rewrap].
func (r *Rewrap) Pass(ctx context.Context, _ time.Time) (total int, err error) {
	unreadable := 0
	for after := (Position{}); ; {
		next, n, bad, err := r.store.Rewrap(ctx, after)
		if err != nil {
			return total, err
		}
		total, unreadable = total+n, unreadable+bad
		if after = next; after == (Position{}) {
			break
		}
	}
	if unreadable > 0 {
		r.log.Error(
			"keys of personal data cannot be unwrapped: they were altered, or the key that wraps them is neither "+
				"keyring.key nor keyring.former_key",
			zap.Int("keys", unreadable),
		)
	}
	left, err := r.store.Left(ctx)
	if err != nil {
		return total, err
	}
	r.left.Set(float64(left))
	if total > 0 && left == 0 {
		r.log.Info("all keys of personal data are wrapped by keyring.key")
	}
	return total, nil
}
