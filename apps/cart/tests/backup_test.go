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
	"souk/pkg/redistest"
	"souk/pkg/redisx"
)

// drain writes back what is due, as the loop does.
func (k *kit) drain(t testing.TB, all bool) (total int) {
	t.Helper()
	for {
		n, err := k.carts.WriteBack(t.Context(), all)
		require.NoError(t, err)
		if total += n; n == 0 {
			return total
		}
	}
}

func (k *kit) dirty(t testing.TB) int64 {
	t.Helper()
	n, err := k.redis.Do(t.Context(), k.redis.B().Zcard().Key(k.prefix+"carts:dirty").Build()).AsInt64()
	require.NoError(t, err)
	return n
}

func TestALostRedisLosesNothingThatWasWrittenBack(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, uid := k.user(t)
	tea, cup := k.catalogue.sell(brl(1), 10), k.catalogue.sell(brl(1), 10)
	k.add(t, ctx, cup, 1)
	want := k.add(t, ctx, tea, 2)
	require.Zero(t, k.drain(t, false), "not yet due")
	k.clock.Advance(2 * time.Second)
	require.Equal(t, 1, k.drain(t, false))
	require.Zero(t, k.dirty(t))
	k.lose(t, uid)
	got := k.get(t, ctx)
	require.Equal(t, quantities(want), quantities(got))
	require.Equal(t, cup, got.GetItems()[0].GetVariantId(), "in the same order")

	// What comes after the loss is newer than all that was before it, and replaces it.
	k.lose(t, uid)
	k.add(t, ctx, tea, 1)
	k.clock.Advance(2 * time.Second)
	k.drain(t, false)
	k.lose(t, uid)
	require.Equal(t, map[string]int64{cup: 1, tea: 3}, quantities(k.get(t, ctx)))
}

func TestAnEmptiedCartStaysEmpty(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, uid := k.user(t)
	k.add(t, ctx, k.catalogue.sell(brl(1), 10), 2)
	k.drain(t, true)
	_, err := k.client.ClearCart(ctx, &cartv1.ClearCartRequest{})
	require.NoError(t, err)
	require.Empty(t, k.get(t, ctx).GetItems(), "not brought back from the backup")
	k.drain(t, true)
	k.lose(t, uid)
	require.Empty(t, k.get(t, ctx).GetItems())
}

func TestAnOldWriteBackNeverReplacesANewerOne(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, uid := k.user(t)
	tea := k.catalogue.sell(brl(1), 10)
	k.add(t, ctx, tea, 1)
	k.drain(t, true)
	// Redis is lost, the cart goes on from the backup; somebody still holds what was before.
	var before int64
	require.NoError(t, k.pool.QueryRow(t.Context(), "select version from cart where owner_id = $1", uid).Scan(&before))
	k.lose(t, uid)
	k.add(t, ctx, tea, 1)
	k.drain(t, true)
	var after int64
	require.NoError(t, k.pool.QueryRow(t.Context(), "select version from cart where owner_id = $1", uid).Scan(&after))
	require.Greater(t, after, before, "although the clock stands still")
}

func TestAChangeDuringAWriteBackIsWrittenToo(t *testing.T) {
	t.Parallel()
	k := setupOn(t, redistest.Client(t), clock.System{}, 0)
	ctx, uid := k.user(t)
	tea := k.catalogue.sell(brl(1), 10)
	k.add(t, ctx, tea, 1)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 { // two processes share the work
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, err := k.carts.WriteBack(context.Background(), true)
					if err != nil {
						t.Errorf("write back: %v", err)
						return
					}
				}
			}
		})
	}
	for range 100 {
		k.add(t, ctx, tea, 1)
	}
	close(stop)
	wg.Wait()
	k.drain(t, true)
	require.Zero(t, k.dirty(t))
	k.lose(t, uid)
	require.Equal(t, map[string]int64{tea: 101}, quantities(k.get(t, ctx)))
}

func TestCartsOfAProcessThatDiedAreWrittenByAnother(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, uid := k.user(t)
	tea := k.catalogue.sell(brl(1), 10)
	k.add(t, ctx, tea, 1)
	k.clock.Advance(2500 * time.Millisecond) // due, and a tick late
	dead, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := k.carts.WriteBack(dead, false) // claims nothing: the context is over
	require.Error(t, err)
	key := k.prefix + "carts:dirty"
	claimed := float64(k.clock.Now().Add(1500 * time.Millisecond).UnixMilli())
	require.NoError(t, k.redis.Do(t.Context(), k.redis.B().Zadd().Key(key).ScoreMember().ScoreMember(claimed, uid).Build()).Error())
	require.Zero(t, k.drain(t, false), "it is being written")
	k.clock.Advance(1500 * time.Millisecond)
	require.Equal(t, 1, k.drain(t, false), "4 s after the change")
	k.lose(t, uid)
	require.Equal(t, map[string]int64{tea: 1}, quantities(k.get(t, ctx)))
}

