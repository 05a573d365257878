package outbox_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"souk/pkg/clock"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/failpoint"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/waittest"
)

func port(t testing.TB, address string, o *natsserver.Options) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	o.Port, err = strconv.Atoi(u.Port())
	require.NoError(t, err)
}

func TestEnsureStreamsConfiguresStreams(t *testing.T) {
	t.Parallel()
	h := setup(t)
	small := outbox.Streams{MaxBytes: 1 << 20, MaxDeadBytes: 1 << 20} // fits the disk of any machine
	require.NoError(t, outbox.EnsureStreams(t.Context(), h.js, small))
	require.Zero(t, updates(t, h, small), "streams that are up to date are not updated")
	s, err := h.js.Stream(t.Context(), outbox.StreamEvents)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	require.Equal(t, []string{"evt.>"}, cfg.Subjects)
	require.Equal(t, jetstream.LimitsPolicy, cfg.Retention)
	require.Equal(t, jetstream.DiscardNew, cfg.Discard)
	require.Equal(t, jetstream.FileStorage, cfg.Storage)
	require.True(t, cfg.AllowAtomicPublish)
	require.Equal(t, 10*time.Second, cfg.Duplicates)
	require.GreaterOrEqual(t, cfg.MaxAge, 7*24*time.Hour)

	require.NoError(
		t,
		outbox.EnsureStreams(t.Context(), h.js, outbox.Streams{MaxAge: 10 * 24 * time.Hour, MaxBytes: 1 << 20}),
	)
	s, err = h.js.Stream(t.Context(), outbox.StreamEvents)
	require.NoError(t, err)
	require.Equal(t, 10*24*time.Hour, s.CachedInfo().Config.MaxAge, "settings are brought up to date")
}

// updates is how many updates another call of EnsureStreams asks the server for.
func updates(t *testing.T, h *harness, s outbox.Streams) int {
	t.Helper()
	requests, err := h.js.Conn().SubscribeSync("$JS.API.STREAM.UPDATE.>")
	require.NoError(t, err)
	require.NoError(t, outbox.EnsureStreams(t.Context(), h.js, s))
	require.NoError(t, h.js.Conn().Flush())
	pending, _, err := requests.Pending()
	require.NoError(t, err)
	require.NoError(t, requests.Unsubscribe())
	return pending
}

// The server refuses a stream that is larger than its disk. Then the disk is the limit, and the next process that
// starts asks again, but changes nothing: an update interrupts all users of the stream.
func TestEnsureStreamsOnSmallDisk(t *testing.T) {
	t.Parallel()
	h := &harness{t: t}
	h.nats = natstest.Start(t, natsserver.Options{
		StoreDir: t.TempDir(), NoSync: true, Password: password, MaxStore: 4 << 20,
	})
	h.connect()
	require.NoError(t, outbox.EnsureStreams(t.Context(), h.js, outbox.Streams{}))
	for _, name := range []string{outbox.StreamEvents, outbox.StreamDead} {
		s, err := h.js.Stream(t.Context(), name)
		require.NoError(t, err)
		require.EqualValues(t, -1, s.CachedInfo().Config.MaxBytes)
	}
	require.Equal(t, 2, updates(t, h, outbox.Streams{}), "one refused update for each stream")
	require.Zero(t, updates(t, h, outbox.Streams{MaxBytes: -1, MaxDeadBytes: -1}))
}

// A relay that dies after it has published and before it has marked must not duplicate effects.
func TestRelayDeathBetweenPublishAndMarkDuplicatesNoEffect(t *testing.T) {
	for name, forget := range map[string]bool{"dropped by message ID": false, "dropped by the inbox": true} {
		t.Run(name, func(t *testing.T) {
			h := setup(t)
			hit := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			disable := failpoint.Enable("outbox.after_publish", failpoint.Call(func(context.Context) error {
				close(hit)
				cancel() // the first relay stops here
				return errors.New("killed")
			}).Times(1))
			defer disable()

			h.provision()
			for i := range 20 {
				h.append(h.events(aggregate(i), 3)...)
			}
			require.NoError(t, h.relay().Run(ctx))
			waittest.Receive(t, hit)
			require.Equal(t, 60, h.pending(), "published, but not marked")
			require.EqualValues(t, 60, h.streamMessages())
			h.run(h.consumer(h.options("a")))
			if forget { // JetStream loses its messages, and the IDs by which it drops duplicates
				h.exactly("a", 60)
				require.NoError(t, h.js.DeleteStream(t.Context(), outbox.StreamEvents))
			}
			h.run(h.relay())
			waittest.Until(h.t, func() bool { return h.pending() == 0 }, "not marked")
			h.exactly("a", 60)
			require.EqualValues(t, 60, h.streamMessages())
		})
	}
}

