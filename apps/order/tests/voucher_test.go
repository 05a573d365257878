package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
)

// withShipping is a configuration with a flat rate for shipping.
var withShipping = map[string]any{"shipping": map[string]any{"BRL": "8.00"}}

func withCodes(codes ...string) *orderv1.CheckoutRequest {
	r := checkoutRequest("tok_ok")
	r.VoucherCodes = codes
	return r
}

func (h *harness) quote(c identity.Actor, codes ...string) (*orderv1.Quote, error) {
	res, err := h.client.QuoteCart(h.As(c), &orderv1.QuoteCartRequest{VoucherCodes: codes})
	return res.GetQuote(), err
}

func TestOrderCostsWhatTheQuoteSaid(t *testing.T) {
	t.Parallel()
	h := setup(t, withShipping)
	c := h.newCustomer()
	q, err := h.quote(c, "TEN", "NOTHING", "FIRST")
	require.NoError(t, err)
	require.Equal(t, "49.99", q.GetSubtotal().GetAmount())
	require.Equal(t, "9.98", q.GetDiscount().GetAmount(), "twice 3.00 and 1.99")
	require.Equal(t, "16.00", q.GetShipping().GetAmount())
	require.Equal(t, "56.01", q.GetTotal().GetAmount())
	require.Len(t, q.GetRejectedVouchers(), 1)
	require.Equal(t, "NOTHING", q.GetRejectedVouchers()[0].GetCode())
	require.Equal(t, "unknown", q.GetRejectedVouchers()[0].GetReason())
	first := q.GetLines()[0]
	require.Equal(t, "30.00", first.GetSubtotal().GetAmount())
	require.Equal(t, "24.00", first.GetTotal().GetAmount())
	require.Equal(t, "TEN", first.GetDiscounts()[0].GetCode())
	require.Equal(t, "3.00", first.GetDiscounts()[0].GetAmount().GetAmount())

	r := withCodes("TEN", "FIRST")
	r.ExpectedTotal = q.GetTotal()
	o, err := h.checkout(c, "k", r)
	require.NoError(t, err)
	for _, o := range []*orderv1.Order{o, h.get(c, o.GetId())} {
		require.Equal(t, "9.98", o.GetDiscount().GetAmount())
		require.Equal(t, "56.01", o.GetTotal().GetAmount())
		part := o.GetShopOrders()[0]
		require.Equal(t, "6.00", part.GetDiscount().GetAmount())
		require.Equal(t, "32.00", part.GetTotal().GetAmount())
		require.Equal(t, "6.00", part.GetItems()[0].GetDiscount().GetAmount())
		require.Len(t, part.GetItems()[0].GetDiscounts(), 2)
		require.Nil(t, part.GetOperatorDiscount(), "customers need not know who bears it")
	}
	h.waitForSagas()
	require.Equal(t, 1, h.count(h.moved, "redeem vch_TEN 4.99 2.49"))
	require.Equal(t, "56.01", h.money[o.GetId()].GetAmount().GetAmount())
	shown, err := h.shopOrder(operator(), o.GetShopOrders()[0].GetId())
	require.NoError(t, err)
	require.Equal(t, "3.00", shown.GetOperatorDiscount().GetAmount())

	h.fill(c.ID, line("var_a", 1))
	q, err = h.quote(c, "FIRST")
	require.NoError(t, err)
	require.Equal(t, "not_applicable", q.GetRejectedVouchers()[0].GetReason(), "the customer has an order")
	require.Empty(t, h.violations())
	h.requireConsistent()
}

func TestCheckoutRefusesVouchersThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	for range 2 { // the second one repeats the answer
		_, err := h.checkout(c, "k", withCodes("TEN", "NOTHING"))
		require.Equal(t, errs.VoucherInvalid, errs.CodeOf(err), "%v", err)
		require.Equal(t, []errs.Field{
			{Path: "voucherCodes[1]", Message: "there is no such voucher", Reason: "unknown"},
		}, errs.From(err).Fields)
	}
	require.Zero(t, h.count(h.asked, "ReserveInventory"))
	_, err := h.checkout(c, "k2", withCodes("TEN"))
	require.NoError(t, err, "the cart is free")
}

func TestVoucherThatIsUsedUpMeanwhileRefusesTheCheckout(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	refusal := errs.New(errs.VoucherInvalid, "the voucher has been used up")
	refusal.Fields = []errs.Field{{Path: "vch_FIRST", Message: "the voucher has been used up", Reason: "used_up"}}
	h.fail["RedeemVouchers"] = []error{refusal}
	for range 2 {
		_, err := h.checkout(c, "k", withCodes("TEN", "FIRST"))
		require.Equal(t, errs.VoucherInvalid, errs.CodeOf(err), "%v", err)
		require.Equal(t, []errs.Field{
			{Path: "voucherCodes[1]", Message: "the voucher has been used up", Reason: "used_up"},
		}, errs.From(err).Fields)
	}
	h.waitForSagas()
	require.Zero(t, h.count(h.asked, "Authorize"), "nothing is charged")
	require.Zero(t, h.reserved["var_a"])
	require.Empty(t, h.violations())
}

