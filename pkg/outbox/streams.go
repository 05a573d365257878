package outbox

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"souk/pkg/errs"
)

const (
	// StreamEvents holds every event of souk, as long as an outbox does.
	StreamEvents = "EVENTS"
	// StreamDead holds what consumers could not take in.
	StreamDead = "DEAD"

	subjectsEvents = "evt.>"
	prefixDead     = "dlq."
	subjectsDead   = prefixDead + ">"
)

// duplicates is for how long JetStream drops events that it has already. It spares consumers what a relay publishes again
// that heard no acknowledgement, or died; what comes later the inboxes drop. The server keeps 150 bytes of its memory for
// each event of that time: 6 MB at 700 checkouts a second, where the usual two minutes would take 75.
const duplicates = 2 * publishTimeout

// Streams bounds the streams. The zero value is right for one server.
type Streams struct {
	// Replicas of each stream; 0: 1. A cluster has 3.
	Replicas int `yaml:"replicas"`
	// MaxAge is how long events stay; 0: 7 days.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes bounds the stream of events; 0: 8 GiB. What does not fit waits in the outboxes.
	MaxBytes int64 `yaml:"max_bytes"`
	// MaxDeadBytes bounds the dead letters; 0: 512 MiB.
	MaxDeadBytes int64 `yaml:"max_dead_bytes"`
	// MaxDeadAge is how long dead letters stay; 0: 90 days.
	MaxDeadAge time.Duration `yaml:"max_dead_age"`
}

// EnsureStreams creates the streams of events and of dead letters, or brings their settings up to date.
// It may be called by many processes, any number of times. Its errors: unavailable.
func EnsureStreams(ctx context.Context, js jetstream.JetStream, s Streams) error {
	replicas := max(s.Replicas, 1)
	for _, cfg := range []jetstream.StreamConfig{
		{
			Name:               StreamEvents,
			Description:        "what happened in souk; rebuilt from the outboxes with souk events replay",
			Subjects:           []string{subjectsEvents},
			Retention:          jetstream.LimitsPolicy,
			Discard:            jetstream.DiscardNew,
			Storage:            jetstream.FileStorage,
			Duplicates:         duplicates,
			MaxAge:             cmp.Or(s.MaxAge, Retain),
			MaxBytes:           cmp.Or(s.MaxBytes, 8<<30),
			Replicas:           replicas,
			AllowDirect:        true,
			AllowAtomicPublish: true,
		},
		{
			Name:        StreamDead,
			Description: "events that a consumer gave up; see souk events dlq",
			Subjects:    []string{subjectsDead},
			Retention:   jetstream.LimitsPolicy,
			Discard:     jetstream.DiscardNew,
			Storage:     jetstream.FileStorage,
			Duplicates:  2 * time.Minute, // there are few, and no inbox drops a second letter
			MaxAge:      cmp.Or(s.MaxDeadAge, 90*24*time.Hour),
			MaxBytes:    cmp.Or(s.MaxDeadBytes, 512<<20),
			Replicas:    replicas,
			AllowDirect: true,
		},
	} {
		if err := ensureStream(ctx, js, cfg); err != nil {
			return errs.Wrap(err, errs.Unavailable, "the stream %s cannot be set up", cfg.Name).WithRetryAfter(time.Second)
		}
	}
	return nil
}

// insufficientStorage is what a server answers whose store is smaller than a stream's MaxBytes.
const insufficientStorage jetstream.ErrorCode = 10047

// ensureStream updates nothing that is as it should be: many processes start at once, and each update interrupts those
// who work on the stream.
func ensureStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) error {
	stream, err := js.Stream(ctx, cfg.Name)
	switch {
	case err == nil && set(stream.CachedInfo().Config, cfg):
		return nil
	case err != nil && !errors.Is(err, jetstream.ErrStreamNotFound):
		return err
	}
	_, err = js.CreateOrUpdateStream(ctx, cfg)
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == insufficientStorage {
		cfg.MaxBytes = -1 // the server's own limit is the tighter one, and refuses new messages just so
		_, err = js.CreateOrUpdateStream(ctx, cfg)
	}
	return err
}

// set reports whether a stream has the settings that we want; what we leave to the server counts for nothing.
func set(have, want jetstream.StreamConfig) bool {
	changed := have
	changed.Description, changed.Subjects = want.Description, want.Subjects
	changed.Retention, changed.Discard, changed.Storage = want.Retention, want.Discard, want.Storage
	changed.Duplicates, changed.MaxAge, changed.MaxBytes, changed.Replicas = want.Duplicates, want.MaxAge, want.MaxBytes, want.Replicas
	changed.AllowDirect, changed.AllowAtomicPublish = want.AllowDirect, want.AllowAtomicPublish
	return reflect.DeepEqual(have, changed)
}

// streamGone reports whether err says that the stream or the consumer does not exist any more, as after
// all of JetStream's files were deleted.
func streamGone(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) ||
		errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, jetstream.ErrNoStreamResponse)
}

// requireStreams creates the streams when one is missing, and leaves those that are there as they are.
func requireStreams(ctx context.Context, js jetstream.JetStream, s Streams) error {
	for _, name := range []string{StreamEvents, StreamDead} {
		if _, err := js.Stream(ctx, name); err != nil {
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				return EnsureStreams(ctx, js, s)
			}
			return errs.Wrap(err, errs.Unavailable, "JetStream does not answer").WithRetryAfter(time.Second)
		}
	}
	return nil
}