// A relay that stops between two batches marks the published rows.
func TestStoppedRelayMarksWhatItPublished(t *testing.T) {
	h := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer failpoint.Enable("outbox.after_publish", failpoint.Call(func(context.Context) error {
		cancel()
		return nil
	}).Times(1))()
	h.provision()
	for i := range 20 {
		h.append(h.events(aggregate(i), 3)...)
	}
	require.NoError(t, outbox.NewRelay(h.pool, h.js, outbox.Options{Service: "order", Batch: 20}).Run(ctx))
	require.EqualValues(t, 20, h.streamMessages())
	require.Equal(t, 40, h.pending())
}

func TestSeveralRelaysKeepOrder(t *testing.T) {
	t.Parallel()
	for name, pooled := range map[string]bool{"own sessions": false, "a pooler in transaction mode": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			if pooled {
				h.behindPooler()
			}
			for range 3 {
				h.run(h.relay())
			}
			h.run(h.consumer(h.options("a")))
			var wg sync.WaitGroup
			const writers, each = 8, 60
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						if err := outbox.Append(
							context.Background(),
							h.pool,
							h.event(aggregate(w), int64(i+1)),
						); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			h.exactly("a", writers*each)
			require.EqualValues(t, writers*each, h.streamMessages())
			waittest.Until(h.t, func() bool { return h.pending() == 0 }, "not marked")
		})
	}
}

// Writers lock an aggregate's row first, so its events are in the order of its versions.
func TestOrderOfEachAggregateIsKept(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.pool.Exec(t.Context(), `create table thing (id text primary key, version bigint not null)`)
	require.NoError(t, err)
	r1, r2 := h.relay(), h.relay()
	h.run(r1)
	h.run(r2)
	h.run(h.consumer(h.options("a")))
	total, checks := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		if checks++; checks > 15 {
			return // each check waits for its events
		}
		things := rapid.IntRange(1, 5).Draw(rt, "things")
		writers := rapid.IntRange(1, 8).Draw(rt, "writers")
		each := rapid.IntRange(1, 12).Draw(rt, "each")
		wake := rapid.Bool().Draw(rt, "wake")
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					id := aggregate((w + i) % things)
					err := postgres.InTx(context.Background(), h.pool, func(tx pgx.Tx) error {
						var version int64
						if err := tx.QueryRow(context.Background(), `insert into thing (id, version) values ($1, 1)
							on conflict (id) do update set version = thing.version + 1 returning version`, id).Scan(&version); err != nil {
							return err
						}
						return outbox.Append(context.Background(), tx, h.event(id, version))
					})
					if err != nil {
						t.Error(err)
						return
					}
					if wake {
						r1.Wake()
					}
				}
			})
		}
		wg.Wait()
		total += writers * each
		h.exactly("a", total)
	})
}

func TestEventsSurviveNATSRestartUnderLoad(t *testing.T) {
	t.Parallel()
	h := setup(t)
	r := h.relay()
	h.run(r)
	h.run(h.consumer(h.options("a")))

	written := make(chan int, 1)
	stop := make(chan struct{})
	go func() {
		n := 0
		defer func() { written <- n }()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if err := outbox.Append(context.Background(), h.pool, h.event(aggregate(n%7), int64(n+1))); err != nil {
				t.Error(err)
				return
			}
			n++
			r.Wake()
		}
	}()
	waittest.Until(h.t, func() bool { return h.effects("a") > 50 }, "nothing arrives")
	for range 2 {
		before := h.effects("a")
		h.restartNATS(func() {
			waittest.Until(h.t, func() bool { return h.pending() > 100 }, "writers are held up")
		})
		waittest.Until(h.t, func() bool { return h.effects("a") > before+150 }, "the consumer does not continue")
	}
	close(stop)
	n := waittest.Receive(t, written)
	h.once("a", n)
	waittest.Until(h.t, func() bool { return h.pending() == 0 }, "unsent rows")
}

