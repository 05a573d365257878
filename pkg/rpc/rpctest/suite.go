package rpctest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	cartv1 "souk/gen/go/souk/cart/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/rpc"
	"souk/pkg/waittest"
)

// Run runs the suite on a transport.
func Run(t *testing.T, transports Transports) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Transports){
		"Call":              call,
		"Errors":            errorsTravel,
		"HiddenErrors":      hiddenErrors,
		"Panic":             panics,
		"NilAnswer":         nilAnswer,
		"UnknownMethod":     unknownMethod,
		"ServiceDown":       serviceDown,
		"Reach":             reach,
		"Deadline":          deadline,
		"DefaultDeadline":   defaultDeadline,
		"DeadlinePasses":    deadlinePasses,
		"Cancel":            cancels,
		"Isolation":         isolation,
		"ReadOnlyReplies":   readOnlyReplies,
		"ContextValues":     contextValues,
		"Validation":        validation,
		"NUL":               nul,
		"PageTokens":        pageTokens,
		"Limit":             limit,
		"Drain":             drain,
		"StopTimesOut":      stopTimesOut,
		"Concurrent":        concurrent,
		"Header":            header,
		"UnsampledTrace":    unsampledTrace,
		"SampledTrace":      sampledTrace,
		"Access":            access,
		"Tokens":            tokens,
		"Retries":           retries,
		"Breaker":           breakerPerTarget,
		"Metrics":           metricsCount,
		"ServeRefusesError": serveRefusesError,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, transports)
		})
	}
}

// within returns a context that ends after Timeout.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Timeout)
	t.Cleanup(cancel)
	return ctx
}

func call(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	got, err := k.Client("order").GetProduct(within(t), get("prd_日本語"))
	require.NoError(t, err)
	require.Equal(t, "prd_日本語", got.GetProduct().GetId())
	// An empty answer is an answer.
	_, err = k.Client("order").BatchGetVariants(within(t), &productv1.BatchGetVariantsRequest{})
	require.NoError(t, err)
}

func errorsTravel(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	for _, want := range []*errs.Error{
		errs.New(errs.OutOfStock, "only 3 left"),
		errs.New(errs.NotFound, "there is no such product"),
		errs.New(errs.RateLimited, "slow down").WithRetryAfter(1500 * time.Millisecond),
		errs.New(errs.Unavailable, "the database is away").WithRetryAfter(7 * time.Second),
		errs.New(errs.Internal, "a message that was meant to be shown"),
		{
			Code: errs.Invalid, Message: "two fields",
			Fields: []errs.Field{{Path: "a.b[0]", Message: "é"}, {Path: "c", Message: "d"}},
		},
		{Code: errs.PriceChanged, Message: "with a detail", Detail: get("the detail")},
		errs.New(errs.Unavailable, "no RetryAfter becomes a second"),
	} {
		k.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
			return nil, fmt.Errorf("wrapped on the way: %w", want)
		}
		_, err := k.Client("order").GetProduct(within(t), get("1"))
		var got *errs.Error
		require.ErrorAs(t, err, &got)
		if want.Code == errs.Unavailable && want.RetryAfter == 0 {
			want = want.WithRetryAfter(time.Second)
		}
		require.True(t, proto.Equal(want.Detail, got.Detail), "%v", got.Detail)
		got.Detail = want.Detail
		require.Equal(t, want, got)
	}
}

func hiddenErrors(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	secret := errors.New("password=hunter2")
	k.Product.Get = func(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		if r.GetId() == "coded" {
			return nil, errs.Wrap(secret, errs.Conflict, "try again")
		}
		return nil, secret
	}
	_, err := k.Client("order").GetProduct(within(t), get("plain"))
	require.Equal(t, errs.Internal, errs.CodeOf(err))
	require.NotContains(t, err.Error(), "hunter2")
	require.NotErrorIs(t, err, secret)
	failed := k.Logs.FilterMessage("a call failed").All()
	require.Len(t, failed, 1, "a hidden cause is logged once")
	require.Contains(t, fmt.Sprint(failed[0].ContextMap()["error"]), "hunter2")

	_, err = k.Client("order").GetProduct(within(t), get("coded"))
	require.Equal(t, errs.Conflict, errs.CodeOf(err))
	require.NotErrorIs(t, err, secret, "a cause stays in the service")
	require.NotContains(t, err.Error(), "hunter2")
}

