package outbox_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"souk/pkg/clock"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/failpoint"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
)

func port(t testing.TB, address string, o *natsserver.Options) {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	o.Port, err = strconv.Atoi(u.Port())
	require.NoError(t, err)
}

func TestStreamsAreWhatIsPromised(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, outbox.EnsureStreams(t.Context(), b.js, outbox.Streams{}))
	updates, err := b.js.Conn().SubscribeSync("$JS.API.STREAM.UPDATE.>")
	require.NoError(t, err)
	require.NoError(t, outbox.EnsureStreams(t.Context(), b.js, outbox.Streams{}))
	require.NoError(t, b.js.Conn().Flush())
	pending, _, err := updates.Pending()
	require.NoError(t, err)
	require.Zero(t, pending, "what is as it should be is left alone")
	s, err := b.js.Stream(t.Context(), outbox.StreamEvents)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	require.Equal(t, []string{"evt.>"}, cfg.Subjects)
	require.Equal(t, jetstream.LimitsPolicy, cfg.Retention)
	require.Equal(t, jetstream.DiscardNew, cfg.Discard)
	require.Equal(t, jetstream.FileStorage, cfg.Storage)
	require.True(t, cfg.AllowAtomicPublish)
	require.Equal(t, 10*time.Second, cfg.Duplicates)
	require.GreaterOrEqual(t, cfg.MaxAge, 7*24*time.Hour)

	require.NoError(t, outbox.EnsureStreams(t.Context(), b.js, outbox.Streams{MaxAge: 10 * 24 * time.Hour}))
	s, err = b.js.Stream(t.Context(), outbox.StreamEvents)
	require.NoError(t, err)
	require.Equal(t, 10*24*time.Hour, s.CachedInfo().Config.MaxAge, "settings are brought up to date")
}

// What happens between publishing and marking must not matter.
func TestRelayDiesBetweenPublishAndMark(t *testing.T) {
	for name, forget := range map[string]bool{"dropped by message ID": false, "dropped by the inbox": true} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			hit := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			disable := failpoint.Enable("outbox.after_publish", failpoint.Call(func(context.Context) error {
				close(hit)
				cancel() // the first relay goes down here
				return errors.New("killed")
			}).Times(1))
			defer disable()

			for i := range 20 {
				b.append(b.events(aggregate(i), 3)...)
			}
			require.NoError(t, b.relay().Run(ctx))
			<-hit
			require.Equal(t, 60, b.pending(), "published, but not marked")
			require.EqualValues(t, 60, b.streamMessages())
			b.run(b.consumer(b.options("a")))
			if forget { // the broker loses what it has, and which messages those were
				b.exactly("a", 60)
				require.NoError(t, b.js.DeleteStream(t.Context(), outbox.StreamEvents))
			}
			b.run(b.relay())
			b.eventually(func() bool { return b.pending() == 0 }, "not marked")
			b.exactly("a", 60)
			require.EqualValues(t, 60, b.streamMessages())
		})
	}
}

// A relay that stops between two batches marks what is out.
func TestARelayThatStopsMarksWhatItPublished(t *testing.T) {
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	defer failpoint.Enable("outbox.after_publish", failpoint.Call(func(context.Context) error {
		cancel()
		return nil
	}).Times(1))()
	for i := range 20 {
		b.append(b.events(aggregate(i), 3)...)
	}
	require.NoError(t, outbox.NewRelay(b.pool, b.js, outbox.Options{Service: "order", Batch: 20}).Run(ctx))
	require.EqualValues(t, 20, b.streamMessages())
	require.Equal(t, 40, b.pending())
}

func TestSeveralRelaysKeepOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.run(b.relay())
	}
	b.run(b.consumer(b.options("a")))
	var wg sync.WaitGroup
	const writers, each = 8, 60
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := outbox.Append(context.Background(), b.pool, b.event(aggregate(w), int64(i+1))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.exactly("a", writers*each)
	require.EqualValues(t, writers*each, b.streamMessages())
}

// Writers of one aggregate take its row first; then its events are in the order of its versions.
func TestOrderOfEachAggregateProperty(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.pool.Exec(t.Context(), `create table thing (id text primary key, version bigint not null)`)
	require.NoError(t, err)
	r1, r2 := b.relay(), b.relay()
	b.run(r1)
	b.run(r2)
	b.run(b.consumer(b.options("a")))
	total, round := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		if round++; round > 15 {
			return // each round waits for its events
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
					err := postgres.InTx(context.Background(), b.pool, func(tx pgx.Tx) error {
						var version int64
						if err := tx.QueryRow(context.Background(), `insert into thing (id, version) values ($1, 1)
							on conflict (id) do update set version = thing.version + 1 returning version`, id).Scan(&version); err != nil {
							return err
						}
						return outbox.Append(context.Background(), tx, b.event(id, version))
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
		b.exactly("a", total)
	})
}

func TestNATSRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.relay()
	b.run(r)
	b.run(b.consumer(b.options("a")))

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
			if err := outbox.Append(context.Background(), b.pool, b.event(aggregate(n%7), int64(n+1))); err != nil {
				t.Error(err)
				return
			}
			n++
			r.Wake()
		}
	}()
	b.eventually(func() bool { return b.effects("a") > 50 }, "nothing arrives")
	for range 2 {
		before := b.effects("a")
		b.restartNATS(func() {
			b.eventually(func() bool { return b.pending() > 100 }, "writers are held up")
		})
		b.eventually(func() bool { return b.effects("a") > before+150 }, "it does not go on")
	}
	close(stop)
	n := <-written
	b.once("a", n)
	b.eventually(func() bool { return b.pending() == 0 }, "unsent rows")
}

