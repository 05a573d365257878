package outbox

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/errs"
)

// provisionInterval is how often a Provisioner looks for what is missing, for example because JetStream's files were
// deleted.
const provisionInterval = time.Second

// streamInterval is how often a Provisioner measures the streams.
const streamInterval = 5 * time.Second

// Durable is a durable consumer in JetStream. Relays and consumers of souk use streams and durable consumers; only a
// [Provisioner] creates them.
type Durable struct {
	// Name is "{service}_{purpose}".
	Name string
	// Subjects are those of the events that it gets.
	Subjects []string
	// AckWait is the time after which an unacknowledged event is delivered again, for example when its process has
	// died; 0: 5 s.
	AckWait time.Duration
	// MaxAckPending is the most events that are delivered and not acknowledged; 0: 1,000.
	MaxAckPending int
}

// NewDurable returns the durable consumer of a service for a purpose.
func NewDurable(service, purpose string, subjects []string) Durable {
	return Durable{Name: durableName(service, purpose), Subjects: subjects}
}

func durableName(service, purpose string) string { return service + "_" + purpose }

func (d Durable) config() jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		Durable:        d.Name,
		Description:    "events for " + d.Name,
		FilterSubjects: d.Subjects,
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        d.AckWait,
		// The consumer limits the attempts itself: the server would drop an event without a dead letter.
		MaxDeliver:    -1,
		MaxAckPending: max(d.MaxAckPending, minAckPending),
	}
	if cfg.AckWait == 0 {
		cfg.AckWait = defaultAckWait
	}
	return cfg
}

const (
	defaultAckWait = 5 * time.Second
	minAckPending  = 1000
)

// Provisioner creates the streams and the durable consumers, updates their settings when it starts, and creates those
// that are missing later. Several may run at the same time.
type Provisioner struct {
	js       jetstream.JetStream
	streams  Streams
	durables []Durable
	log      *zap.Logger
	metrics  streamMetrics
	done     atomic.Bool // the streams and consumers have been set up once
}

// NewProvisioner returns a provisioner; run it with [Provisioner.Run]. It registers the metrics of streams with r, which
// may be nil.
func NewProvisioner(
	js jetstream.JetStream, s Streams, durables []Durable, log *zap.Logger, r prometheus.Registerer,
) *Provisioner {
	return &Provisioner{js: js, streams: s, durables: durables, log: log, metrics: newStreamMetrics(r)}
}

// Ready returns nil once the streams and consumers have been set up.
//
// Errors: unavailable.
func (p *Provisioner) Ready(context.Context) error {
	if !p.done.Load() {
		return errs.New(errs.Unavailable, "the event streams are not set up yet")
	}
	return nil
}

// Run provisions and measures until ctx ends.
func (p *Provisioner) Run(ctx context.Context) error {
	var measuring sync.WaitGroup
	defer measuring.Wait()
	measuring.Go(func() {
		_ = chore.Chore{ // it returns nil
			Name: "measure streams", Every: streamInterval, Clock: clock.System{}, Logger: p.log,
			Pass: func(ctx context.Context, _ time.Time) (int, error) {
				if !p.done.Load() || !p.js.Conn().IsConnected() {
					return 0, nil
				}
				return 0, p.measure(ctx)
			},
		}.Run(ctx)
	})
	return chore.Chore{
		Name: "provision streams", Every: provisionInterval, Clock: clock.System{}, Logger: p.log,
		Pass: func(ctx context.Context, _ time.Time) (int, error) {
			if !p.js.Conn().IsConnected() {
				return 0, nil
			}
			return 0, p.Provision(ctx)
		},
	}.Run(ctx)
}

// Provision creates what is missing. The first successful call also updates the settings of consumers.
//
// Errors: unavailable.
func (p *Provisioner) Provision(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := EnsureStreams(ctx, p.js, p.streams); err != nil {
		return err
	}
	exists := map[string]bool{}
	if p.done.Load() {
		stream, err := p.js.Stream(ctx, StreamEvents)
		if err != nil {
			return errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
		}
		names := stream.ConsumerNames(ctx)
		for name := range names.Name() {
			exists[name] = true
		}
		if err := names.Err(); err != nil {
			return errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
		}
	}
	for _, d := range p.durables {
		if exists[d.Name] {
			continue
		}
		if _, err := p.js.CreateOrUpdateConsumer(ctx, StreamEvents, d.config()); err != nil {
			return errs.Wrap(err, errs.Unavailable, "the consumer %s cannot be set up", d.Name)
		}
	}
	p.done.Store(true)
	return nil
}

// measure sets the gauges of streams, consumers and dead letters.
//
// Errors: unavailable.
func (p *Provisioner) measure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := p.measureConsumers(ctx); err != nil {
		return errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
	}
	dead, err := p.js.Stream(ctx, StreamDead)
	if err != nil {
		return errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
	}
	info, err := dead.Info(ctx, jetstream.WithSubjectFilter(subjectsDead))
	if err != nil {
		return errs.Wrap(err, errs.Unavailable, "JetStream does not answer")
	}
	p.metrics.stream(info)
	letters := map[string]uint64{}
	for _, d := range p.durables {
		letters[d.Name] = 0
	}
	for subject, n := range info.State.Subjects {
		consumer, _, _ := strings.Cut(strings.TrimPrefix(subject, prefixDead), ".")
		letters[consumer] += n
	}
	p.metrics.letters.Reset() // also a consumer that a release no longer has
	for consumer, n := range letters {
		p.metrics.letters.WithLabelValues(consumer).Set(float64(n))
	}
	return nil
}

func (p *Provisioner) measureConsumers(ctx context.Context) error {
	events, err := p.js.Stream(ctx, StreamEvents)
	if err != nil {
		return err
	}
	p.metrics.stream(events.CachedInfo())
	ours := map[string]bool{}
	for _, d := range p.durables {
		ours[d.Name] = true
	}
	list := events.ListConsumers(ctx)
	for c := range list.Info() {
		if ours[c.Name] { // the others end with a command of an operator
			p.metrics.pending.WithLabelValues(c.Name).Set(float64(c.NumPending) + float64(c.NumAckPending))
		}
	}
	return list.Err()
}

func (m streamMetrics) stream(i *jetstream.StreamInfo) {
	m.bytes.WithLabelValues(i.Config.Name).Set(float64(i.State.Bytes))
	if i.Config.MaxBytes > 0 {
		m.limit.WithLabelValues(i.Config.Name).Set(float64(i.Config.MaxBytes))
	}
}
