package setting

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/chore"
	"souk/pkg/errs"
	"souk/pkg/flag"
	"souk/pkg/metric"
)

// Subjects returns the events after which processes read the settings and flags again.
func Subjects() []string { return []string{"evt.settings.changed", "evt.flag.changed"} }

const (
	// poll is how often a client asks although it was not woken, in case an event was lost.
	poll = 5 * time.Second
	// retryAfter is the interval of attempts while the settings service does not answer.
	retryAfter = 250 * time.Millisecond
	// startTimeout is how long a process waits for its first values before it goes on with those of its configuration.
	startTimeout = 2 * time.Second
	// callTimeout is of one call.
	callTimeout = 2 * time.Second
)

// Service is the settings service, as far as clients need it.
type Service interface {
	GetSnapshot(
		ctx context.Context, r *settingsv1.GetSnapshotRequest, opts ...grpc.CallOption,
	) (*settingsv1.GetSnapshotResponse, error)
}

// Options are the dependencies of a [Client]. All are required.
type Options struct {
	Service Service
	// Listen calls wake when settings or flags have changed, until the function that it returns is called.
	Listen func(wake func()) (stop func(), err error)
	// Configured are the values of the settings that the service applies, by its configuration.
	Configured Values
	Logger     *zap.Logger
	Metrics    prometheus.Registerer
}

// Client has the settings and flags in memory. It is safe for concurrent use.
type Client struct {
	Options
	flags   atomic.Pointer[flag.Set]
	known   atomic.Bool
	changes prometheus.Counter
	asked   prometheus.Gauge
	loaded  chan struct{} // closed when the client has its first values, or goes on without them
	once    sync.Once

	mu      sync.Mutex
	last    *settingsv1.GetSnapshotResponse // nil: none yet
	values  Values
	derived []func(Values)
	changed []func()
}

// NewClient returns a client. Its values are those of the configuration until Run has loaded others.
func NewClient(o Options) (*Client, error) {
	c := &Client{Options: o, values: o.Configured, loaded: make(chan struct{})}
	c.flags.Store(flag.NewSet(nil))
	var err error
	if c.changes, err = metric.Register(o.Metrics, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "settings_change_total", Help: "Changes of system settings or feature flags that were applied.",
	})); err != nil {
		return nil, err
	}
	c.asked, err = metric.Register(o.Metrics, prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "settings_loaded_timestamp_seconds",
		Help: "When the settings and flags were last known to be up to date.",
	}))
	return c, err
}

// Flags returns the flags as they are now.
func (c *Client) Flags() *flag.Set { return c.flags.Load() }

// View is a value that is derived from the settings.
type View[T any] struct{ now atomic.Pointer[T] }

// Load returns the value as it is now.
func (v *View[T]) Load() T { return *v.now.Load() }

// Derive returns a view of what f makes of the settings' values. F is called at once and after each change. It must
// neither keep nor change its argument.
func Derive[T any](c *Client, f func(Values) T) *View[T] {
	v := &View[T]{}
	store := func(values Values) {
		t := f(values)
		v.now.Store(&t)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	store(c.values)
	c.derived = append(c.derived, store)
	return v
}

// OnChange calls f whenever values were loaded that differ from those before, after all views have them. F must not
// call the client.
func (c *Client) OnChange(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = append(c.changed, f)
}

// Loaded reports whether the values were ever loaded. If not, they are those of the configuration.
func (c *Client) Loaded() bool { return c.known.Load() }

// Run keeps the values up to date until ctx ends. It logs the first failure of several, and the success that ends them.
func (c *Client) Run(ctx context.Context) error {
	wake := chore.NewWake()
	stop, err := c.Listen(wake.Now)
	if err != nil {
		return err
	}
	defer stop()
	timeout := time.AfterFunc(startTimeout, c.goOn)
	defer timeout.Stop()
	failing := false
	return chore.Loop(ctx, wake, func(ctx context.Context, _ bool) (time.Duration, error) {
		err := c.Refresh(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil && !failing:
			c.Logger.Warn("the settings cannot be read; the last values stay", zap.Error(err))
		case err == nil && failing:
			c.Logger.Info("the settings are read again")
		}
		if failing = err != nil; failing {
			return retryAfter, nil
		}
		return poll, nil
	})
}

// Ready returns nil once the client has loaded its values, or has waited for them for two seconds.
//
// Errors: unavailable.
func (c *Client) Ready(context.Context) error {
	select {
	case <-c.loaded:
		return nil
	default:
		return errs.New(errs.Unavailable, "the settings are not loaded yet")
	}
}

func (c *Client) goOn() { c.once.Do(func() { close(c.loaded) }) }

// Refresh loads the values. When it returns nil, they are at least as new as its call.
//
// Errors: those of SettingsService.GetSnapshot.
func (c *Client) Refresh(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	configured, err := ValuesToProto(c.Configured)
	if err != nil {
		return err
	}
	r := &settingsv1.GetSnapshotRequest{}
	if c.last == nil { // the service keeps them
		r.Configured = configured
	}
	snapshot, err := c.Service.GetSnapshot(ctx, r)
	if err != nil {
		return err
	}
	c.asked.SetToCurrentTime()
	c.known.Store(true)
	changed := c.last == nil || !proto.Equal(c.last, snapshot)
	c.last = snapshot
	if changed {
		c.apply(snapshot)
		c.changes.Inc()
		for _, f := range c.changed {
			f()
		}
	}
	c.goOn()
	return nil
}

// apply makes a snapshot the client's values. A value that this program does not accept, because another version of
// souk has stored it, is left out. So is such a flag.
func (c *Client) apply(snapshot *settingsv1.GetSnapshotResponse) {
	values := Values{}
	maps.Copy(values, c.Configured)
	for key, v := range snapshot.GetValues() {
		d, ok := Find(key)
		if !ok {
			continue // of a newer version of souk
		}
		value, err := d.Accept(v.AsInterface())
		if err != nil {
			c.Logger.Warn("a setting has an invalid value; its default applies", zap.String("key", key), zap.Error(err))
			continue
		}
		values[key] = value
	}
	var flags []flag.Flag
	for _, f := range snapshot.GetFlags() {
		valid := FlagFromProto(f)
		if err := valid.Validate(); err != nil {
			c.Logger.Warn("a flag is invalid and left out", zap.String("key", f.GetKey()), zap.Error(err))
			continue
		}
		flags = append(flags, valid)
	}
	c.values = values
	for _, store := range c.derived {
		store(values)
	}
	c.flags.Store(flag.NewSet(flags))
}
