package moduletest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/moduletest"
	"souk/pkg/outbox"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// labels is a small product service. A product's title is a label and its shop's name; its description is the actor and
// the time. Each read appends an event.
var labels = module.Module{Name: "product", Tables: module.Tables{Outbox: true}, Build: buildLabels}

type service struct {
	productv1.UnimplementedProductServiceServer
	shops shopv1.ShopServiceClient
	pool  *pgxpool.Pool
	clock clock.Clock
	label string
	reads prometheus.Counter
}

func buildLabels(ctx context.Context, p *module.Platform) (module.Runnable, error) {
	cfg := struct {
		Label string `yaml:"label"`
		Color string `yaml:"color"`
	}{"lamp", "red"}
	conn, connErr := p.Client()
	pool, poolErr := p.Postgres(ctx)
	consumer, consumerErr := p.Consumer(ctx, outbox.ConsumerOptions{
		// As the service of souk with this name has it.
		Purpose: "shops", Subjects: []string{
			"evt.shop.registered", "evt.shop.updated", "evt.shop.verified", "evt.shop.suspended",
		},
		Queue: func(context.Context, *pgx.Batch, event.Event) error { return nil },
	})
	reads := prometheus.NewCounter(prometheus.CounterOpts{Name: "reads_total"})
	err := errors.Join(p.Config(&cfg), connErr, poolErr, consumerErr, p.Metrics().Register(reads))
	p.Logger().Debug("built as " + cfg.Label)
	productv1.RegisterProductServiceServer(p.Server(), &service{
		shops: shopv1.NewShopServiceClient(conn), pool: pool, clock: p.Clock(), label: cfg.Color + " " + cfg.Label,
		reads: reads,
	})
	return consumer, err
}

// GetProduct makes the product up.
func (s *service) GetProduct(
	ctx context.Context, r *productv1.GetProductRequest,
) (*productv1.GetProductResponse, error) {
	shop, err := s.shops.GetShop(ctx, &shopv1.GetShopRequest{Id: "shp_1"})
	if err != nil {
		return nil, err
	}
	s.reads.Inc()
	e, err := event.New(ctx, "evt.product.updated", r.GetId(), 1, s.clock.Now(), &productv1.ProductUpdated{})
	if err != nil {
		return nil, err
	}
	a := identity.FromContext(ctx)
	return &productv1.GetProductResponse{Product: &productv1.Product{
		Id: r.GetId(), Title: s.label + " of " + shop.GetShop().GetName(),
		Description: fmt.Sprintf("%s %s %v %s", a.Kind, a.ID, a.Roles, s.clock.Now().Format(time.DateOnly)),
	}}, outbox.Append(ctx, s.pool, e)
}

// shops fakes the shop service.
type shops struct {
	shopv1.UnimplementedShopServiceServer
	calls atomic.Int64
}

// GetShop returns the shop Aurora.
func (s *shops) GetShop(context.Context, *shopv1.GetShopRequest) (*shopv1.GetShopResponse, error) {
	s.calls.Add(1)
	return &shopv1.GetShopResponse{Shop: &shopv1.Shop{Name: "Aurora"}}, nil
}

func (s *shops) fake() moduletest.Option {
	return moduletest.Fake("shop", func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, s) })
}

// read reads the product prd_1 as the gateway.
func read(ctx context.Context, s *moduletest.Service) (*productv1.Product, error) {
	products := productv1.NewProductServiceClient(s.Client("gateway"))
	res, err := products.GetProduct(ctx, &productv1.GetProductRequest{Id: "prd_1"})
	return res.GetProduct(), err
}

func TestServiceRunsByItsOwnBuildWithFakes(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]moduletest.Option{"in process": nil, "over NATS": {moduletest.OverNATS()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := &shops{}
			s := moduletest.Start(t, labels, append(opts, fake.fake())...)
			got, err := read(s.As(identity.Anonymous()), s)
			require.NoError(t, err)
			require.Equal(t, "red lamp of Aurora", got.GetTitle())
			require.EqualValues(t, 1, fake.calls.Load())
			require.Equal(t, []string{"evt.product.updated"}, s.Events("prd_1"))
			require.Empty(t, s.Events("prd_2"))
			require.EqualValues(t, 1, s.Metric("reads_total"))
			require.Zero(t, s.Metric("reads"), "the name is whole")
		})
	}
}

func TestGatewayAssertsTheActor(t *testing.T) {
	t.Parallel()
	s := moduletest.Start(t, labels, (&shops{}).fake(), moduletest.Clock(clock.NewManual(time.Unix(0, 0))))
	for want, ctx := range map[string]context.Context{
		"service gateway [] 1970-01-01":    t.Context(),
		"user usr_1 [customer] 1970-01-01": s.AsUser("usr_1", "customer"),
		"guest gst_1 [] 1970-01-01":        s.As(identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}),
	} {
		got, err := read(ctx, s)
		require.NoError(t, err)
		require.Equal(t, want, got.GetDescription())
	}
}

