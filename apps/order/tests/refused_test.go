package tests

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/handler"
	"souk/apps/order/internal/repository"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/money"
)

func TestARetryLearnsWhatWasWrong(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	refusal := errs.New(errs.OutOfStock, "an item is out of stock")
	refusal.Fields = []errs.Field{{Path: "items.var_a", Message: "not enough pieces are available"}}
	k.fail["ReserveInventory"] = []error{refusal}
	for range 2 {
		_, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
		require.Equal(t, errs.OutOfStock, errs.CodeOf(err), "%v", err)
		require.Equal(t, refusal.Fields, errs.From(err).Fields)
	}
	k.clean()
}

func TestRefusedCheckoutsAreForgotten(t *testing.T) {
	t.Parallel()
	k := setup(t)
	refused, bought := k.shopping(), k.shopping()
	_, err := k.checkout(refused, "k", checkoutRequest("tok_declined"))
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
	k.bought(bought)
	k.ended()
	known := func(customerID string) (email, address string) {
		require.NoError(t, k.pool.QueryRow(t.Context(), `select email, shipping_address ->> 'name' from orders where customer_id = $1`, customerID).
			Scan(&email, pgNull{&address}))
		return email, address
	}
	_, address := known(refused.ID)
	require.NotEmpty(t, address)
	forget := func(after time.Duration, now time.Time) {
		ctx, cancel := context.WithCancel(t.Context())
		seen := make(chan struct{})
		done := make(chan error, 1)
		go func() {
			done <- handler.Forget(looked{k.store, seen}, after, clock.NewManual(now), zap.NewNop())(ctx)
		}()
		<-seen
		cancel()
		require.NoError(t, <-done)
	}
	const month = 30 * 24 * time.Hour
	forget(month, time.Now().Add(month-time.Hour))
	_, address = known(refused.ID)
	require.NotEmpty(t, address, "not yet")
	forget(month, time.Now().Add(month+time.Hour))
	email, address := known(refused.ID)
	require.Empty(t, email)
	require.Empty(t, address)
	_, address = known(bought.ID)
	require.NotEmpty(t, address, "an order is kept")
	// The key still has its answer.
	_, err = k.checkout(refused, "k", checkoutRequest("tok_declined"))
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
	k.clean()
}

// pgNull scans null as "".
type pgNull struct{ to *string }

func (n pgNull) Scan(v any) error {
	*n.to, _ = v.(string)
	return nil
}

// looked says when it was looked once.
type looked struct {
	handler.Refused
	seen chan struct{}
}

func (l looked) ForgetRefused(ctx context.Context, from, before time.Time, most int) (int, error) {
	n, err := l.Refused.ForgetRefused(ctx, from, before, most)
	close(l.seen)
	return n, err
}

// started keeps the inputs that sagas are started with.
type started map[string]any

func (s started) Start(_ context.Context, _ *pgx.Batch, _, id string, input any) error {
	s[id] = input
	return nil
}

func TestATakenNumberIsNotTold(t *testing.T) {
	t.Parallel()
	k := setup(t)
	k.bought(k.shopping())
	k.ended()
	var number string
	require.NoError(t, k.pool.QueryRow(t.Context(), `select number from orders`).Scan(&number))
	sagas := started{}
	starts := repository.WithSagas(k.store, sagas)
	zero := money.New(0, "BRL")
	amount := domain.Totals{Subtotal: money.New(100, "BRL"), Discount: zero, Shipping: zero, Tax: zero, Total: money.New(100, "BRL")}
	o := domain.Order{
		ID: id.New(id.Order), Number: number, CustomerID: "usr_1", IdemKey: "k", Totals: amount, PlacedAt: time.Now(),
		Parts: []domain.ShopOrder{{ID: id.New(id.ShopOrder), ShopID: "shp_1", Totals: amount, PlacedAt: time.Now()}},
	}
	told, err := event.New(t.Context(), "evt.order.created", o.ID, 1, time.Now(), &orderv1.OrderCreated{OrderId: o.ID})
	require.NoError(t, err)
	out, err := starts.Create(t.Context(), o, told, func(o domain.Order) any { return o.Number })
	require.NoError(t, err)
	require.NotEqual(t, number, out.Number)
	require.Equal(t, out.Number, sagas[o.ID], "the saga tells the number that the order has")
}
