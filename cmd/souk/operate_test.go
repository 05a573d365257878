package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/apps/order"
	"souk/cmd/souk/internal/verify"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/devstack"
	"souk/pkg/event"
	"souk/pkg/module"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a souk without services: databases with the services' schemas, NATS, Redis, and a configuration of them.
type harness struct {
	config string
	urls   map[string]string
	js     jetstream.JetStream
}

func setup(t *testing.T) *harness {
	t.Helper()
	h := &harness{urls: map[string]string{}, config: filepath.Join(t.TempDir(), "souk.yaml")}
	for _, m := range withDatabase() {
		h.urls[m.Name] = pgtest.URL(t, m.Sets()...)
	}
	server := natstest.Server(t)
	var err error
	h.js, err = jetstream.New(natstest.Connect(t, server))
	require.NoError(t, err)
	require.NoError(t, outbox.EnsureStreams(t.Context(), h.js, outbox.Streams{}))
	raw, err := json.Marshal(map[string]any{ // JSON is YAML
		"postgres": map[string]any{"urls": h.urls},
		"nats":     map[string]any{"url": server.URL()},
		"redis":    map[string]any{"addr": redistest.Addr(t)},
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

func (h *harness) souk(t *testing.T, args ...string) (status int, out string, err error) {
	t.Helper()
	return souk(t, append(args, "--config", h.config)...)
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

func TestOperatorCommandsWorkOnAConfiguration(t *testing.T) {
	t.Parallel()
	h := setup(t)

	status, out, err := h.souk(t, "verify")
	require.NoError(t, err, out)
	require.Zero(t, status)
	require.Contains(t, out, "stock is never oversold")
	require.NotContains(t, out, "VIOLATION")

	_, out, err = h.souk(t, "doctor")
	require.NoError(t, err, out)
	require.NotContains(t, out, "PROBLEM")

	_, out, err = h.souk(t, "migrate", "status", "--service", "order")
	require.NoError(t, err)
	require.Regexp(t, `^SERVICE +SET +VERSION +PENDING\n`+
		`order +outbox +\d+ +0\norder +saga +\d+ +0\norder +order +\d+ +0\n$`, out)

	_, out, err = h.souk(t, "saga", "ls")
	require.NoError(t, err)
	require.Equal(t, "no sagas\n", out)

	_, out, err = h.souk(t, "search", "rebuild")
	require.NoError(t, err)
	require.Contains(t, out, "rebuilt 0 products")

	_, _, err = h.souk(t, "services")
	require.ErrorContains(t, err, "no service answers on NATS")

	h.saga(t, "ord_parked", "parked")
	status, out, err = h.souk(t, "verify", "--json")
	require.Equal(t, 1, status)
	require.ErrorContains(t, err, "invariants are broken")
	var report struct {
		OK     bool           `json:"ok"`
		Checks []verify.Check `json:"checks"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.False(t, report.OK)
	require.NotEmpty(t, report.Checks)

	status, out, err = h.souk(t, "doctor")
	require.Equal(t, 1, status)
	require.ErrorContains(t, err, "need attention")
	require.Contains(t, out, "souk saga show ord_parked tells why; then souk saga resume")

	_, out, err = h.souk(t, "saga", "ls", "--state", "parked", "--type", "checkout")
	require.NoError(t, err)
	require.Contains(t, out, "ord_parked")
	require.Contains(t, out, "the bank is closed")

	_, out, err = h.souk(t, "saga", "show", "ord_parked")
	require.NoError(t, err)
	require.Contains(t, out, "parked (was running)")
	require.NotContains(t, out, "tok_secret")

	_, out, err = h.souk(t, "saga", "resume", "ord_parked")
	require.NoError(t, err)
	require.Contains(t, out, "ord_parked goes on as running")
	_, _, err = h.souk(t, "saga", "resume", "ord_parked")
	require.ErrorContains(t, err, "the saga is running, not parked")
	_, _, err = h.souk(t, "saga", "show", "ord_none")
	require.ErrorContains(t, err, `there is no saga "ord_none"`)
}

func TestEventsAndDeadLettersAreReplayed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	e, err := event.New(
		t.Context(),
		"evt.order.created",
		"ord_1",
		1,
		time.Now(),
		&orderv1.OrderCreated{OrderId: "ord_1"},
	)
	require.NoError(t, err)
	require.NoError(t, outbox.Append(t.Context(), h.pool(t, "order"), e))

	_, out, err := h.souk(t, "events", "replay", "--since", "1h")
	require.NoError(t, err)
	require.Contains(t, out, "order: 1 events replayed\n")
	_, out, err = h.souk(t, "events", "replay", "--service", "payment")
	require.NoError(t, err)
	require.Equal(t, "payment: 0 events replayed\n", out)
	_, _, err = h.souk(t, "events", "replay", "--service", "gateway")
	require.ErrorContains(t, err, "--service is one of")
	stream, err := h.js.Stream(t.Context(), outbox.StreamEvents)
	require.NoError(t, err)
	require.EqualValues(t, 1, stream.CachedInfo().State.Msgs)

	_, out, err = h.souk(t, "events", "dlq")
	require.NoError(t, err)
	require.Equal(t, "no dead letters\n", out)
	msg := e.Msg("order")
	msg.Subject = "dlq.notification-mails.evt.order.created"
	msg.Header.Set("souk-dead-consumer", "notification-mails")
	msg.Header.Set("souk-dead-subject", "evt.order.created")
	msg.Header.Set("souk-dead-reason", "no such template")
	_, err = h.js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)
	_, out, err = h.souk(t, "events", "dlq", "list")
	require.NoError(t, err)
	require.Contains(t, out, "no such template")
	status, out, err := h.souk(t, "verify") // a warning, not a violation
	require.NoError(t, err)
	require.Zero(t, status)
	require.Contains(t, out, "WARNING")
	_, out, err = h.souk(t, "events", "dlq", "replay", "1")
	require.NoError(t, err)
	require.Equal(t, "replayed 1 dead letters\n", out)
	_, _, err = h.souk(t, "events", "dlq", "replay", "1")
	require.ErrorContains(t, err, "there is no dead letter 1")
	_, out, err = h.souk(t, "events", "dlq", "replay", "--all")
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
	_, err = h.pool(t, "order").Exec(t.Context(), `update schema_migrations_order set version = 99`)
	require.NoError(t, err)
	_, err = h.pool(t, "shop").Exec(t.Context(), `drop table schema_migrations_shop`)
	require.NoError(t, err)

	status, out, err := h.souk(t, "doctor")
	require.Equal(t, 1, status)
	require.Error(t, err)
	for _, want := range []string{
		"stream EVENTS", "is missing", "then souk events replay",
		"1 wait to be sent, 1 of them for more than 30s",
		"its schema order is at 99", "use the souk that made it",
		"1 migrations have not run", "souk migrate up --service shop",
	} {
		require.Contains(t, out, want)
	}
}

func TestCommandsReportThatNoSoukRuns(t *testing.T) {
	t.Parallel()
	temp, err := devstack.TempDir() // the user postgres can reach it
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(temp)) })
	dir := filepath.Join(temp, "none")
	for _, args := range [][]string{
		{"verify"}, {"saga", "ls"}, {"events", "tail"}, {"events", "dlq"}, {"services"}, {"search", "rebuild"},
		{"migrate", "status"},
	} {
		status, _, err := souk(t, append(args, "--data-dir", dir)...)
		require.Equal(t, 1, status)
		require.ErrorContains(t, err, "no souk dev runs on "+dir)
		require.ErrorContains(t, err, "souk dev")
		require.NoDirExists(t, dir)
	}
	status, out, err := souk(t, "doctor", "--data-dir", dir, "--http", "127.0.0.1:0")
	require.NoError(t, err, out)
	require.Zero(t, status)
	require.Contains(t, out, "is not running")

	file := filepath.Join(temp, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	status, out, err = souk(t, "doctor", "--data-dir", filepath.Join(file, "data"), "--http", "127.0.0.1:0")
	require.Equal(t, 1, status)
	require.Error(t, err)
	require.Contains(t, out, "it can't be told whether souk dev runs on "+filepath.Join(file, "data"))
}

func TestFlagsAreChecked(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"saga ls --state lost":         "--state is one of running, compensating, done, compensated, parked",
		"verify --settle -1s":          "--settle is a duration from 0 on, such as 2s, not -1s",
		"saga ls --limit 0":            "--limit is at least 1",
		"events tail orders":           `"orders" is no subject of events`,
		"events dlq replay":            "say which: numbers from `souk events dlq`, or --all",
		"events dlq replay 1 --all":    "say which",
		"events dlq replay x":          `"x" is no number of a dead letter`,
		"events replay --since monday": "--since is a duration such as 24h or a time",
		"doctor --config /nowhere.yml": "need attention",
		"verify --config /nowhere.yml": "cannot read /nowhere.yml",
	} {
		status, _, err := souk(t, strings.Fields(args)...)
		require.Equal(t, 1, status, args)
		require.ErrorContains(t, err, want, args)
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	root := rootCommand()
	for _, cmd := range root.Commands() {
		require.NotEmpty(t, cmd.Short, cmd.Name())
		require.NotEmpty(t, cmd.Example, cmd.Name())
	}
	_, out, err := souk(t, "import")
	require.NoError(t, err)
	require.Contains(t, out, "Usage:\n  souk import\n  souk import [command]\n")
}

func TestMistypedCommandsAndArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"import prodcts x.csv": "unknown command \"prodcts\" for \"souk import\"\n\nDid you mean this?\n\tproducts",
		"export foo.csv":       `unknown command "foo.csv" for "souk export": see souk export --help`,
		"saga foo":             `unknown command "foo" for "souk saga"`,
		"search x":             `unknown command "x" for "souk search"`,
		"events taill":         "Did you mean this?\n\ttail",
		"events dlq replya":    "Did you mean this?\n\treplay",
		"verify now":           `souk verify takes no arguments, not "now": see souk verify --help`,
		"migrate":              "souk migrate takes one of up, down, status; for example: souk migrate up --config souk.yaml",
		"migrate sideways":     `souk migrate takes one of up, down, status, not "sideways"`,
		"import products": "souk import products takes one argument, the CSV file, not 0; " +
			"for example: souk import products catalogue.csv --create-shops",
		"import products a.csv b.csv": "takes one argument, the CSV file, not 2",
		"export products":             "for example: souk export products catalogue.csv",
		"saga show": "souk saga show takes one argument, the ID of a saga, not 0; " +
			"for example: souk saga show ord_0192f0c4",
		"saga resume ord_a ord_b ord_c": "takes one argument, the ID of a saga, not 3",
	} {
		status, out, err := souk(t, strings.Fields(args)...)
		require.Equal(t, 1, status, args)
		require.ErrorContains(t, err, want, args)
		require.Empty(t, out)
	}
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
	list, err := findServices(t.Context(), &reach{state: &devState{Control: control.URL, Transport: "inprocess"}})
	require.NoError(t, err)
	require.Len(t, list, len(modules()))
	var out bytes.Buffer
	require.NoError(t, writeServices(&out, list, true))
	text := strings.Join(strings.Fields(out.String()), " ")
	require.Contains(t, text, "product pid 7 10 2 2ms")
	require.Contains(t, text, "GetProduct 10 2 2ms")
	require.Contains(t, text, "order pid 7 1 0")
	require.Contains(t, text, "gateway pid 7 0 0 -")
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
	_, err := (&reach{nats: module.NATSConfig{URL: "nats://souk:secret@127.0.0.1:1"}}).connectNATS()
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

func TestCommandVariablesAreAcceptedAndUnknownOnesRefused(t *testing.T) {
	t.Parallel()
	file := &configFlag{}
	_, err := file.loadWith([]string{"SOUK_URL=http://127.0.0.1:8080", "SOUK_TOKEN=secret", "SOUK_CONFIG=souk.yaml"})
	require.NoError(t, err)
	_, err = file.loadWith([]string{"SOUK_TOKENS=secret"})
	require.ErrorContains(t, err, "SOUK_TOKENS")
}

func TestDatabaseURLsComeFromTheConfiguration(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "souk.yaml")
	const settings = "postgres:\n  url: postgres://{service}:{password}@db/{service}\n  passwords: {order: 'a/b'}\n"
	require.NoError(t, os.WriteFile(path, []byte(settings), 0o600))
	databases, err := databasesOf(&devFlags{}, &configFlag{path: path})
	require.NoError(t, err)
	url, err := databases(order.Module.Name)
	require.NoError(t, err)
	require.Equal(t, "postgres://order:a%2Fb@db/order", url)
	require.Equal(t, []string{"order"}, servicesWith(func(m module.Module) bool { return m.Tables.Saga }))
}