func TestRefusedCheckoutReleasesItsVouchers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	lost := errs.New(errs.Timeout, "the answer was lost")
	h.fail["RedeemVouchers"] = []error{lost, lost}
	r := withCodes("TEN")
	r.Payment.Token = "tok_declined"
	_, err := h.checkout(c, "k", r)
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
	h.waitForSagas()
	var orderID string
	require.NoError(
		t,
		h.Pool.QueryRow(t.Context(), `select id from orders where customer_id = $1`, c.ID).Scan(&orderID),
	)
	require.Equal(t, "released", h.redemption(orderID))
	require.Empty(t, h.violations())
	h.requireConsistent()
}

func TestVouchersMayPayForAWholeOrder(t *testing.T) {
	t.Parallel()
	h := setup(t, withShipping)
	c := h.newCustomer()
	o, err := h.checkout(c, "k", withCodes("ALL"))
	require.NoError(t, err)
	require.Equal(t, "0.00", o.GetTotal().GetAmount())
	require.Equal(t, "0.00", o.GetShipping().GetAmount())
	require.Equal(t, "captured", o.GetPayment().GetStatus())
	require.Empty(t, o.GetPayment().GetId())
	h.waitForSagas()
	require.Zero(t, h.count(h.asked, "Authorize"))
	require.Zero(t, h.count(h.asked, "Capture"))
	part := h.get(c, o.GetId()).GetShopOrders()[0]
	require.Equal(t, "8.00", part.GetShippingDiscounts()[0].GetAmount().GetAmount())
	_, err = h.ship(operator(), part.GetId())
	require.NoError(t, err, "it needs no payment")
	got, err := h.cancel(c, o.GetId())
	require.NoError(t, err)
	require.Equal(t, "cancelled", got.GetShopOrders()[1].GetStatus())
	require.Zero(t, h.count(h.asked, "Refund"))
	require.Empty(t, h.violations())
}

func TestCancelledPartsGiveBackWhatWasPaidForThem(t *testing.T) {
	t.Parallel()
	h := setup(t, withShipping)
	c := h.newCustomer()
	o, err := h.checkout(c, "k", withCodes("TEN"))
	require.NoError(t, err)
	h.waitForSagas()
	h.handlePayment(o.GetId(), "captured", 3)
	for _, p := range o.GetShopOrders() {
		_, err := h.cancel(c, o.GetId(), p.GetId())
		require.NoError(t, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Equal(t, "61.00", o.GetTotal().GetAmount())
	require.EqualValues(t, 61_00, h.givenBack[o.GetId()])
}

func TestQuotesHaveNoEffect(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	for range 3 {
		q, err := h.quote(c, "TEN")
		require.NoError(t, err)
		require.Equal(t, "45.00", q.GetTotal().GetAmount())
	}
	require.Zero(t, h.count(h.asked, "ReserveInventory")+h.count(h.asked, "RedeemVouchers"))
	require.Zero(t, moduletest.Value[int](h.Service, `select count(*) from orders`))
	_, err := h.quote(user("empty"))
	require.Equal(t, errs.CartEmpty, errs.CodeOf(err), "%v", err)
	_, err = h.client.QuoteCart(h.As(c), &orderv1.QuoteCartRequest{
		ShippingAddress: &orderv1.ShippingAddress{Name: "Ana", Line1: "Rua 1", CountryCode: "XX"},
	})
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
	_, err = h.client.QuoteCart(h.As(c), &orderv1.QuoteCartRequest{AddressId: "adr_none"})
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "%v", err)
}

func TestCheckoutsWithoutCodesNeverAskForVouchers(t *testing.T) {
	t.Parallel()
	h := setup(t)
	away := errs.New(errs.Unavailable, "away")
	h.fail["EvaluateVouchers"], h.fail["RedeemVouchers"] = []error{away}, []error{away}
	h.confirmedOrder(h.newCustomer())
	_, err := h.checkout(h.newCustomer(), "k", checkoutRequest("tok_declined"))
	require.Equal(t, errs.PaymentDeclined, errs.CodeOf(err), "%v", err)
	h.waitForSagas()
	require.Zero(t, h.count(h.asked, "EvaluateVouchers")+h.count(h.asked, "RedeemVouchers")+
		h.count(h.asked, "ReleaseVouchers"))
}
