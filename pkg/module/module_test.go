package module_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/health/grpc_health_v1"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/gen/go/souk/services"
	"souk/pkg/config"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/migration"
	"souk/pkg/module"
	"souk/pkg/natstest"
	"souk/pkg/pgtest"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const timeout = 20 * time.Second

var seed = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))

// journal records events in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// part is a fake Runnable.
type part struct {
	run   func(context.Context) error
	ready func() error
}

func (p part) Run(ctx context.Context) error { return p.run(ctx) }

func (p part) Ready(context.Context) error {
	if p.ready == nil {
		return nil
	}
	return p.ready()
}

// fake returns a module that records its build and stop.
func (j *journal) fake(name string) module.Module {
	return module.Module{Name: name, Build: func(context.Context, *module.Platform) (module.Runnable, error) {
		j.add("build %s", name)
		return module.Func(func(ctx context.Context) error {
			<-ctx.Done()
			j.add("stop %s", name)
			return nil
		}), nil
	}}
}

// built returns a module whose Build returns run and err.
func built(name string, run module.Runnable, err error) module.Module {
	return module.Module{
		Name:  name,
		Build: func(context.Context, *module.Platform) (module.Runnable, error) { return run, err },
	}
}

func settings(t testing.TB, more map[string]any) *config.Tree {
	t.Helper()
	m := map[string]any{"identity": map[string]any{"seed": seed}, "log": map[string]any{"level": "error"}}
	for k, v := range more {
		m[k] = v
	}
	tree, err := config.FromMap(m)
	require.NoError(t, err)
	return tree
}

// process is a running process.
type process struct {
	t     testing.TB
	admin string
	stop  context.CancelFunc
	done  chan error
}

// start runs modules until the test ends. It returns when they are ready.
func start(t testing.TB, o module.Options, modules ...module.Module) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p := &process{t: t, stop: cancel, done: make(chan error, 1)}
	ready := make(chan string, 1)
	o.OnReady = func(admin string) { ready <- admin }
	if o.Logs == nil {
		o.Logs = io.Discard
	}
	go func() { p.done <- module.Run(ctx, o, modules...) }()
	select {
	case p.admin = <-ready:
	case err := <-p.done:
		cancel()
		require.FailNow(t, "the process ended", "%v", err)
	case <-time.After(timeout):
		cancel()
		require.FailNow(t, "the process is not ready")
	}
	return p
}

func (p *process) end() error {
	p.t.Helper()
	p.stop()
	return p.wait()
}

func (p *process) wait() error {
	p.t.Helper()
	defer p.stop()
	return waittest.Receive(p.t, p.done)
}

func (p *process) get(path string) (int, string) {
	p.t.Helper()
	return get(p.t, p.admin, path)
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: timeout}

func get(t testing.TB, admin, path string) (int, string) {
	t.Helper()
	res, err := client.Get("http://" + admin + path)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestModulesStartInOrderAndStopInReverse(t *testing.T) {
	t.Parallel()
	var j journal
	p := start(t, module.Options{Config: settings(t, nil)}, j.fake("product"), j.fake("order"), j.fake("gateway"))
	require.NoError(t, p.end())
	require.Equal(t,
		[]string{"build product", "build order", "build gateway", "stop gateway", "stop order", "stop product"},
		j.all())
}

func TestFailureIsReturnedAndStopsTheOthers(t *testing.T) {
	t.Parallel()
	oops := errors.New("oops")
	for name, tc := range map[string]struct {
		module module.Module
		want   string
	}{
		"build": {built("order", nil, oops), "start order: oops"},
		"run at once": {built("order",
			part{run: func(context.Context) error { return oops }, ready: func() error { return oops }},
			nil), "order did not start: oops"},
		"run later": {
			built("order", part{run: func(context.Context) error { return oops }}, nil), "order stopped: oops",
		},
		"ends": {built("order",
			part{run: func(context.Context) error { return nil }, ready: func() error { return oops }},
			nil), "order did not start: it ended by itself"},
		"its own end": {built("order",
			part{run: func(context.Context) error { return context.Canceled }, ready: func() error { return oops }},
			nil), "order did not start: context canceled"},
		"part's end": {built("order", module.Group(part{
			run: func(context.Context) error { return context.Canceled }, ready: func() error { return oops },
		}), nil), "order did not start: context canceled"},
		"an open call": {openMethods(), "has no option (souk.options.v1.access)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var j journal
			err := module.Run(t.Context(), module.Options{Config: settings(t, nil), Logs: io.Discard},
				j.fake("product"), tc.module)
			require.ErrorContains(t, err, tc.want)
			require.LessOrEqual(t, strings.Count(err.Error(), "oops"), 1, "reported once")
			require.Equal(t, []string{"build product", "stop product"}, j.all())
		})
	}
}