func panics(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	k.Product.Get = func(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		if r.GetId() == "bad" {
			panic("hunter2")
		}
		return &productv1.GetProductResponse{}, nil
	}
	_, err := k.Client("order").GetProduct(within(t), get("bad"))
	require.Equal(t, errs.Internal, errs.CodeOf(err))
	require.NotContains(t, err.Error(), "hunter2")
	lines := k.Logs.FilterMessage("a handler panicked").All()
	require.Len(t, lines, 1)
	require.Contains(t, fmt.Sprint(lines[0].ContextMap()["stack"]), "rpctest")
	_, err = k.Client("order").GetProduct(within(t), get("good"))
	require.NoError(t, err, "the service goes on")
}

func nilAnswer(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	k.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		return nil, nil
	} //nolint:nilnil // that is the test
	_, err := k.Client("order").GetProduct(within(t), get("1"))
	require.Equal(t, errs.Internal, errs.CodeOf(err))
}

func unknownMethod(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	err := k.Raw.Invoke(within(t), "/souk.product.v1.ProductService/NoSuchMethod", get("1"),
		&productv1.GetProductResponse{})
	require.Equal(t, errs.Unimplemented, errs.CodeOf(err))
	// In the contract, but the service does not have it.
	ctx := within(t)
	_, err = k.Client(identityGateway).ListCategories(k.User(ctx, t), &productv1.ListCategoriesRequest{})
	require.Equal(t, errs.Unimplemented, errs.CodeOf(err))
	_, err = k.Client("order").ListCategories(ctx, &productv1.ListCategoriesRequest{})
	require.Equal(t, errs.Internal, errs.CodeOf(err), "the refusal concerns the service, not the actor it works for")
}

func serviceDown(t *testing.T, transports Transports) {
	_, client := transports(t)
	conn := rpc.NewClient(client.Conn(), rpc.ClientOptions{Service: "order"})
	_, err := productv1.NewProductServiceClient(conn).GetProduct(within(t), get("1"))
	e := errs.From(err)
	require.Equal(t, errs.Unavailable, e.Code)
	require.Positive(t, e.RetryAfter)
}

func reach(t *testing.T, transports Transports) {
	var client rpc.Transport
	k := Setup(t, func(t testing.TB) (rpc.Transport, rpc.Transport) {
		var server rpc.Transport
		server, client = transports(t)
		return server, client
	}, nil)
	require.NoError(t, client.Reach(within(t), "product"))
	require.Equal(t, errs.Unavailable, errs.CodeOf(client.Reach(within(t), "shop")))
	require.NoError(t, k.Stop(within(t)))
	require.Equal(t, errs.Unavailable, errs.CodeOf(client.Reach(within(t), "product")))
}

