package tests

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"souk/apps/voucher"
	moneyv1 "souk/gen/go/souk/money/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	seller   = "usr_00000000000000000000000000000001"
	visitor  = "usr_00000000000000000000000000000002"
	operator = "usr_00000000000000000000000000000003"
	shop     = "shp_00000000000000000000000000000001"
)

// harness is the voucher service, with a fake of the shop service, and clients of it.
type harness struct {
	*moduletest.Service
	voucher voucherv1.VoucherServiceClient // as the gateway
	order   voucherv1.VoucherServiceClient
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	opts = append(opts,
		moduletest.Fake("shop", func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, shops{}) }))
	s := moduletest.Start(t, voucher.Module, opts...)
	return &harness{
		Service: s, voucher: voucherv1.NewVoucherServiceClient(s.Client("gateway")),
		order: voucherv1.NewVoucherServiceClient(s.Client("order")),
	}
}

// shops has one shop, with one member.
type shops struct {
	shopv1.UnimplementedShopServiceServer
}

func (shops) CheckMembership(
	_ context.Context, r *shopv1.CheckMembershipRequest,
) (*shopv1.CheckMembershipResponse, error) {
	if r.GetShopId() != shop && r.GetShopId() != "the-shop" {
		return &shopv1.CheckMembershipResponse{}, nil
	}
	return &shopv1.CheckMembershipResponse{ShopId: shop, Member: r.GetUserId() == seller}, nil
}

func brl(amount string) *moneyv1.Money { return &moneyv1.Money{CurrencyCode: "BRL", Amount: amount} }

func tenPercent(code string) *voucherv1.CreateShopVoucherRequest {
	return &voucherv1.CreateShopVoucherRequest{
		ShopId: shop, Code: code, Title: "Ten percent", Kind: "percent", Percent: "10",
	}
}

// create creates a voucher of the shop.
func (h *harness) create(t *testing.T, r *voucherv1.CreateShopVoucherRequest) *voucherv1.Voucher {
	t.Helper()
	res, err := h.voucher.CreateShopVoucher(h.AsUser(seller), r)
	require.NoError(t, err)
	return res.GetVoucher()
}

func (h *harness) get(t *testing.T, voucherID string) *voucherv1.Voucher {
	t.Helper()
	res, err := h.voucher.GetVoucher(h.AsUser(seller), &voucherv1.GetVoucherRequest{Id: voucherID})
	require.NoError(t, err)
	return res.GetVoucher()
}

// redemption is the use of a voucher by an order of a customer.
func redemption(
	orderID, customerID string,
	mailbox []byte,
	amount string,
	vouchers ...string,
) *voucherv1.RedeemVouchersRequest {
	r := &voucherv1.RedeemVouchersRequest{
		OrderId: orderID, Customer: &voucherv1.VoucherCustomer{CustomerId: customerID, Mailbox: mailbox},
	}
	for _, v := range vouchers {
		r.Uses = append(r.Uses, &voucherv1.VoucherUse{VoucherId: v, Amount: brl(amount), OperatorAmount: brl("0.00")})
	}
	return r
}

// redeem calls RedeemVouchers as a saga does: again while the service has too much to do.
func (h *harness) redeem(t *testing.T, r *voucherv1.RedeemVouchersRequest) error {
	t.Helper()
	for {
		if _, err := h.order.RedeemVouchers(t.Context(), r); !errs.Is(err, errs.Overloaded) {
			return err
		}
	}
}

func (h *harness) release(t *testing.T, orderID string) {
	t.Helper()
	_, err := h.order.ReleaseVouchers(t.Context(), &voucherv1.ReleaseVouchersRequest{OrderId: orderID})
	require.NoError(t, err)
}

func order() string { return id.New(id.Order) }

// reason returns the voucher and the reason of a voucher_invalid error.
func reason(err error) (voucherID, reason string) {
	if !errs.Is(err, errs.VoucherInvalid) || len(errs.From(err).Fields) != 1 {
		return "", ""
	}
	f := errs.From(err).Fields[0]
	return f.Path, f.Reason
}
