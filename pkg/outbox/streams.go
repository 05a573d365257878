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
	// StreamEvents holds every event of souk, by default as long as an outbox keeps it.
	StreamEvents = "EVENTS"
	// StreamDead holds the dead letters: events that consumers could not handle.
	StreamDead = "DEAD"

	subjectsEvents = "evt.>"
	prefixDead     = "dlq."
	subjectsDead   = prefixDead + ">"
)

// duplicates is how long JetStream remembers the ID of an event and drops copies of it. A relay publishes a copy
// when it got no acknowledgement, or after it died. Later copies reach consumers, whose inboxes drop them. The
// server keeps 150 bytes in memory for each event of that time: 6 MB at 700 checkouts/s. The usual two minutes
// would take 75 MB.
const duplicates = 2 * publishTimeout

// Streams limits the streams. The zero value is right for one server.
type Streams struct {
	// Replicas is the number of replicas of each stream; 0: 1. A cluster has 3.
	Replicas int `yaml:"replicas"`
	// MaxAge is how long events are kept; 0: 7 days.
	MaxAge time.Duration `yaml:"max_age"`
	// MaxBytes limits the stream of events; 0: 8 GiB. Events that do not fit wait in the outboxes.
	MaxBytes int64 `yaml:"max_bytes"`
	// MaxDeadBytes limits the dead letters; 0: 512 MiB.
	MaxDeadBytes int64 `yaml:"max_dead_bytes"`
	// MaxDeadAge is how long dead letters are kept; 0: 90 days.
	MaxDeadAge time.Duration `yaml:"max_dead_age"`
}

// EnsureStreams creates the streams of events and of dead letters, or updates their settings. Many processes may call
// it, any number of times.
//
// Errors: unavailable.
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
			Duplicates:  2 * time.Minute, // there are few letters, and no inbox drops a copy
			MaxAge:      cmp.Or(s.MaxDeadAge, 90*24*time.Hour),
			MaxBytes:    cmp.Or(s.MaxDeadBytes, 512<<20),
			Replicas:    replicas,
			AllowDirect: true,
		},
	} {
		if err := ensureStream(ctx, js, cfg); err != nil {
			return errs.Wrap(err, errs.Unavailable, "the stream %s cannot be set up", cfg.Name).
				WithRetryAfter(time.Second)
		}
	}
	return nil
}

// insufficientStorage is the server's error when its store is smaller than a stream's MaxBytes.
const insufficientStorage jetstream.ErrorCode = 10047

// ensureStream updates a stream only if its settings differ. Many processes start at the same time, and each update
// interrupts all users of the stream.
func ensureStream(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) error {
	stream, err := js.Stream(ctx, cfg.Name)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	exists := err == nil
	if exists && upToDate(stream.CachedInfo().Config, cfg) {
		return nil
	}
	_, err = js.CreateOrUpdateStream(ctx, cfg)
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != insufficientStorage {
		return err
	}
	cfg.MaxBytes = -1 // the server's own limit is lower, and also refuses new messages
	if exists && upToDate(stream.CachedInfo().Config, cfg) {
		return nil
	}
	_, err = js.CreateOrUpdateStream(ctx, cfg)
	return err
}

// upToDate reports whether a stream has the wanted settings. Settings that souk leaves to the server do not count.
func upToDate(have, want jetstream.StreamConfig) bool {
	changed := have
	changed.Description, changed.Subjects = want.Description, want.Subjects
	changed.Retention, changed.Discard, changed.Storage = want.Retention, want.Discard, want.Storage
	changed.Duplicates, changed.Replicas = want.Duplicates, want.Replicas
	changed.MaxAge, changed.MaxBytes = want.MaxAge, want.MaxBytes
	changed.AllowDirect, changed.AllowAtomicPublish = want.AllowDirect, want.AllowAtomicPublish
	return reflect.DeepEqual(have, changed)
}