func deadline(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	left := make(chan time.Duration, 1)
	k.Product.Get = func(ctx context.Context, _ *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		end, ok := ctx.Deadline()
		if !ok {
			return nil, errors.New("no deadline")
		}
		left <- time.Until(end)
		return &productv1.GetProductResponse{}, nil
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	_, err := k.Client("order").GetProduct(ctx, get("1"))
	require.NoError(t, err)
	require.InDelta(t, 100*time.Second, waittest.Receive(t, left), float64(Timeout))
}

func defaultDeadline(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	left := make(chan time.Duration, 2)
	k.Product.Get = func(ctx context.Context, _ *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		if end, ok := ctx.Deadline(); ok {
			left <- time.Until(end)
		}
		return &productv1.GetProductResponse{}, nil
	}
	m, err := rpc.FindMethod("/souk.product.v1.ProductService/GetProduct")
	require.NoError(t, err)
	_, err = k.Client("order").GetProduct(t.Context(), get("1"))
	require.NoError(t, err)
	require.LessOrEqual(t, waittest.Receive(t, left), m.Timeout)

	m, err = rpc.FindMethod("/souk.product.v1.ProductService/ImportProducts")
	require.NoError(t, err)
	require.Equal(t, 30*time.Second, m.Timeout, "the option sets it")
}

func deadlinePasses(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	ended := make(chan error, 1)
	k.Product.Get = func(ctx context.Context, _ *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		waittest.Receive(t, ctx.Done())
		ended <- ctx.Err()
		return nil, fmt.Errorf("query: %w", ctx.Err())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := k.Client("order").GetProduct(ctx, get("1"))
	require.Equal(t, errs.Timeout, errs.CodeOf(err))
	require.ErrorIs(t, waittest.Receive(t, ended), context.DeadlineExceeded, "the handler's context ends with it")
}

func cancels(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	release := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	k.Product.Get = func(ctx context.Context, _ *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		cancel()
		select {
		case <-ctx.Done():
		case <-release: // not every transport carries cancellation
		}
		return &productv1.GetProductResponse{}, nil
	}
	_, err := k.Client("order").GetProduct(ctx, get("1"))
	close(release)
	require.Equal(t, errs.Timeout, errs.CodeOf(err))
	require.ErrorIs(t, err, context.Canceled)

	_, err = k.Client("order").GetProduct(ctx, get("2"))
	require.ErrorIs(t, err, context.Canceled, "the context ended before the call")
}

func isolation(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	kept := &productv1.Product{Title: "served", Images: []*productv1.Image{{Url: "u"}}}
	var seen *productv1.CreateProductRequest
	k.Product.Create = func(_ context.Context, r *productv1.CreateProductRequest) (*productv1.CreateProductResponse, error) {
		seen = r
		r.Title = "changed by the handler"
		r.Variants[0].Sku = "changed"
		return &productv1.CreateProductResponse{Product: kept}, nil
	}
	request := create("sent")
	before := proto.Clone(request)
	got, err := k.Client(identityGateway).CreateProduct(k.User(within(t), t), request)
	require.NoError(t, err)
	require.True(t, proto.Equal(before, request), "the handler does not change the caller's request")
	request.Variants[0].Sku = "changed by the caller"
	require.Equal(t, "changed", seen.GetVariants()[0].GetSku())
	got.Product.Title = "changed by the caller"
	got.Product.Images[0].Url = "changed by the caller"
	require.Equal(t, "served", kept.GetTitle())
	require.Equal(t, "u", kept.GetImages()[0].GetUrl())
}

// readOnlyReplies checks that ReadOnlyReplies does not change replies and errors, and that the caller owns the
// top-level message of a reply.
func readOnlyReplies(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	kept := &productv1.GetProductResponse{Product: sample()}
	kept.ProtoReflect().SetUnknown([]byte{0xa0, 0x06, 1}) // field 100
	want := proto.Clone(kept)
	k.Product.Get = func(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		if r.GetId() == "prd_2" {
			return nil, errs.New(errs.NotFound, "there is no such product")
		}
		return kept, nil
	}
	client := productv1.NewProductServiceClient(rpc.ReadOnlyReplies(k.Conn(identityGateway)))
	ctx := k.User(within(t), t)
	for range 2 {
		got, err := client.GetProduct(ctx, get("prd_1"), grpc.EmptyCallOption{})
		require.NoError(t, err)
		require.True(t, proto.Equal(want, got), "%v", got)
		got.Product = nil
		require.True(t, proto.Equal(want, kept))
	}
	into := &productv1.GetProductResponse{Product: &productv1.Product{Title: "was there", Tags: []string{"a"}}}
	require.NoError(
		t,
		rpc.ReadOnlyReplies(k.Conn(identityGateway)).
			Invoke(ctx, productv1.ProductService_GetProduct_FullMethodName, get("prd_1"), into),
	)
	require.True(t, proto.Equal(want, into), "the previous content of the reply is gone")
	_, err := client.GetProduct(ctx, get("prd_2"))
	require.True(t, errs.Is(err, errs.NotFound))
}

type leakKey struct{}

func contextValues(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	k.Product.Get = func(ctx context.Context, _ *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		if ctx.Value(leakKey{}) != nil {
			return nil, errs.New(errs.Conflict, "the caller's values are seen")
		}
		return &productv1.GetProductResponse{}, nil
	}
	_, err := k.Client("order").GetProduct(context.WithValue(within(t), leakKey{}, "secret"), get("1"))
	require.NoError(t, err)
}

func limit(t *testing.T, transports Transports) {
	k := Setup(t, transports, func(o *rpc.ServerOptions) { o.Limit = 2 })
	entered, release := make(chan struct{}, 2), make(chan struct{})
	k.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		entered <- struct{}{}
		waittest.Receive(t, release)
		return &productv1.GetProductResponse{}, nil
	}
	client := k.Client("order")
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if _, err := client.GetProduct(within(t), get("1")); err != nil {
				t.Error(err)
			}
		})
	}
	waittest.Receive(t, entered)
	waittest.Receive(t, entered)
	_, err := client.GetProduct(within(t), get("3")) // returns though both places are taken
	e := errs.From(err)
	require.Equal(t, errs.Overloaded, e.Code)
	require.Positive(t, e.RetryAfter)
	close(release)
	calls.Wait()
	_, err = client.GetProduct(within(t), get("4"))
	require.NoError(t, err)
}

