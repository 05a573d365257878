package tests

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/apps/voucher"
	orderv1 "souk/gen/go/souk/order/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/id"
	"souk/pkg/moduletest"
)

const (
	customer = "usr_0000000000000000000000000000000a"
	guest    = "gst_0000000000000000000000000000000b"
)

// requireInvariants checks the rules that "souk verify" checks.
func (h *harness) requireInvariants(t *testing.T) {
	t.Helper()
	rows, err := h.Pool.Query(t.Context(), voucher.Module.Invariants)
	require.NoError(t, err)
	var name, example string
	var checked, wrong int64
	_, err = pgx.ForEachRow(rows, []any{&name, &checked, &wrong, &example}, func() error {
		require.Zero(t, wrong, "%s: %s", name, example)
		return nil
	})
	require.NoError(t, err)
}

func TestRedemptionIsRepeatableAndReleasedOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	a, b := h.create(t, tenPercent("AAA")), h.create(t, tenPercent("BBB"))
	o := order()
	use := redemption(o, customer, nil, "2.50", b.GetId(), a.GetId())
	for _, err := range moduletest.Concurrently(4, func(int) error { return h.redeem(t, use) }) {
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), h.get(t, a.GetId()).GetUsed())
	require.Equal(t, "2.50", h.get(t, a.GetId()).GetSpent().GetAmount())
	h.requireInvariants(t)

	moduletest.Concurrently(4, func(int) error { h.release(t, o); return nil })
	require.Zero(t, h.get(t, a.GetId()).GetUsed())
	require.Nil(t, h.get(t, a.GetId()).GetSpent())
	require.True(t, errs.Is(h.redeem(t, use), errs.Conflict), "a late call to redeem is refused")
	require.Equal(t, []string{"evt.voucher.redeemed", "evt.voucher.released"}, h.Events(o))
	h.requireInvariants(t)

	late := order()
	h.release(t, late)
	err := h.redeem(t, redemption(late, customer, nil, "2.50", a.GetId()))
	require.True(t, errs.Is(err, errs.Conflict), "released before it was redeemed: %v", err)
	require.Empty(t, h.Events(late))
	h.requireInvariants(t)
}

// A call that fails between its writes leaves nothing, and one that fails after its commit is repeated without effect.
func TestCallsThatDieAtAFailpointCountOnce(t *testing.T) {
	// Not parallel: failpoints are the process's.
	died := errs.New(errs.Unavailable, "the process died here")
	h := setup(t)
	for i, point := range voucher.Failpoints() {
		t.Run(point, func(t *testing.T) {
			a, b := h.create(t, tenPercent(fmt.Sprintf("A-%02d", i))), h.create(t, tenPercent(fmt.Sprintf("B-%02d", i)))
			kept, released := order(), order()
			redeem := func(orderID string) func() error {
				use := redemption(orderID, customer, []byte("ana"), "2.50", a.GetId(), b.GetId())
				return func() error { return h.redeem(t, use) }
			}
			var hits atomic.Int64
			t.Cleanup(failpoint.Enable(point, failpoint.Call(func(context.Context) error {
				if hits.Add(1) == 1 {
					return died
				}
				return nil
			})))
			// A call that fails so is repeated: by the client or here.
			retried := func(call func() error) {
				t.Helper()
				err := call()
				if errs.Is(err, errs.Unavailable) {
					err = call()
				}
				require.NoError(t, err)
				h.requireInvariants(t)
			}
			retried(redeem(kept))
			retried(redeem(released))
			retried(func() error {
				_, err := h.order.ReleaseVouchers(t.Context(), &voucherv1.ReleaseVouchersRequest{OrderId: released})
				return err
			})
			require.Greater(t, hits.Load(), int64(1), "a call failed here and was repeated")
			for _, v := range []string{a.GetId(), b.GetId()} {
				require.Equal(t, int64(1), h.get(t, v).GetUsed())
				require.Equal(t, "2.50", h.get(t, v).GetSpent().GetAmount())
			}
			require.Equal(t, []string{"evt.voucher.redeemed"}, h.Events(kept))
			require.Equal(t, []string{"evt.voucher.redeemed", "evt.voucher.released"}, h.Events(released))
		})
	}
}

