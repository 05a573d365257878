package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

func TestVouchersAreCreatedChangedAndDisabled(t *testing.T) {
	t.Parallel()
	h := setup(t)
	req := tenPercent("welcome-10")
	req.ShopId = "the-shop"
	req.Conditions = &voucherv1.VoucherConditions{MinSubtotal: brl("50.00")}
	req.Limits = &voucherv1.VoucherLimits{Uses: 100, UsesPerCustomer: 1, Budget: brl("1000.00")}
	v := h.create(t, req)
	require.Regexp(t, "^vch_", v.GetId())
	require.Equal(t, shop, v.GetShopId())
	require.Equal(t, "WELCOME-10", v.GetCode())
	require.Equal(t, "10", v.GetPercent())
	require.Equal(t, "0.00", v.GetOperatorShare(), "the shop bears the cost of its voucher")
	require.Equal(t, "active", v.GetStatus())
	require.Equal(t, "0.00", v.GetSpent().GetAmount())
	require.True(t, proto.Equal(v, h.get(t, v.GetId())))

	change := &voucherv1.UpdateVoucherRequest{
		Id: v.GetId(), Percent: new("12.5"), EndsAt: timestamppb.New(v.GetStartsAt().AsTime().Add(time.Hour)),
		Limits: &voucherv1.VoucherLimits{Uses: 5},
	}
	res, err := h.voucher.UpdateVoucher(h.AsUser(seller), change)
	require.NoError(t, err)
	changed := res.GetVoucher()
	require.Equal(t, "12.5", changed.GetPercent())
	require.Equal(t, int64(5), changed.GetLimits().GetUses())
	require.Zero(t, changed.GetLimits().GetUsesPerCustomer(), "limits are replaced as a whole")
	require.Equal(t, "50.00", changed.GetConditions().GetMinSubtotal().GetAmount(), "absent fields stay")
	require.True(t, proto.Equal(changed, h.get(t, v.GetId())))
	again, err := h.voucher.UpdateVoucher(h.AsUser(seller), change)
	require.NoError(t, err)
	require.True(t, proto.Equal(changed, again.GetVoucher()), "a change to the same values changes nothing")

	for range 2 {
		res, err := h.voucher.DisableVoucher(h.AsUser(seller), &voucherv1.DisableVoucherRequest{Id: v.GetId()})
		require.NoError(t, err)
		require.Equal(t, "disabled", res.GetVoucher().GetStatus())
	}
	on, err := h.voucher.UpdateVoucher(h.AsUser(seller),
		&voucherv1.UpdateVoucherRequest{Id: v.GetId(), Status: new("active")})
	require.NoError(t, err)
	require.Equal(t, "active", on.GetVoucher().GetStatus())
}

func TestVouchersOfAShopAreForItsMembersAndOperators(t *testing.T) {
	t.Parallel()
	h := setup(t)
	v := h.create(t, tenPercent("TEN"))
	other := h.AsUser(visitor)
	notFound := func(err error) { require.True(t, errs.Is(err, errs.NotFound), err) }
	_, err := h.voucher.CreateShopVoucher(other, tenPercent("MINE"))
	notFound(err)
	_, err = h.voucher.ListShopVouchers(other, &voucherv1.ListShopVouchersRequest{ShopId: shop})
	notFound(err)
	_, err = h.voucher.GetVoucher(other, &voucherv1.GetVoucherRequest{Id: v.GetId()})
	notFound(err)
	_, err = h.voucher.UpdateVoucher(other, &voucherv1.UpdateVoucherRequest{Id: v.GetId(), Percent: new("99")})
	notFound(err)
	_, err = h.voucher.DisableVoucher(other, &voucherv1.DisableVoucherRequest{Id: v.GetId()})
	notFound(err)
	_, err = h.voucher.GetVoucher(h.AsUser(seller), &voucherv1.GetVoucherRequest{Id: "vch_1"})
	notFound(err)

	staff := h.AsUser(operator, "operator")
	_, err = h.voucher.GetVoucher(staff, &voucherv1.GetVoucherRequest{Id: v.GetId()})
	require.NoError(t, err)
	_, err = h.voucher.UpdateVoucher(h.AsUser(seller),
		&voucherv1.UpdateVoucherRequest{Id: v.GetId(), OperatorShare: new("100")})
	require.True(t, errs.Is(err, errs.Invalid), "a shop cannot charge the operator: %v", err)
	shared, err := h.voucher.UpdateVoucher(staff,
		&voucherv1.UpdateVoucherRequest{Id: v.GetId(), OperatorShare: new("50")})
	require.NoError(t, err)
	require.Equal(t, "50.00", shared.GetVoucher().GetOperatorShare())

	created, err := h.voucher.CreateMarketplaceVoucher(staff, &voucherv1.CreateMarketplaceVoucherRequest{
		Code: "TEN", Title: "Ten", Kind: "fixed_amount", Amount: brl("10.00"),
	})
	require.NoError(t, err, "another owner may have the same code")
	require.Equal(t, "100.00", created.GetVoucher().GetOperatorShare())
	_, err = h.voucher.GetVoucher(h.AsUser(seller), &voucherv1.GetVoucherRequest{Id: created.GetVoucher().GetId()})
	notFound(err)
	_, err = h.voucher.CreateMarketplaceVoucher(h.AsUser(seller), &voucherv1.CreateMarketplaceVoucherRequest{
		Code: "FREE", Title: "Free", Kind: "free_shipping",
	})
	require.True(t, errs.Is(err, errs.Forbidden), err)
}

func TestCodesAreUniqueInAShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	outcomes := moduletest.Concurrently(8, func(int) error {
		_, err := h.voucher.CreateShopVoucher(h.AsUser(seller), tenPercent("ten"))
		return err
	})
	created := 0
	for _, err := range outcomes {
		if err == nil {
			created++
			continue
		}
		require.True(t, errs.Is(err, errs.AlreadyExists), err)
		require.Equal(t, "code", errs.From(err).Fields[0].Path)
	}
	require.Equal(t, 1, created)
}

func TestInvalidVouchersAreRefusedWithTheirField(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for path, change := range map[string]func(*voucherv1.CreateShopVoucherRequest){
		"code":          func(r *voucherv1.CreateShopVoucherRequest) { r.Code = "TEN %" },
		"title":         func(r *voucherv1.CreateShopVoucherRequest) { r.Title = "See https://evil.example" },
		"kind":          func(r *voucherv1.CreateShopVoucherRequest) { r.Kind = "gift" },
		"percent":       func(r *voucherv1.CreateShopVoucherRequest) { r.Percent = "100.5" },
		"amount.amount": func(r *voucherv1.CreateShopVoucherRequest) { r.Amount = brl("1.005") },
		"limits.budget": func(r *voucherv1.CreateShopVoucherRequest) {
			r.Conditions = &voucherv1.VoucherConditions{MinSubtotal: brl("1.00")}
			budget := brl("5.00")
			budget.CurrencyCode = "EUR"
			r.Limits = &voucherv1.VoucherLimits{Budget: budget}
		},
		"startsAt":      func(r *voucherv1.CreateShopVoucherRequest) { r.StartsAt = &timestamppb.Timestamp{Seconds: -1 << 40} },
		"operatorShare": func(r *voucherv1.CreateShopVoucherRequest) { r.OperatorShare = "50" },
		"conditions.categoryIds[0]": func(r *voucherv1.CreateShopVoucherRequest) {
			r.Conditions = &voucherv1.VoucherConditions{CategoryIds: []string{"shoes"}}
		},
	} {
		req := tenPercent("TEN")
		change(req)
		_, err := h.voucher.CreateShopVoucher(h.AsUser(seller), req)
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", path, err)
		require.Equal(t, path, errs.From(err).Fields[0].Path, err)
	}
}

func TestListsOfVouchersAreCompleteAtAnyPageSize(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var want []string
	for _, code := range []string{"AAA", "BBB", "CCC", "DDD", "EEE"} {
		want = append([]string{h.create(t, tenPercent(code)).GetId()}, want...)
	}
	_, err := h.voucher.DisableVoucher(h.AsUser(seller), &voucherv1.DisableVoucherRequest{Id: want[0]})
	require.NoError(t, err)
	ids := func(status string, size int32) (out []string) {
		for token := ""; ; {
			res, err := h.voucher.ListShopVouchers(h.AsUser(seller), &voucherv1.ListShopVouchersRequest{
				ShopId: shop, Status: status, PageSize: size, PageToken: token,
			})
			require.NoError(t, err)
			for _, v := range res.GetVouchers() {
				out = append(out, v.GetId())
			}
			if token = res.GetNextPageToken(); token == "" {
				return out
			}
		}
	}
	for _, size := range []int32{1, 2, 100} {
		require.Equal(t, want, ids("", size))
	}
	require.Equal(t, want[1:], ids("active", 2))
	require.Equal(t, want[:1], ids("disabled", 2))
	require.Empty(t, ids("expired", 2))
}