func TestConfigSetsFieldsAndAnotherProcessSharesTheRest(t *testing.T) {
	t.Parallel()
	fake := &shops{}
	s := moduletest.Start(t, labels, fake.fake(), moduletest.Config(map[string]any{"label": "vase"}))
	other := s.Another(moduletest.Config(map[string]any{"color": "blue"}))
	for want, p := range map[string]*moduletest.Service{"red vase of Aurora": s, "blue vase of Aurora": other} {
		got, err := read(t.Context(), p)
		require.NoError(t, err)
		require.Equal(t, want, got.GetTitle())
		require.EqualValues(t, 1, p.Metric("reads_total"))
	}
	require.Len(t, s.Events("prd_1"), 2, "both have one database")

	s.Stop()
	s.Stop()
	require.Contains(t, s.Logs(), "built as vase")
	_, err := read(t.Context(), s)
	require.Equal(t, errs.Unavailable, errs.CodeOf(err), "%v", err)
	_, err = read(t.Context(), other)
	require.NoError(t, err)
	require.EqualValues(t, 3, fake.calls.Load())
}

func TestServiceWithoutFakeIsDown(t *testing.T) {
	t.Parallel()
	s := moduletest.Start(t, labels, (&shops{}).fake(), moduletest.Fake("shop", nil))
	_, err := read(t.Context(), s)
	require.Equal(t, errs.Unavailable, errs.CodeOf(err), "%v", err)
	require.Empty(t, s.Events("prd_1"))
}

func TestDeliverWaitsUntilTheEventsAreHandled(t *testing.T) {
	t.Parallel()
	s := moduletest.Start(t, labels)
	e, err := event.New(t.Context(), "evt.shop.verified", "shp_1", 1, time.Now(), &shopv1.ShopVerified{ShopId: "shp_1"})
	require.NoError(t, err)
	for range 2 { // the second is the same event
		s.Deliver("shop", e)
		require.Equal(t, 1, moduletest.Value[int](s, `select count(*) from inbox where event_id = $1`, e.ID))
	}
}

func TestConcurrentlyCallsAtOnce(t *testing.T) {
	t.Parallel()
	var begun atomic.Int64
	all := make(chan struct{})
	got := moduletest.Concurrently(3, func(i int) error {
		if begun.Add(1) == 3 {
			close(all)
		}
		waittest.Receive(t, all)
		return fmt.Errorf("call %d", i)
	})
	require.EqualError(t, errors.Join(got...), "call 0\ncall 1\ncall 2")
}

// failing is a test that may fail. It records why.
type failing struct {
	testing.TB
	failure  string
	cleanups []func()
}

func (f *failing) Errorf(format string, args ...any) { f.failure += fmt.Sprintf(format, args...) }
func (*failing) FailNow()                            { runtime.Goexit() }
func (f *failing) Cleanup(c func())                  { f.cleanups = append(f.cleanups, c) }

// failureOf runs a test to its end and returns why it failed.
func failureOf(t *testing.T, test func(t testing.TB)) string {
	t.Helper()
	f := &failing{TB: t}
	run := func(part func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			part()
		}()
		waittest.Receive(t, done)
	}
	run(func() { test(f) })
	for _, c := range slices.Backward(f.cleanups) {
		run(c)
	}
	return f.failure
}

func TestServiceThatFailsFailsTheTest(t *testing.T) {
	t.Parallel()
	oops := errors.New("oops")
	failure := failureOf(t, func(t testing.TB) {
		moduletest.Start(
			t,
			module.Module{Name: "product", Build: func(_ context.Context, p *module.Platform) (module.Runnable, error) {
				p.Logger().Debug("a line of its log")
				return nil, oops
			}},
		)
		t.Errorf("Start returned")
	})
	require.Contains(t, failure, "the service did not start")
	require.Contains(t, failure, "start product: oops")
	require.Contains(t, failure, "a line of its log")
	require.NotContains(t, failure, "Start returned")

	failure = failureOf(t, func(t testing.TB) {
		fail := make(chan struct{})
		moduletest.Start(
			t,
			module.Module{Name: "product", Build: func(context.Context, *module.Platform) (module.Runnable, error) {
				return module.Func(func(context.Context) error {
					waittest.Receive(t, fail)
					return oops
				}), nil
			}},
		)
		close(fail)
	})
	require.Contains(t, failure, "oops", "it failed after its start")
	require.NotContains(t, failure, "did not start")
}

func Example() {
	_ = func(t *testing.T) { // a test
		s := moduletest.Start(t, labels,
			moduletest.Config(map[string]any{"label": "vase"}),
			moduletest.Fake("shop", func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, &shops{}) }))
		products := productv1.NewProductServiceClient(s.Client("gateway"))
		_, err := products.GetProduct(s.AsUser("usr_1"), &productv1.GetProductRequest{Id: "prd_1"})
		require.NoError(t, err)
		require.Equal(t, []string{"evt.product.updated"}, s.Events("prd_1"))
	}
	// Output:
}
