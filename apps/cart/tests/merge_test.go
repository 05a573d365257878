package tests

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/cart/internal/domain"
	"souk/apps/cart/internal/repository"
	"souk/pkg/id"
	"souk/pkg/redistest"
)

// unfinished calls test with carts of a user and a guest whose merge dies at each of its commands, before the command
// and before its answer.
func (h *harness) unfinished(t *testing.T, test func(t *testing.T, user, guest string)) {
	t.Helper()
	for n, died := 1, true; died; n++ {
		died = false
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("command %d, answer lost: %v", n, lost), func(t *testing.T) {
				user, guest := id.New(id.User), id.New(id.Guest)
				h.fill(t, user, map[string]int64{"tea": 3, "cup": 1})
				h.fill(t, guest, map[string]int64{"tea": 2, "pot": 1})
				h.drain(t, true)
				mortal := redistest.NewMortal(h.redis, n, lost)
				carts, err := repository.New(mortal, h.Pool, h.carts.Options)
				require.NoError(t, err)
				_, _, err = carts.Merge(t.Context(), guest, user)
				require.Equal(t, mortal.Died(), err != nil, "%v", err)
				died = died || mortal.Died()
				test(t, user, guest)
			})
		}
	}
}

func (h *harness) fill(t *testing.T, owner string, lines map[string]int64) {
	t.Helper()
	for variant, n := range lines {
		_, err := h.carts.Add(t.Context(), owner, variant, n, "BRL")
		require.NoError(t, err)
	}
}

// has returns the quantities in an owner's cart.
func (h *harness) has(t *testing.T, owner string) map[string]int64 {
	t.Helper()
	c, err := h.carts.Get(t.Context(), owner)
	require.NoError(t, err)
	out := map[string]int64{}
	for _, l := range c.Lines {
		out[l.VariantID] += l.Quantity
	}
	return out
}

// merged makes the merge, and checks that it has happened once.
func (h *harness) merged(t *testing.T, user, guest string) {
	t.Helper()
	_, _, err := h.carts.Merge(t.Context(), guest, user)
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"tea": 5, "cup": 1, "pot": 1}, h.has(t, user))
	require.Empty(t, h.has(t, guest))
}

func TestUnfinishedMergeIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.unfinished(t, func(t *testing.T, user, guest string) { h.merged(t, user, guest) })
}

func TestUnfinishedMergeIsFinishedByTheWriteBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.unfinished(t, func(t *testing.T, user, guest string) {
		h.drain(t, true)
		all := h.has(t, user)
		for variant, n := range h.has(t, guest) {
			all[variant] += n
		}
		require.Equal(t, map[string]int64{"tea": 5, "cup": 1, "pot": 1}, all)
		require.Empty(t, h.keys(t, "cart:*"+guest+":moving"))
		require.Zero(t, h.dirty(t))
		h.merged(t, user, guest)
	})
}

func TestUnfinishedMergeSurvivesALossOfRedis(t *testing.T) {
	t.Parallel()
	for _, saved := range []string{"nothing", "the user's cart", "the guest's cart"} {
		t.Run(saved+" saved", func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.unfinished(t, func(t *testing.T, user, guest string) {
				switch saved {
				case "the user's cart":
					require.NoError(t, h.carts.Save(t.Context(), user))
				case "the guest's cart":
					require.NoError(t, h.carts.Save(t.Context(), guest))
				}
				h.lose(t, user)
				h.lose(t, guest)
				h.merged(t, user, guest)
			})
		})
	}
}

// A checkout of the guest's cart was in flight when the merge died.
func TestOrderedItemsLeaveTheUsersCartAfterAnUnfinishedMerge(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.unfinished(t, func(t *testing.T, user, guest string) {
		orderID := id.New(id.Order)
		for range 2 {
			_, err := h.carts.RemoveOrdered(t.Context(), guest, orderID, h.clock.Now().UnixMicro(),
				[]domain.Line{{VariantID: "tea", Quantity: 2}, {VariantID: "pot", Quantity: 1}})
			require.NoError(t, err)
		}
		_, _, err := h.carts.Merge(t.Context(), guest, user)
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"tea": 3, "cup": 1}, h.has(t, user))
		require.Empty(t, h.has(t, guest))
	})
}

// A guest signs in as two users at once, in several tabs.
func TestConcurrentMergesGiveEachPieceOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for range 20 {
		users, guest := []string{id.New(id.User), id.New(id.User)}, id.New(id.Guest)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				_, err := h.carts.Add(t.Context(), guest, "tea", 1, "BRL")
				require.NoError(t, err)
				_, _, err = h.carts.Merge(t.Context(), guest, users[i%2])
				require.NoError(t, err)
			})
			wg.Go(func() {
				_, err := h.carts.WriteBack(t.Context(), true)
				require.NoError(t, err)
			})
		}
		wg.Wait()
		require.EqualValues(t, 8, h.has(t, users[0])["tea"]+h.has(t, users[1])["tea"])
		require.Empty(t, h.has(t, guest))
	}
}
