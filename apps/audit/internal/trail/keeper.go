package trail

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"souk/pkg/audit"
	"souk/pkg/metric"
)

// KeeperOptions are the dependencies of a [Keeper]. All but File are required.
type KeeperOptions struct {
	Store *Store
	Key   ed25519.PrivateKey
	// File gets each checkpoint as a line; "": none.
	File string
	// Retain is how long entries are kept; 0: for ever.
	Retain time.Duration
	// Wake wakes the relay after a checkpoint's event.
	Wake    func()
	Logger  *zap.Logger
	Metrics prometheus.Registerer
}

// Keeper signs the trail, checks it, and removes what is too old.
type Keeper struct {
	KeeperOptions
	intact, last prometheus.Gauge

	mu   sync.Mutex
	seen *audit.Checkpoint // the last position that was checked, signed for the next check
}

// NewKeeper returns a keeper.
func NewKeeper(o KeeperOptions) (*Keeper, error) {
	intact, err := metric.Register(o.Metrics, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "audit_trail_intact",
		Help: "1 if the last check found every entry of the audit trail as it was written, 0 if not.",
	}))
	if err != nil {
		return nil, err
	}
	intact.Set(1)
	last, err := metric.Register(o.Metrics, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "audit_trail_entries", Help: "Number of the last entry of the audit trail that was checked.",
	}))
	return &Keeper{KeeperOptions: o, intact: intact, last: last}, err
}

// Checkpoint signs what is new, and keeps the checkpoint in the log, in the event stream and in the file.
func (k *Keeper) Checkpoint(ctx context.Context, now time.Time) (int, error) {
	c, isNew, err := k.Store.Sign(ctx, k.Key, now)
	if err != nil || !isNew {
		return 0, err
	}
	k.Wake()
	k.Logger.Info("audit checkpoint", zap.Stringer("checkpoint", c))
	if k.File == "" {
		return 1, nil
	}
	f, err := os.OpenFile(k.File, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 1, err
	}
	_, err = f.WriteString(c.String() + "\n")
	return 1, errors.Join(err, f.Close())
}

// Verify checks the whole trail, and that it still has what the last check saw. Then it removes what is too old.
func (k *Keeper) Verify(ctx context.Context, now time.Time) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var kept []audit.Checkpoint
	if k.seen != nil {
		kept = append(kept, *k.seen)
	}
	public, _ := k.Key.Public().(ed25519.PublicKey)
	last, err := k.Store.Check(ctx, public, kept)
	if errors.Is(err, audit.ErrAltered) {
		k.intact.Set(0)
		k.Logger.Error("the audit trail was altered: see docs/runbooks/SoukAuditTrailAltered.md", zap.Error(err))
		return 0, err
	}
	if err != nil {
		return 0, err
	}
	k.intact.Set(1)
	k.last.Set(float64(last.Seq))
	if last.Seq > 0 {
		c := audit.Sign(k.Key, last, now)
		k.seen = &c
	}
	if k.Retain == 0 {
		return 0, nil
	}
	_, err = k.Store.Forget(ctx, k.Key, now.Add(-k.Retain), now)
	return 0, err
}