func TestVoucherIsUsedNoMoreOftenThanItsLimit(t *testing.T) {
	t.Parallel()
	h := setup(t)
	req := tenPercent("FIFTY")
	req.Limits = &voucherv1.VoucherLimits{Uses: 50}
	v, other := h.create(t, req), h.create(t, tenPercent("OTHER"))
	outcomes := moduletest.Concurrently(400, func(i int) error {
		vouchers := []string{v.GetId(), other.GetId()}
		if i%2 == 0 { // the order of the vouchers must not matter
			vouchers[0], vouchers[1] = vouchers[1], vouchers[0]
		}
		return h.redeem(t, redemption(order(), id.New(id.User), nil, "1.00", vouchers...))
	})
	redeemed := 0
	for _, err := range outcomes {
		if err == nil {
			redeemed++
			continue
		}
		voucherID, why := reason(err)
		require.Equal(t, v.GetId()+" used_up", voucherID+" "+why, err)
	}
	require.Equal(t, 50, redeemed)
	require.Equal(t, int64(50), h.get(t, v.GetId()).GetUsed())
	require.Equal(t, int64(50), h.get(t, other.GetId()).GetUsed(), "all vouchers of an order or none")
	require.Equal(t, []string{"evt.voucher.used_up"}, h.Events(v.GetId()))
	require.Empty(t, h.Events(other.GetId()))
	h.requireInvariants(t)
}

func TestVoucherSpendsNoMoreThanItsBudget(t *testing.T) {
	t.Parallel()
	h := setup(t)
	req := tenPercent("BUDGET")
	req.Limits = &voucherv1.VoucherLimits{Budget: brl("100.00")}
	v := h.create(t, req)
	outcomes := moduletest.Concurrently(40, func(int) error {
		return h.redeem(t, redemption(order(), id.New(id.User), nil, "7.00", v.GetId()))
	})
	redeemed := 0
	for _, err := range outcomes {
		if err == nil {
			redeemed++
			continue
		}
		_, why := reason(err)
		require.Equal(t, "budget_spent", why, err)
	}
	require.Equal(t, 14, redeemed)
	require.Equal(t, "98.00", h.get(t, v.GetId()).GetSpent().GetAmount())
	notification := voucherv1.NewVoucherServiceClient(h.Client("notification"))
	ask := &voucherv1.GetVoucherForNoticeRequest{Id: v.GetId()}
	res, err := notification.GetVoucherForNotice(t.Context(), ask)
	require.NoError(t, err)
	require.False(t, res.GetUsedUp())
	require.Empty(t, h.Events(v.GetId()))
	require.NoError(t, h.redeem(t, redemption(order(), customer, nil, "2.00", v.GetId())), "the rest of the budget")
	require.Equal(t, []string{"evt.voucher.used_up"}, h.Events(v.GetId()))
	res, err = notification.GetVoucherForNotice(t.Context(), ask)
	require.NoError(t, err)
	require.True(t, res.GetUsedUp())
	require.Equal(t, "BUDGET", res.GetCode())
	h.requireInvariants(t)
}

func TestCustomersUseAVoucherNoMoreOftenThanTheirLimit(t *testing.T) {
	t.Parallel()
	h := setup(t)
	req := tenPercent("TWICE")
	req.Limits = &voucherv1.VoucherLimits{UsesPerCustomer: 2}
	v := h.create(t, req)
	count := func(customerOf func() string, mailbox []byte) int {
		n := 0
		for _, err := range moduletest.Concurrently(12, func(int) error {
			return h.redeem(t, redemption(order(), customerOf(), mailbox, "1.00", v.GetId()))
		}) {
			if err == nil {
				n++
				continue
			}
			_, why := reason(err)
			require.Equal(t, "already_used", why, err)
		}
		return n
	}
	require.Equal(t, 2, count(func() string { return customer }, nil))
	require.Equal(t, 2, count(func() string { return id.New(id.Guest) }, []byte("ana")), "guests count by mailbox")
	require.Equal(t, 2, count(func() string { return id.New(id.Guest) }, []byte("eva")))
	require.Equal(t, int64(6), h.get(t, v.GetId()).GetUsed())
	h.requireInvariants(t)
}

