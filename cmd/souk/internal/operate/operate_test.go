package operate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
	"github.com/stretchr/testify/require"

	"souk/apps/auth"
	"souk/apps/cart"
	"souk/apps/comment"
	"souk/apps/gateway"
	"souk/apps/notification"
	"souk/apps/order"
	"souk/apps/payment"
	"souk/apps/product"
	"souk/apps/shop"
	"souk/apps/user"
	"souk/apps/voucher"
	"souk/cmd/souk/internal/dev"
	"souk/cmd/souk/internal/verify"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/event"
	"souk/pkg/module"
	"souk/pkg/natsrpc"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/redistest"
	"souk/pkg/saga"
	"souk/pkg/secrets"
)

func TestMain(m *testing.M) { redistest.Main(m) }

var modules = []module.Module{
	user.Module, shop.Module, product.Module, cart.Module, payment.Module, order.Module, notification.Module,
	auth.Module, voucher.Module, comment.Module, gateway.Module,
}

// harness is a souk without services: databases with the services' schemas, NATS, Redis, and a configuration of them.
type harness struct {
	config string
	urls   map[string]string
	js     jetstream.JetStream
}

func setup(t *testing.T) *harness {
	t.Helper()
	h := &harness{urls: map[string]string{}, config: filepath.Join(t.TempDir(), "souk.yaml")}
	for _, m := range modules {
		if sets := m.Sets(); len(sets) > 0 {
			h.urls[m.Name] = pgtest.URL(t, sets...)
		}
	}
	server := natstest.Server(t)
	var err error
	h.js, err = jetstream.New(natstest.Connect(t, server))
	require.NoError(t, err)
	require.NoError(t, outbox.EnsureStreams(t.Context(), h.js, outbox.Streams{}))
	raw, err := json.Marshal(map[string]any{ // JSON is YAML
		"postgres": map[string]any{"urls": h.urls},
		"nats":     map[string]any{"url": server.URL()},
		"redis":    redistest.Section(redistest.Config(t)),
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(h.config, raw, 0o600))
	return h
}

func (h *harness) pool(t *testing.T, service string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: h.urls[service], MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func (h *harness) source() Source { return Source{Config: h.config, Modules: modules} }

// run runs a tool and returns what it prints.
func (h *harness) run(t *testing.T, tool func(*Souk, io.Writer) error) (out string, err error) {
	t.Helper()
	s, err := Open(h.source())
	require.NoError(t, err)
	var b bytes.Buffer
	err = tool(s, &b)
	return b.String(), err
}

func (h *harness) verify(t *testing.T, asJSON bool) (out string, err error) {
	t.Helper()
	return h.run(t, func(s *Souk, w io.Writer) error {
		return s.Verify(t.Context(), w,
			VerifyOptions{Settle: 10 * time.Millisecond, JSON: asJSON, Warnings: io.Discard})
	})
}

func (h *harness) doctor(t *testing.T) (out string, err error) {
	t.Helper()
	return h.run(t, func(_ *Souk, w io.Writer) error { return Doctor(t.Context(), w, h.source(), "127.0.0.1:0") })
}

func (h *harness) saga(t *testing.T, id, state string) {
	t.Helper()
	parked := "null"
	if state == "parked" {
		parked = "'running'"
	}
	_, err := h.pool(t, "order").Exec(t.Context(), fmt.Sprintf(`
		insert into saga (id, type, def_version, input, state, parked_from, epoch, owner, lease_until, next_run_at, deadline,
			last_error)
		values ($1, 'checkout', 1, '{"token":"tok_secret","number":"1"}', $2, %s, 1, '', now(), now(), now(),
			'the bank is closed')`, parked), id, state)
	require.NoError(t, err)
}

func TestToolsWorkOnAConfiguration(t *testing.T) {
	t.Parallel()
	h := setup(t)

	out, err := h.verify(t, false)
	require.NoError(t, err, out)
	require.Contains(t, out, "stock is never oversold")
	require.NotContains(t, out, "VIOLATION")

	out, err = h.doctor(t)
	require.NoError(t, err, out)
	require.NotContains(t, out, "PROBLEM")

	out, err = h.run(t, func(s *Souk, w io.Writer) error { return s.Migrate(t.Context(), w, "status", "order") })
	require.NoError(t, err)
	require.Regexp(t, `^SERVICE +SET +VERSION +PENDING\n`+
		`order +outbox +\d+ +0\norder +saga +\d+ +0\norder +order +\d+ +0\n$`, out)

	list := func(f saga.Filter) (string, error) {
		return h.run(t, func(s *Souk, w io.Writer) error { return s.ListSagas(t.Context(), w, f) })
	}
	out, err = list(saga.Filter{Limit: 50})
	require.NoError(t, err)
	require.Equal(t, "no sagas\n", out)

	out, err = h.run(
		t,
		func(s *Souk, w io.Writer) error { return s.RebuildProjection(t.Context(), w, "product.search") },
	)
	require.NoError(t, err)
	require.Contains(t, out, "rebuilt 0 products")

	_, err = h.run(t, func(s *Souk, w io.Writer) error { return s.Services(t.Context(), w, false) })
	require.ErrorContains(t, err, "no service answers on NATS")

	h.saga(t, "ord_parked", "parked")
	out, err = h.verify(t, true)
	require.ErrorContains(t, err, "invariants are broken")
	var report struct {
		OK     bool           `json:"ok"`
		Checks []verify.Check `json:"checks"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.False(t, report.OK)
	require.NotEmpty(t, report.Checks)

	out, err = h.doctor(t)
	require.ErrorContains(t, err, "need attention")
	require.Contains(t, out, "souk saga show ord_parked tells why; then souk saga resume")

	out, err = list(saga.Filter{State: saga.Parked, Type: "checkout", Limit: 50})
	require.NoError(t, err)
	require.Contains(t, out, "ord_parked")
	require.Contains(t, out, "the bank is closed")

	show := func(id string) (string, error) {
		return h.run(t, func(s *Souk, w io.Writer) error { return s.ShowSaga(t.Context(), w, id) })
	}
	out, err = show("ord_parked")
	require.NoError(t, err)
	require.Contains(t, out, "parked (was running)")
	require.NotContains(t, out, "tok_secret")
	_, err = show("ord_none")
	require.ErrorContains(t, err, `there is no saga "ord_none"`)

	resume := func() (string, error) {
		return h.run(t, func(s *Souk, w io.Writer) error { return s.ResumeSaga(t.Context(), w, "ord_parked") })
	}
	out, err = resume()
	require.NoError(t, err)
	require.Contains(t, out, "ord_parked goes on as running")
	_, err = resume()
	require.ErrorContains(t, err, "the saga is running, not parked")
}

func TestEventsAndDeadLettersAreReplayed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	e, err := event.New(t.Context(), "evt.order.created", "ord_1", 1, time.Now(),
		&orderv1.OrderCreated{OrderId: "ord_1"})
	require.NoError(t, err)
	require.NoError(t, outbox.Append(t.Context(), h.pool(t, "order"), e))

	replay := func(service string) (string, error) {
		return h.run(t, func(s *Souk, w io.Writer) error {
			return s.ReplayEvents(t.Context(), w, service, time.Now().Add(-time.Hour))
		})
	}
	out, err := replay("")
	require.NoError(t, err)
	require.Contains(t, out, "order: 1 events replayed\n")
	out, err = replay("payment")
	require.NoError(t, err)
	require.Equal(t, "payment: 0 events replayed\n", out)
	_, err = replay("gateway")
	require.ErrorContains(t, err, "--service is one of")
	stream, err := h.js.Stream(t.Context(), outbox.StreamEvents)
	require.NoError(t, err)
	require.EqualValues(t, 1, stream.CachedInfo().State.Msgs)

	dead := func() string {
		out, err := h.run(t, func(s *Souk, w io.Writer) error { return s.ListDead(t.Context(), w, 50) })
		require.NoError(t, err)
		return out
	}
	require.Equal(t, "no dead letters\n", dead())
	msg := e.Msg("order")
	msg.Subject = "dlq.notification-mails.evt.order.created"
	msg.Header.Set("souk-dead-consumer", "notification-mails")
	msg.Header.Set("souk-dead-subject", "evt.order.created")
	msg.Header.Set("souk-dead-reason", "no such template")
	_, err = h.js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)
	require.Contains(t, dead(), "no such template")
	out, err = h.verify(t, false) // a warning, not a violation
	require.NoError(t, err)
	require.Contains(t, out, "WARNING")

	replayDead := func(seqs ...uint64) (string, error) {
		return h.run(t, func(s *Souk, w io.Writer) error { return s.ReplayDead(t.Context(), w, seqs) })
	}
	out, err = replayDead(1)
	require.NoError(t, err)
	require.Equal(t, "replayed 1 dead letters\n", out)
	_, err = replayDead(1)
	require.ErrorContains(t, err, "there is no dead letter 1")
	out, err = replayDead()
	require.NoError(t, err)
	require.Equal(t, "replayed 0 dead letters\n", out)
}

func TestDoctorSaysWhatToDo(t *testing.T) {
	t.Parallel()
	h := setup(t)
	require.NoError(t, h.js.DeleteStream(t.Context(), outbox.StreamEvents))
	_, err := h.pool(t, "user").Exec(t.Context(), `
		insert into outbox (id, subject, type, aggregate_id, occurred_at, payload, created_at)
		values ('evt_a', 'evt.x', 'x', 'a', now(), '', now() - interval '31 seconds')`)
	require.NoError(t, err)
	_, err = h.pool(t, "shop").Exec(t.Context(), `drop table schema_migrations_shop`)
	require.NoError(t, err)

	out, err := h.doctor(t)
	require.Error(t, err)
	for _, want := range []string{
		"stream EVENTS", "is missing", "then souk events replay",
		"1 wait to be sent, 1 of them for more than 30s",
		"migrations have not run", "souk migrate up --service shop",
	} {
		require.Contains(t, out, want)
	}
}

func TestDoctorAcceptsASchemaThatANewerSoukHasMigrated(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.pool(t, "order").Exec(t.Context(), `update schema_migrations_order set version = 99`)
	require.NoError(t, err)

	out, err := h.doctor(t)
	require.NoError(t, err, out)
	require.Regexp(t, `ok +database order +reachable, its schema is newer than this souk: order is at 99, this souk `+
		`knows \d+\. That is right after a rollback`, out)

	_, err = h.pool(t, "order").Exec(t.Context(), `drop table schema_migrations_saga`)
	require.NoError(t, err)
	out, err = h.doctor(t)
	require.ErrorContains(t, err, "need attention", out)
	require.Contains(t, out, "souk migrate up --service order", "another set of the same database is behind")
}

// A souk of the release before has no file of the migration that it would take back.
func TestMigrateDownRefusesANewerSchema(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.pool(t, "order").Exec(t.Context(), `update schema_migrations_order set version = 99`)
	require.NoError(t, err)
	s, err := Open(Source{Config: h.config, Modules: modules})
	require.NoError(t, err)
	err = s.Migrate(t.Context(), io.Discard, "down", "order")
	require.ErrorContains(t, err, "order: its schema is at 99")
}

func TestServicesOfOneProcessAreReadFromItsMetrics(t *testing.T) {
	t.Parallel()
	const metrics = `# TYPE rpc_server_requests_total counter
rpc_server_requests_total{code="ok",method="GetProduct",target="product"} 8
rpc_server_requests_total{code="not_found",method="GetProduct",target="product"} 2
rpc_server_requests_total{code="ok",method="Checkout",target="order"} 1
# TYPE rpc_server_duration_seconds histogram
rpc_server_duration_seconds_bucket{method="GetProduct",target="product",le="+Inf"} 10
rpc_server_duration_seconds_sum{method="GetProduct",target="product"} 0.02
rpc_server_duration_seconds_count{method="GetProduct",target="product"} 10
`
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, metrics)
	}))
	defer admin.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"processes":[{"name":"souk","pid":7,"admin":%q}]}`, strings.TrimPrefix(admin.URL, "http://"))
	}))
	defer control.Close()
	list, err := (&Souk{
		state: &dev.State{Control: control.URL, Transport: "inprocess"}, modules: modules,
	}).findServices(t.Context())
	require.NoError(t, err)
	require.Len(t, list, len(modules))
	var out bytes.Buffer
	require.NoError(t, writeServices(&out, list, true))
	text := strings.Join(strings.Fields(out.String()), " ")
	require.Contains(t, text, "product pid 7 10 2 2ms")
	require.Contains(t, text, "GetProduct 10 2 2ms")
	require.Contains(t, text, "order pid 7 1 0")
	require.Contains(t, text, "gateway pid 7 0 0 -")
}

