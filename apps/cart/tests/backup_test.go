package tests

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/apps/cart/internal/handler"
	cartv1 "souk/gen/go/souk/cart/v1"
	"souk/pkg/clock"
	"souk/pkg/devstack"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/pgtest"
	"souk/pkg/redistest"
	"souk/pkg/redisx"
	"souk/pkg/waittest"
)

// drain writes back all due or all dirty carts, as another process of the service. It returns their number.
func (h *harness) drain(t testing.TB, all bool) (total int) {
	t.Helper()
	for {
		n, err := h.carts.WriteBack(t.Context(), all)
		require.NoError(t, err)
		if total += n; n == 0 {
			return total
		}
	}
}

func (h *harness) dirty(t testing.TB) (sum int64) {
	t.Helper()
	for _, key := range h.keys(t, "carts:dirty*") {
		n, err := h.redis.Do(t.Context(), h.redis.B().Zcard().Key(key).Build()).AsInt64()
		require.NoError(t, err)
		sum += n
	}
	return sum
}

// writtenBack waits until the service has written all dirty carts back.
func (h *harness) writtenBack(t testing.TB) {
	t.Helper()
	waittest.Until(t, func() bool { return h.dirty(t) == 0 }, "carts are dirty")
}

func TestCartsAreRestoredAfterALossOfRedis(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, uid := h.user()
	tea, cup := h.catalogue.sell(brl(1), 10), h.catalogue.sell(brl(1), 10)
	h.add(t, ctx, cup, 1)
	want := h.add(t, ctx, tea, 2)
	require.Zero(t, h.drain(t, false), "not yet due")
	require.EqualValues(t, 1, h.dirty(t))
	h.clock.Advance(2 * time.Second)
	h.writtenBack(t)
	h.lose(t, uid)
	got := h.get(t, ctx)
	require.Equal(t, quantities(want), quantities(got))
	require.Equal(t, cup, got.GetItems()[0].GetVariantId(), "in the same order")

	// A change after the loss has a higher version than all before it, and replaces the backup.
	h.lose(t, uid)
	h.add(t, ctx, tea, 1)
	h.clock.Advance(2 * time.Second)
	h.writtenBack(t)
	h.lose(t, uid)
	require.Equal(t, map[string]int64{cup: 1, tea: 3}, quantities(h.get(t, ctx)))
}

func TestAnEmptiedCartStaysEmpty(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, uid := h.user()
	h.add(t, ctx, h.catalogue.sell(brl(1), 10), 2)
	h.drain(t, true)
	_, err := h.client.ClearCart(ctx, &cartv1.ClearCartRequest{})
	require.NoError(t, err)
	require.Empty(t, h.get(t, ctx).GetItems(), "not brought back from the backup")
	h.drain(t, true)
	h.lose(t, uid)
	require.Empty(t, h.get(t, ctx).GetItems())
}

func TestVersionGrowsAfterALossOfRedis(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, uid := h.user()
	tea := h.catalogue.sell(brl(1), 10)
	h.add(t, ctx, tea, 1)
	h.drain(t, true)
	// Redis is lost and the cart continues from the backup, while an old write-back may still be in flight.
	var before int64
	require.NoError(t, h.Pool.QueryRow(t.Context(), "select version from cart where owner_id = $1", uid).Scan(&before))
	h.lose(t, uid)
	h.add(t, ctx, tea, 1)
	h.drain(t, true)
	var after int64
	require.NoError(t, h.Pool.QueryRow(t.Context(), "select version from cart where owner_id = $1", uid).Scan(&after))
	require.Greater(t, after, before, "although the clock stands still")
}

func TestAChangeDuringAWriteBackIsWrittenToo(t *testing.T) {
	t.Parallel()
	h := setupOn(t, redistest.Private(t).Config(), clock.System{})
	ctx, uid := h.user()
	tea := h.catalogue.sell(brl(1), 10)
	h.add(t, ctx, tea, 1)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 { // two processes share the work
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, err := h.carts.WriteBack(context.Background(), true)
					if err != nil {
						t.Errorf("write back: %v", err)
						return
					}
				}
			}
		})
	}
	for range 100 {
		h.add(t, ctx, tea, 1)
	}
	close(stop)
	wg.Wait()
	h.drain(t, true)
	require.Zero(t, h.dirty(t))
	h.lose(t, uid)
	require.Equal(t, map[string]int64{tea: 101}, quantities(h.get(t, ctx)))
}

func TestCartsClaimedByADeadProcessAreWrittenByAnother(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, uid := h.user()
	tea := h.catalogue.sell(brl(1), 10)
	h.add(t, ctx, tea, 1)
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := h.carts.WriteBack(dead, true) // claims nothing: the context has ended
	require.Error(t, err)
	// Another process claims the cart when it is due, and a tick late.
	claimed := float64(h.clock.Now().Add(2500*time.Millisecond + 1500*time.Millisecond).UnixMilli())
	claim := h.redis.B().Zadd().Key(h.keys(t, "carts:dirty*")[0]).ScoreMember().ScoreMember(claimed, uid).Build()
	require.NoError(t, h.redis.Do(t.Context(), claim).Error())
	h.clock.Advance(2500 * time.Millisecond)
	require.Zero(t, h.drain(t, false), "it is being written")
	require.EqualValues(t, 1, h.dirty(t))
	h.clock.Advance(1500 * time.Millisecond) // 4 s after the change
	h.writtenBack(t)
	h.lose(t, uid)
	require.Equal(t, map[string]int64{tea: 1}, quantities(h.get(t, ctx)))
}

func TestShutdownWritesAllCartsBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	tea := h.catalogue.sell(brl(1), 10)
	var owners []string
	for range 450 { // more than two batches
		ctx, uid := h.user()
		owners = append(owners, uid)
		h.add(t, ctx, tea, 1)
	}
	h.Stop()
	var n int
	require.NoError(t,
		h.Pool.QueryRow(t.Context(), "select count(*) from cart where owner_id = any($1)", owners).Scan(&n))
	require.Equal(t, 450, n)
	require.Zero(t, h.dirty(t))
}

// backup is a fake that records the loop's calls.
type backup struct {
	calls chan bool
	mu    sync.Mutex
	err   error
}

func (b *backup) WriteBack(_ context.Context, all bool) (int, error) {
	select {
	case b.calls <- all:
	default:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return 0, b.err
}

func TestWriteBackLoopContinuesAfterFailures(t *testing.T) {
	t.Parallel()
	b := &backup{calls: make(chan bool, 1), err: errors.New("PostgreSQL is away")}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- handler.WriteBack(b, time.Millisecond, zap.NewNop())(ctx) }()
	for range 5 {
		require.False(t, waittest.Receive(t, b.calls))
	}
	cancel()
	require.NoError(t, waittest.Receive(t, done))
}

func TestExpiredCartsAreDeleted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	guest, gid := h.guest()
	user, uid := h.user()
	tea := h.catalogue.sell(brl(1), 10)
	h.add(t, guest, tea, 1)
	h.add(t, user, tea, 1)
	h.drain(t, true)
	for owner, days := range map[string]int64{gid: 30, uid: 180} {
		left, err := h.redis.Do(t.Context(), h.redis.B().Pttl().Key(h.keys(t, "cart:*"+owner)[0]).Build()).AsInt64()
		require.NoError(t, err)
		require.InDelta(t, days*24*3600*1000, left, 60_000)
	}
	h.clock.Advance(30 * 24 * time.Hour)
	h.lose(t, gid)
	h.lose(t, uid)
	require.Empty(t, h.get(t, guest).GetItems())
	require.Len(t, h.get(t, user).GetItems(), 1)
	n, err := h.carts.Forget(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestCallsFailUntilRedisIsBack(t *testing.T) {
	t.Parallel()
	dir, err := devstack.TempDir()
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	start := func() *devstack.Redis {
		r, err := devstack.StartRedis(context.Background(), devstack.RedisOptions{Dir: dir})
		require.NoError(t, err)
		t.Cleanup(func() { _ = r.Stop(context.Background()) })
		return r
	}
	server := start()
	h := setupOn(t, redisx.Config{Addr: server.Addr()}, clock.System{})
	ctx, _ := h.user()
	tea := h.catalogue.sell(brl(1), 10)
	h.add(t, ctx, tea, 1)
	h.drain(t, true)
	require.NoError(t, server.Stop(t.Context()))
	_, err = h.client.GetCart(ctx, &cartv1.GetCartRequest{})
	code(t, errs.Unavailable, err)
	require.Positive(t, errs.From(err).RetryAfter)
	_, err = h.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: tea, Quantity: 1})
	code(t, errs.Unavailable, err)

	// Redis comes back empty. The same service continues with the backup.
	require.NoError(t, os.RemoveAll(dir))
	start()
	waittest.Until(t, func() bool {
		res, err := h.client.GetCart(ctx, &cartv1.GetCartRequest{})
		return err == nil && quantities(res.GetCart())[tea] == 1
	}, "the cart is not restored")
	require.Equal(t, map[string]int64{tea: 2}, quantities(h.add(t, ctx, tea, 1)))

	// Without PostgreSQL, a cart that is missing in Redis cannot be read.
	away, _ := pgtest.Outage(t, h.Pool)
	away()
	stranger, _ := h.user()
	_, err = h.client.GetCart(stranger, &cartv1.GetCartRequest{})
	require.Error(t, err)
}

func TestCartsInRedisWorkWithoutPostgres(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx, _ := h.user()
	tea := h.catalogue.sell(brl(1), 10)
	h.add(t, ctx, tea, 1)
	away, _ := pgtest.Outage(t, h.Pool)
	away()
	require.Equal(t, map[string]int64{tea: 2}, quantities(h.add(t, ctx, tea, 1)))
	_, err := h.carts.WriteBack(t.Context(), true)
	require.Error(t, err)
	require.EqualValues(t, 1, h.dirty(t), "it stays dirty")
	_, err = h.order.RemoveOrdered(t.Context(),
		&cartv1.RemoveOrderedRequest{OwnerId: id.New(id.User), OrderId: id.New(id.Order)})
	require.Error(t, err)
}