func TestReplayRestoresWipedJetStream(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	h.run(h.consumer(h.options("a")))
	h.run(h.consumer(h.options("b")))
	since := time.Now().Add(-time.Hour)
	for i := range 40 {
		h.append(h.events(aggregate(i), 5)...)
	}
	h.exactly("a", 200)
	h.exactly("b", 200)

	h.restartNATS(func() {
		require.NoError(h.t, os.RemoveAll(filepath.Join(h.store, "jetstream")))
		h.append(h.events("ord_meanwhile", 5)...)
	})
	waittest.Until(h.t, func() bool { return h.pending() == 0 }, "the relay does not continue")
	n, err := outbox.Replay(t.Context(), h.pool, h.js, "order", since)
	require.NoError(t, err)
	require.Equal(t, 205, n)
	h.once("a", 205)
	h.once("b", 205)
	require.EqualValues(t, 205, h.streamMessages(), "all of the stream is there again")

	o := h.options("newcomer") // a new consumer gets every event
	h.run(h.consumer(o))
	waittest.Until(h.t, func() bool { return h.effects("newcomer") == 205 }, "events are missing")
}

// busyJetStream does not take the first messages.
type busyJetStream struct {
	jetstream.JetStream
	refuses atomic.Int32
}

func (j *busyJetStream) PublishMsg(
	ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt,
) (*jetstream.PubAck, error) {
	if j.refuses.Add(-1) >= 0 {
		return nil, nats.ErrTimeout
	}
	return j.JetStream.PublishMsg(ctx, m, opts...)
}

func TestReplayRepeatsWhatJetStreamDoesNotTake(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.provision()
	h.append(append(h.events("ord_a", 1), h.events("ord_b", 1)...)...)
	busy := &busyJetStream{JetStream: h.js}
	busy.refuses.Store(3) // both of the first try, and one of the second
	n, err := outbox.Replay(t.Context(), h.pool, busy, "order", time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.EqualValues(t, 2, h.streamMessages())
	require.Zero(t, h.pending())
}

func TestRelaySurvivesPostgresEndingItsSessions(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(h.relay())
	h.run(h.consumer(h.options("a")))
	conn, err := pgx.Connect(t.Context(), h.pool.Config().ConnString())
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	for i := range 10 {
		_, err := conn.Exec(
			t.Context(),
			`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
		)
		require.NoError(t, err)
		require.NoError(t, outbox.Append(t.Context(), conn, h.events(aggregate(i), 10)...))
	}
	waittest.Until(h.t, func() bool {
		var n int
		return conn.QueryRow(t.Context(), `select count(*) from effect`).Scan(&n) == nil && n >= 100
	}, "events are missing")
	h.exactly("a", 100)
}

func TestRelayPrunesAndMeasures(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.append(h.events("ord_old", 3)...)
	_, err := h.pool.Exec(t.Context(), `update outbox set sent_at = now()`)
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	now := clock.NewManual(time.Now().Add(8 * 24 * time.Hour))
	h.run(outbox.NewRelay(h.pool, h.js, outbox.Options{Service: "order", Clock: now, Metrics: registry}))
	waittest.Until(h.t, func() bool { return h.count(`select count(*) from outbox`) == 0 }, "not pruned")

	h.append(h.events("ord_new", 4)...)
	waittest.Until(h.t, func() bool { return h.pending() == 0 }, "not sent")
	n, err := testutil.GatherAndCount(registry, "event_published_total", "outbox_pending", "outbox_oldest_seconds")
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

func TestRelayStartsWithoutNATS(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.restartNATS(func() {
		h.run(h.relay())
		h.append(h.events("ord_1", 20)...)
	})
	h.run(h.consumer(h.options("a")))
	h.exactly("a", 20)
}

func TestOutboxesOfSeveralServicesShareOneStream(t *testing.T) {
	t.Parallel()
	h := setup(t)
	other := pgtest.New(t, outbox.Migrations())
	publisher := outbox.NewPublisher(h.js)
	h.run(outbox.NewRelay(h.pool, h.js, outbox.Options{Service: "order", Publisher: publisher}))
	h.run(outbox.NewRelay(other, h.js, outbox.Options{Service: "payment", Publisher: publisher}))
	h.run(h.consumer(h.options("a")))
	h.append(h.events("ord_1", 5)...)
	require.NoError(t, outbox.Append(t.Context(), other, h.events("pay_1", 5)...))
	h.exactly("a", 10)
}

// A wake during a tick, or while another relay holds the lock, must not wait for the next poll.
func TestWakesAreNotLost(t *testing.T) {
	t.Parallel()
	h := setup(t)
	never := outbox.Options{Service: "order", Poll: time.Hour}
	one, two := outbox.NewRelay(h.pool, h.js, never), outbox.NewRelay(h.pool, h.js, never)
	h.run(one)
	h.run(two)
	for i := range 50 {
		h.append(h.event("a"+strconv.Itoa(i), 1))
		one.Wake()
		h.append(h.event("b"+strconv.Itoa(i), 1))
		two.Wake()
	}
	waittest.Until(h.t, func() bool { return h.pending() == 0 }, "an event waits for a poll that never comes")
}