func TestEachProcessOfAServiceHasItsOwnPlace(t *testing.T) {
	t.Parallel()
	process := func(id, pid string) micro.Stats {
		return micro.Stats{
			ServiceIdentity: micro.ServiceIdentity{
				Name: "order", ID: id, Metadata: map[string]string{natsrpc.MetadataPID: pid},
			},
			Endpoints: []*micro.EndpointStats{{Name: "Checkout", NumRequests: 8}},
		}
	}
	stats := []micro.Stats{process("A", "7"), process("B", "8")}
	var out bytes.Buffer
	require.NoError(t, writeServices(&out, servicesByStats(stats, true), false))
	require.Regexp(t, `(?s)order +pid 7 +8 .*order +pid 8 +8 `, out.String())
	out.Reset()
	require.NoError(t, writeServices(&out, servicesByStats(stats, false), false))
	require.Regexp(t, `(?s)order +A +8 .*order +B +8 `, out.String(), "IDs of processes elsewhere say nothing")
}

func TestChecksArePrintedAsATable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, writeChecks(&out, []verify.Check{
		{Rule: "a holds", Checked: 3},
		{Rule: "b holds", Checked: 12, Wrong: 11, Examples: []string{"x", "y"}},
		{Rule: "c holds", Checked: 2, Wrong: 1, Warning: true, Examples: []string{"z"}, Note: "by and by"},
	}, false))
	require.Equal(t, "ok         a holds      3 checked\n"+
		"VIOLATION  b holds      12 checked, 11 wrong\n"+
		"             x, y, …    \n"+
		"WARNING    c holds      2 checked, 1 wrong\n"+
		"             z          \n"+
		"             by and by  \n", out.String())
}