func TestUsesOfAGuestBecomeThoseOfTheUser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	req := tenPercent("ONCE")
	req.Limits = &voucherv1.VoucherLimits{UsesPerCustomer: 1}
	v := h.create(t, req)
	o := order()
	require.NoError(t, h.redeem(t, redemption(o, guest, []byte("ana"), "1.00", v.GetId())))
	for range 2 {
		_, err := h.order.AdoptVoucherUses(t.Context(), &voucherv1.AdoptVoucherUsesRequest{
			GuestId: guest, UserId: customer, OrderIds: []string{o, order()},
		})
		require.NoError(t, err)
		h.requireInvariants(t)
	}
	_, why := reason(h.redeem(t, redemption(order(), customer, nil, "1.00", v.GetId())))
	require.Equal(t, "already_used", why)
	h.release(t, o)
	h.requireInvariants(t)
	require.NoError(t, h.redeem(t, redemption(order(), customer, nil, "1.00", v.GetId())))
}

func TestCancelledOrdersGiveTheirVouchersBack(t *testing.T) {
	t.Parallel()
	h := setup(t)
	v := h.create(t, tenPercent("TEN"))
	o := order()
	require.NoError(t, h.redeem(t, redemption(o, customer, nil, "1.00", v.GetId())))
	cancelled := func(orderID string, version int64, c *orderv1.OrderCancelled) event.Event {
		c.OrderId = orderID
		e, err := event.New(t.Context(), "evt.order.cancelled", orderID, version, time.Now(), c)
		require.NoError(t, err)
		return e
	}
	h.Deliver("order",
		cancelled(o, 3, &orderv1.OrderCancelled{WasConfirmed: true, Partial: true}),
		cancelled(order(), 2, &orderv1.OrderCancelled{}),
		cancelled(order(), 2, &orderv1.OrderCancelled{WasConfirmed: true}))
	require.Equal(t, int64(1), h.get(t, v.GetId()).GetUsed(), "a part of the order stays")
	h.Deliver("order", cancelled(o, 4, &orderv1.OrderCancelled{WasConfirmed: true}))
	require.Zero(t, h.get(t, v.GetId()).GetUsed())
	h.requireInvariants(t)
	require.Equal(t, int64(1), moduletest.Value[int64](h.Service, `select count(*) from redemption`),
		"orders without vouchers leave nothing")
}

func TestVouchersAreEvaluatedAsTheyAre(t *testing.T) {
	t.Parallel()
	h := setup(t)
	req := tenPercent("ONCE")
	req.Limits = &voucherv1.VoucherLimits{UsesPerCustomer: 1}
	v := h.create(t, req)
	first := tenPercent("FIRST")
	first.Conditions = &voucherv1.VoucherConditions{FirstOrderOnly: true}
	f := h.create(t, first)
	evaluate := func(mailbox string, codes ...string) *voucherv1.EvaluateVouchersResponse {
		res, err := h.order.EvaluateVouchers(t.Context(), &voucherv1.EvaluateVouchersRequest{
			Customer: &voucherv1.VoucherCustomer{
				CustomerId: id.New(id.Guest),
				Mailbox:    []byte(mailbox),
				FirstOrder: true,
			},
			Codes: codes,
			Lines: []*voucherv1.EvaluatedLine{{ShopId: shop, Quantity: 3, UnitPrice: brl("9.99")}},
			Shops: []*voucherv1.EvaluatedShop{{ShopId: shop, Shipping: brl("5.00")}},
		})
		require.NoError(t, err)
		return res
	}
	res := evaluate("ana", "once", "nothing")
	require.Len(t, res.GetVouchers(), 1)
	require.Equal(t, "3.00", res.GetVouchers()[0].GetLines()[0].GetAmount().GetAmount(), "10 % of 29.97")
	require.Empty(t, res.GetVouchers()[0].GetShipping())
	require.Equal(t, "unknown", res.GetRejected()[0].GetReason())
	require.Equal(t, int32(1), res.GetRejected()[0].GetCodeIndex())

	require.NoError(t, h.redeem(t, redemption(order(), guest, []byte("ana"), "3.00", v.GetId(), f.GetId())))
	require.Equal(t, "already_used", evaluate("ana", "once").GetRejected()[0].GetReason())
	require.Equal(t, "already_used", evaluate("ana", "first").GetRejected()[0].GetReason())
	second := tenPercent("FIRST-TOO")
	second.Conditions = first.GetConditions()
	h.create(t, second)
	require.Equal(t, "not_applicable", evaluate("ana", "first-too").GetRejected()[0].GetReason(),
		"a mailbox has one first order at a shop")
	require.Empty(t, evaluate("eva", "first-too").GetRejected())
}