func TestJetStreamWipedAndReplayed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	b.run(b.consumer(b.options("a")))
	b.run(b.consumer(b.options("b")))
	since := time.Now().Add(-time.Hour)
	for i := range 40 {
		b.append(b.events(aggregate(i), 5)...)
	}
	b.exactly("a", 200)
	b.exactly("b", 200)

	b.restartNATS(func() {
		require.NoError(b.t, os.RemoveAll(filepath.Join(b.store, "jetstream")))
		b.append(b.events("ord_meanwhile", 5)...)
	})
	b.eventually(func() bool { return b.pending() == 0 }, "the relay does not go on")
	n, err := outbox.Replay(t.Context(), b.pool, b.js, "order", since)
	require.NoError(t, err)
	require.Equal(t, 205, n)
	b.once("a", 205)
	b.once("b", 205)
	require.EqualValues(t, 205, b.streamMessages(), "all of the stream is there again")

	o := b.options("newcomer") // who was not there before gets everything
	b.run(b.consumer(o))
	b.eventually(func() bool { return b.effects("newcomer") == 205 }, "events are missing")
}

func TestRelaySurvivesPostgresEndingItsSessions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.run(b.relay())
	b.run(b.consumer(b.options("a")))
	conn, err := pgx.Connect(t.Context(), b.pool.Config().ConnString())
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	for i := range 10 {
		_, err := conn.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
		require.NoError(t, err)
		require.NoError(t, outbox.Append(t.Context(), conn, b.events(aggregate(i), 10)...))
	}
	b.eventually(func() bool {
		var n int
		return conn.QueryRow(t.Context(), `select count(*) from effect`).Scan(&n) == nil && n >= 100
	}, "events are missing")
	b.exactly("a", 100)
}

func TestRelayPrunesAndMeasures(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.append(b.events("ord_old", 3)...)
	_, err := b.pool.Exec(t.Context(), `update outbox set sent_at = now()`)
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	now := clock.NewManual(time.Now().Add(8 * 24 * time.Hour))
	b.run(outbox.NewRelay(b.pool, b.js, outbox.Options{Service: "order", Clock: now, Metrics: registry}))
	b.eventually(func() bool { return b.count(`select count(*) from outbox`) == 0 }, "not pruned")

	b.append(b.events("ord_new", 4)...)
	b.eventually(func() bool { return b.pending() == 0 }, "not sent")
	n, err := testutil.GatherAndCount(registry, "event_published_total", "outbox_pending", "outbox_oldest_seconds")
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

func TestRelayWithoutNATSAtStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.restartNATS(func() {
		b.run(b.relay())
		b.append(b.events("ord_1", 20)...)
	})
	b.run(b.consumer(b.options("a")))
	b.exactly("a", 20)
}

func TestOutboxesOfSeveralServicesShareOneStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := pgtest.New(t, outbox.Migrations())
	together := outbox.NewPublisher(b.js)
	b.run(outbox.NewRelay(b.pool, b.js, outbox.Options{Service: "order", Publisher: together}))
	b.run(outbox.NewRelay(other, b.js, outbox.Options{Service: "payment", Publisher: together}))
	b.run(b.consumer(b.options("a")))
	b.append(b.events("ord_1", 5)...)
	require.NoError(t, outbox.Append(t.Context(), other, b.events("pay_1", 5)...))
	b.exactly("a", 10)
}

// A wake during a round, or while another relay has the turn, must not wait for the next poll.
func TestWakesAreNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	never := outbox.Options{Service: "order", Poll: time.Hour}
	one, two := outbox.NewRelay(b.pool, b.js, never), outbox.NewRelay(b.pool, b.js, never)
	b.run(one)
	b.run(two)
	for i := range 50 {
		b.append(b.event("a"+strconv.Itoa(i), 1))
		one.Wake()
		b.append(b.event("b"+strconv.Itoa(i), 1))
		two.Wake()
	}
	b.eventually(func() bool { return b.pending() == 0 }, "an event waits for a poll that never comes")
}