// openMethods returns a service whose contract has no access options.
func openMethods() module.Module {
	return module.Module{Name: "order", Build: func(_ context.Context, p *module.Platform) (module.Runnable, error) {
		grpc_health_v1.RegisterHealthServer(p.Server(), grpc_health_v1.UnimplementedHealthServer{})
		return module.Group(), nil
	}}
}

func TestStopWhileStartingIsNoError(t *testing.T) {
	t.Parallel()
	var j journal
	ctx, cancel := context.WithCancel(t.Context())
	slow := module.Module{Name: "order", Build: func(ctx context.Context, _ *module.Platform) (module.Runnable, error) {
		cancel()
		waittest.Receive(t, ctx.Done())
		return nil, ctx.Err()
	}}
	require.NoError(t,
		module.Run(ctx, module.Options{Config: settings(t, nil), Logs: io.Discard}, j.fake("product"), slow))
	require.Equal(t, []string{"build product", "stop product"}, j.all())

	ctx, cancel = context.WithCancel(t.Context())
	never := part{
		run:   func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		ready: func() error { cancel(); return errors.New("never") },
	}
	require.NoError(t,
		module.Run(ctx, module.Options{Config: settings(t, nil), Logs: io.Discard}, built("order", never, nil)))
}

// catalogue is a product service whose calls of GetProduct can be blocked.
type catalogue struct {
	productv1.UnimplementedProductServiceServer
	t                testing.TB
	entered, release chan struct{}
	from             chan identity.Actor // receives the actors of BatchGetVariants
}

func (c *catalogue) GetProduct(
	_ context.Context, r *productv1.GetProductRequest,
) (*productv1.GetProductResponse, error) {
	if c.entered != nil {
		c.entered <- struct{}{}
		waittest.Receive(c.t, c.release)
	}
	return &productv1.GetProductResponse{Product: &productv1.Product{Id: r.GetId(), Title: "A lamp"}}, nil
}

func (c *catalogue) BatchGetVariants(
	ctx context.Context, _ *productv1.BatchGetVariantsRequest,
) (*productv1.BatchGetVariantsResponse, error) {
	c.from <- identity.FromContext(ctx)
	return &productv1.BatchGetVariantsResponse{}, nil
}

func (c *catalogue) module(j *journal) module.Module {
	return module.Module{Name: "product", Build: func(_ context.Context, p *module.Platform) (module.Runnable, error) {
		productv1.RegisterProductServiceServer(p.Server(), c)
		return module.Func(func(ctx context.Context) error {
			<-ctx.Done()
			j.add("product ends")
			return nil
		}), nil
	}}
}

// caller returns a module that stores its client in out.
func caller(name string, out *productv1.ProductServiceClient) module.Module {
	return module.Module{Name: name, Build: func(_ context.Context, p *module.Platform) (module.Runnable, error) {
		conn, err := p.Client()
		if err != nil {
			return nil, err
		}
		*out = productv1.NewProductServiceClient(conn)
		return module.Group(), nil
	}}
}

func TestStopDrainsCallsOnBothTransports(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"inprocess", "nats"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			var j journal
			more := map[string]any{"rpc": map[string]any{"transport": transport}}
			o := module.Options{}
			if transport == "nats" {
				more["nats"] = map[string]any{"url": natstest.Server(t).URL()}
			}
			o.Config = settings(t, more)
			c := &catalogue{
				t:       t,
				entered: make(chan struct{}),
				release: make(chan struct{}),
				from:    make(chan identity.Actor, 1),
			}
			var products productv1.ProductServiceClient
			var p *process
			if transport == "nats" { // in two processes
				p = start(t, o, c.module(&j))
				other := start(t, o, caller("order", &products))
				defer func() { require.NoError(t, other.end()) }()
			} else {
				p = start(t, o, c.module(&j), caller("order", &products))
			}

			_, err := products.BatchGetVariants(t.Context(),
				&productv1.BatchGetVariantsRequest{VariantIds: []string{"var_1"}})
			require.NoError(t, err)
			actor := waittest.Receive(t, c.from)
			require.True(t, actor.IsService())
			require.Equal(t, "order", actor.ID, "each module calls as itself")
			_, err = products.ReserveInventory(t.Context(), &productv1.ReserveInventoryRequest{})
			require.NotEqual(t, errs.Forbidden, errs.CodeOf(err), "order may reserve")

			answered := make(chan error, 1)
			go func() {
				_, err := products.GetProduct(t.Context(), &productv1.GetProductRequest{Id: "prd_1"})
				j.add("answered")
				answered <- err
			}()
			waittest.Receive(t, c.entered)
			p.stop()
			waittest.Until(t,
				func() bool { code, _ := p.get("/health/ready"); return code == http.StatusServiceUnavailable },
				"it is still ready")
			require.Empty(t, j.all(), "the module waits for the call")
			close(c.release)
			require.NoError(t, waittest.Receive(t, answered))
			require.NoError(t, p.wait())
			require.ElementsMatch(t, []string{"answered", "product ends"}, j.all())
		})
	}
}