func TestPasswordsAreNotShown(t *testing.T) {
	t.Parallel()
	shown := withoutPasswords("nats://souk:s%2Fecret@a:4222,nats://b:4222")
	require.Equal(t, "nats://souk:xxxxx@a:4222, nats://b:4222", shown)
	require.NotContains(t, withoutPasswords("nats://souk:se cret\x7f@a"), "cret")
	_, err := (&Souk{nats: module.NATSConfig{URL: secrets.Plain("nats://souk:secret@127.0.0.1:1")}}).connectNATS()
	require.ErrorContains(t, err, "NATS can't be reached at nats://souk:xxxxx@127.0.0.1:1")
}

func TestAgoRoundsToWhatAReaderNeeds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		1530 * time.Millisecond: "1.5s ago", 90 * time.Second: "1m30s ago", -2 * time.Second: "2s from now",
		50 * time.Hour: "50h0m0s ago",
	} {
		require.Equal(t, want, ago(now.Add(-d), now))
	}
	require.Equal(t, "-", ago(time.Time{}, now))
}

func TestDatabaseURLsComeFromTheConfiguration(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "souk.yaml")
	const settings = "postgres:\n  url: postgres://{service}:{password}@db/{service}\n  passwords: {order: 'a/b'}\n"
	require.NoError(t, os.WriteFile(path, []byte(settings), 0o600))
	s, err := Open(Source{Config: path, Modules: modules})
	require.NoError(t, err)
	url, err := s.postgres.ServiceURL(order.Module.Name)
	require.NoError(t, err)
	require.Equal(t, "postgres://order:a%2Fb@db/order", url)
	require.Equal(t, []string{"order"}, s.servicesWith(hasSagas))
}

func TestFailedJobsAreShownAndRunAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.pool(t, "notification").
		Exec(t.Context(), `insert into river_job (kind, args, queue, max_attempts, attempt, state, errors, finalized_at, attempted_at)
		values ('delivery', '{}', 'mail', 3, 3, 'discarded', array['{"error": "the mail server refuses the sender"}'::jsonb], now(), now())`)
	require.NoError(t, err)
	s, err := Open(h.source())
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, s.Jobs(t.Context(), &out))
	require.Regexp(t, `notification +delivery +mail +0 +0 +0 +0 +1 +-`, out.String())
	out.Reset()
	require.NoError(t, s.FailedJobs(t.Context(), &out, 10))
	require.Regexp(
		t,
		`notification/1 +delivery +discarded +3 of 3 +\S+ +- +the mail server refuses the sender`,
		out.String(),
	)
	out.Reset()
	require.NoError(t, s.RetryJob(t.Context(), &out, "notification/1"))
	require.NoError(t, s.Jobs(t.Context(), &out))
	require.Regexp(t, `notification +delivery +mail +1 +0 +0 +0 +0`, out.String())
	require.ErrorContains(t, s.RetryJob(t.Context(), &out, "notification/2"), "there is no job 2")
	for _, id := range []string{"17", "order/1", "notification/x"} {
		require.ErrorContains(t, s.RetryJob(t.Context(), &out, id), "want the ID of a job", id)
	}
}