func TestAShutdownWritesAllBack(t *testing.T) {
	t.Parallel()
	k := setup(t)
	tea := k.catalogue.sell(brl(1), 10)
	var owners []string
	for range 450 { // more than two batches
		ctx, uid := k.user(t)
		owners = append(owners, uid)
		k.add(t, ctx, tea, 1)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, handler.WriteBack(k.carts, time.Hour, zap.NewNop())(ctx))
	var n int
	require.NoError(t, k.pool.QueryRow(t.Context(), "select count(*) from cart where owner_id = any($1)", owners).Scan(&n))
	require.Equal(t, 450, n)
	require.Zero(t, k.dirty(t))
}

// backup records the calls of the loop.
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

func TestTheLoopGoesOnAfterFailures(t *testing.T) {
	t.Parallel()
	b := &backup{calls: make(chan bool, 1), err: errors.New("PostgreSQL is away")}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- handler.WriteBack(b, time.Millisecond, zap.NewNop())(ctx) }()
	for range 5 {
		require.False(t, <-b.calls)
	}
	cancel()
	require.NoError(t, <-done)
}

func TestOldCartsAreForgotten(t *testing.T) {
	t.Parallel()
	k := setup(t)
	guest, gid := k.guest(t)
	user, uid := k.user(t)
	tea := k.catalogue.sell(brl(1), 10)
	k.add(t, guest, tea, 1)
	k.add(t, user, tea, 1)
	k.drain(t, true)
	for owner, days := range map[string]int64{gid: 30, uid: 180} {
		left, err := k.redis.Do(t.Context(), k.redis.B().Pttl().Key(k.prefix+"cart:"+owner).Build()).AsInt64()
		require.NoError(t, err)
		require.InDelta(t, days*24*3600*1000, left, 60_000)
	}
	k.clock.Advance(30 * 24 * time.Hour)
	k.lose(t, gid)
	k.lose(t, uid)
	require.Empty(t, k.get(t, guest).GetItems())
	require.Len(t, k.get(t, user).GetItems(), 1)
	n, err := k.carts.Forget(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestRedisAway(t *testing.T) {
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
	client, err := redisx.Open(t.Context(), redisx.Config{Addr: server.Addr()})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	k := setupOn(t, client, clock.System{}, 0)
	ctx, _ := k.user(t)
	tea := k.catalogue.sell(brl(1), 10)
	k.add(t, ctx, tea, 1)
	k.drain(t, true)
	require.NoError(t, server.Stop(t.Context()))
	_, err = k.client.GetCart(ctx, &cartv1.GetCartRequest{})
	code(t, errs.Unavailable, err)
	require.Positive(t, errs.From(err).RetryAfter)
	_, err = k.client.AddItem(ctx, &cartv1.AddItemRequest{VariantId: tea, Quantity: 1})
	code(t, errs.Unavailable, err)

	// It comes back with nothing: the same service goes on, with the backup.
	require.NoError(t, os.RemoveAll(dir))
	start()
	require.Eventually(t, func() bool {
		res, err := k.client.GetCart(ctx, &cartv1.GetCartRequest{})
		return err == nil && quantities(res.GetCart())[tea] == 1
	}, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, map[string]int64{tea: 2}, quantities(k.add(t, ctx, tea, 1)))

	// Without PostgreSQL nobody knows what is in a cart that is not in Redis.
	k.pool.Close()
	stranger, _ := k.user(t)
	_, err = k.client.GetCart(stranger, &cartv1.GetCartRequest{})
	require.Error(t, err)
}

func TestPostgresAwayIsNotNoticedForKnownCarts(t *testing.T) {
	t.Parallel()
	k := setup(t)
	ctx, _ := k.user(t)
	tea := k.catalogue.sell(brl(1), 10)
	k.add(t, ctx, tea, 1)
	k.pool.Close()
	require.Equal(t, map[string]int64{tea: 2}, quantities(k.add(t, ctx, tea, 1)))
	_, err := k.carts.WriteBack(t.Context(), true)
	require.Error(t, err)
	require.EqualValues(t, 1, k.dirty(t), "it stays dirty")
	_, err = k.client.RemoveOrdered(k.service(t, "order"), &cartv1.RemoveOrderedRequest{OwnerId: id.New(id.User), OrderId: id.New(id.Order)})
	require.Error(t, err)
}