func TestResourcesAreOpenedOnRequest(t *testing.T) {
	t.Parallel()
	nowhere := map[string]any{
		"postgres": map[string]any{
			"url": "postgres://127.0.0.1:1/{service}",
		},
		"redis": map[string]any{"addr": "127.0.0.1:1"},
		"nats":  map[string]any{"url": "nats://127.0.0.1:1"},
	}
	var j journal
	require.NoError(t, start(t, module.Options{Config: settings(t, nowhere)}, j.fake("product")).end(),
		"no resource is requested, so none is opened")

	server := pgtest.URL(t)
	all := module.Module{
		Name:   "order",
		Tables: module.Tables{Outbox: true, Saga: true},
		Build: func(ctx context.Context, p *module.Platform) (module.Runnable, error) {
			pool, err := p.Postgres(ctx)
			if err != nil {
				return nil, err
			}
			again, err := p.Postgres(ctx)
			if err != nil || again != pool {
				return nil, fmt.Errorf("another pool, %w", err)
			}
			var n int
			if err := pool.QueryRow(ctx, "select count(*) from outbox").Scan(&n); err != nil {
				return nil, err
			}
			redis, err := p.Redis(ctx)
			if err != nil {
				return nil, err
			}
			if err := redis.Do(ctx, redis.B().Ping().Build()).Error(); err != nil {
				return nil, err
			}
			return p.Relay(ctx)
		},
	}
	tree := settings(
		t,
		map[string]any{
			"postgres": map[string]any{"urls": map[string]any{"order": server}},
			"redis":    redistest.Section(redistest.Config(t)),
			"nats":     map[string]any{"url": natstest.Server(t).URL()},
		},
	)
	p := start(t, module.Options{Config: tree, Migrate: true}, all)
	_, metrics := p.get("/metrics")
	require.Regexp(t, `postgres_connections_in_use\{server="primary",service="order"\} \d`, metrics)
	require.Contains(t, metrics, `postgres_connections_max{server="primary",service="order"} 10`)
	require.Regexp(t, `postgres_query_duration_seconds_count\{server="primary",service="order"\} [1-9]`, metrics)
	require.Contains(t, metrics, `log_line_total{level="error"} 0`)
	require.NoError(t, p.end())
}

func TestProcessIsNotReadyWithoutItsTables(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	m := built("order", module.Group(), nil)
	m.Migrations = fstest.MapFS{
		"db/migrations/000001_a.up.sql":   {Data: []byte("create table a (n int)")},
		"db/migrations/000001_a.down.sql": {Data: []byte("drop table a")},
	}
	tree := settings(t, map[string]any{"postgres": map[string]any{"urls": map[string]any{"order": url}}})
	var other *module.Platform
	neighbour := module.Module{
		Name: "gateway",
		Build: func(_ context.Context, p *module.Platform) (module.Runnable, error) {
			other = p
			return module.Group(), nil
		},
	}
	p := start(t, module.Options{Config: tree, Migrate: true}, m, neighbour)
	code, _ := p.get("/health/ready")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, other.CheckSchemas(t.Context()))
	require.NoError(t, migration.Down(t.Context(), url, "order", m.Migrations))
	require.ErrorContains(t, other.CheckSchemas(t.Context()), "order: the schema (order) is at version 0")
	code, body := p.get("/health/ready")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(
		t,
		body,
		"order: the schema (order) is at version 0, and this program needs 1: run souk migrate up",
	)
	require.NoError(t, migration.Up(t.Context(), url, "order", m.Migrations))
	code, _ = p.get("/health/ready")
	require.Equal(t, http.StatusOK, code)
	require.NoError(t, p.end())
}

func TestCallsOfASplitNeedNATS(t *testing.T) {
	t.Parallel()
	var all []module.Module
	for _, name := range services.Names() {
		all = append(all, module.Module{Name: name})
	}
	require.NoError(t, module.RPCConfig{Transport: "inprocess"}.CheckSplit(all))
	require.NoError(t, module.RPCConfig{Transport: "nats"}.CheckSplit(all[:1]))
	require.ErrorContains(t, module.RPCConfig{Transport: "inprocess"}.CheckSplit(all[1:]),
		"transport: must be nats, because this process does not run "+all[0].Name)
}

func TestLogLinesOfAFailureAreNotLost(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	m := module.Module{Name: "order", Build: func(_ context.Context, p *module.Platform) (module.Runnable, error) {
		p.Logger().Info("before")
		p.Logger().Warn("warned")
		require.Contains(t, logs.String(), "before", "a warning flushes earlier lines")
		require.Contains(t, logs.String(), "warned")
		p.Logger().Info("last words")
		return nil, errors.New("oops")
	}}
	tree := settings(t, map[string]any{"log": map[string]any{"level": "info"}})
	require.Error(t, module.Run(t.Context(), module.Options{Config: tree, Logs: &logs}, m))
	require.Contains(t, logs.String(), "last words")
}