func drain(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	k.Product.Get = func(_ context.Context, r *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		if r.GetId() == "slow" {
			close(entered)
			waittest.Receive(t, release)
		}
		return &productv1.GetProductResponse{Product: &productv1.Product{Id: r.GetId()}}, nil
	}
	client := k.Client("order")
	answered, stopped := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := client.GetProduct(within(t), get("slow"))
		answered <- err
	}()
	waittest.Receive(t, entered)
	go func() { stopped <- k.Stop(within(t)) }()
	waittest.Until(t, func() bool {
		_, err := client.GetProduct(within(t), get("late"))
		return errs.Is(err, errs.Unavailable)
	}, "new calls are still accepted")
	select {
	case err := <-stopped:
		t.Fatalf("stop did not wait for the call in flight: %v", err)
	default:
	}
	close(release)
	require.NoError(t, waittest.Receive(t, answered), "the call in flight is answered")
	require.NoError(t, waittest.Receive(t, stopped))
	require.NoError(t, k.Stop(within(t)), "stop may be called twice")
}

func stopTimesOut(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	k.Product.Get = func(context.Context, *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
		close(entered)
		waittest.Receive(t, release)
		return &productv1.GetProductResponse{}, nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = k.Client("order").GetProduct(within(t), get("1")) // ignored: the stop may or may not fail it
	}()
	waittest.Receive(t, entered)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, k.Stop(ctx), context.DeadlineExceeded)
	close(release)
	waittest.Receive(t, done)
}

func concurrent(t *testing.T, transports Transports) {
	k := Setup(t, transports, nil)
	client := k.Client("order")
	ctx := within(t)
	var calls sync.WaitGroup
	for i := range 16 {
		calls.Go(func() {
			for j := range 25 {
				id := fmt.Sprint("prd_", i, "_", j)
				got, err := client.GetProduct(ctx, get(id))
				if err != nil || got.GetProduct().GetId() != id {
					t.Error(id, got, err)
					return
				}
			}
		})
	}
	calls.Wait()
	_, err := client.Cart.GetCart(k.User(ctx, t), &cartv1.GetCartRequest{})
	require.NoError(t, err)
}

func serveRefusesError(t *testing.T, transports Transports) {
	s := rpc.NewServer(rpc.ServerOptions{Service: "product"})
	productv1.RegisterProductServiceServer(s, &Product{})
	productv1.RegisterProductServiceServer(s, &Product{})
	server, _ := transports(t)
	_, err := server.Serve(t.Context(), s)
	require.ErrorContains(t, err, "registered twice")
}
