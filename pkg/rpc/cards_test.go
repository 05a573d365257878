package rpc_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/rpc"
)

func TestCardNumbersAreRefusedWhereSomebodyMightTypeThem(t *testing.T) {
	t.Parallel()
	address := func(change func(*orderv1.ShippingAddress)) proto.Message {
		a := &orderv1.ShippingAddress{}
		change(a)
		return &orderv1.CheckoutRequest{ShippingAddress: a}
	}
	for _, number := range []string{
		"4111111111111111", "4111111111111111cvv123", "4111 \u2026 1111 \u2026 1111\u20261111", "4111,1111,1111,1111", "5555-5555-5555-4444", "3782 822463 10005", "4111 - 1111 - 1111 - 1111",
		"4\u200b111\u200b1111\u200b1111\u200b1111", "\uff14\uff11\uff11\uff11 1111 1111 1111",
		"\u0664\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661\u0661",
	} {
		for path, m := range map[string]proto.Message{
			"payment.token":              &orderv1.CheckoutRequest{Payment: &orderv1.PaymentInput{Token: number}},
			"shippingAddress.name":       address(func(a *orderv1.ShippingAddress) { a.Name = "Ana " + number }),
			"shippingAddress.line1":      address(func(a *orderv1.ShippingAddress) { a.Line1 = number }),
			"shippingAddress.line2":      address(func(a *orderv1.ShippingAddress) { a.Line2 = number }),
			"shippingAddress.city":       address(func(a *orderv1.ShippingAddress) { a.City = number }),
			"shippingAddress.region":     address(func(a *orderv1.ShippingAddress) { a.Region = number }),
			"shippingAddress.postalCode": address(func(a *orderv1.ShippingAddress) { a.PostalCode = number }),
			"reason":                     &orderv1.CancelOrderRequest{Id: "ord_1", Reason: "charge " + number + " instead"},
			"token":                      &paymentv1.AuthorizeRequest{Token: number},
			"name":                       &userv1.UpdateMeRequest{Name: &number},
			"description":                &shopv1.CreateShopRequest{Name: "Casa", Description: number},
			"city":                       &shopv1.UpdateShopRequest{City: &number},
		} {
			err := rpc.Validate(m)
			require.Equal(t, errs.CardNumberRefused, errs.CodeOf(err), "%s: %q: %v", path, number, err)
			require.Equal(t, path, errs.From(err).Fields[0].Path)
			require.NotContains(t, err.Error(), "1111")
		}
	}
}

func TestACardNumberIsNoPhoneNumber(t *testing.T) {
	t.Parallel()
	for phone, code := range map[string]errs.Code{
		"": "", "1234": "", "+55 11 91234-5678": "", "(030) 1234.567": "", "+123456789012345": "",
		"4111 1111 1111 1111": errs.Invalid, "4111111111111111": errs.Invalid,
		"( ) ...": errs.Invalid, "123" + strings.Repeat(" ", 30) + "4": errs.Invalid,
	} {
		require.Equal(t, code, errs.CodeOf(rpc.Validate(&userv1.UpdateMeRequest{Phone: &phone})), phone)
	}
}

// digits returns n digits at random.
func digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(rand.IntN(10)) //nolint:gosec // not a secret
	}
	return string(b)
}

// gtin returns a barcode of n digits with its check digit.
func gtin(n int) string {
	d := digits(n - 1)
	sum := 0
	for i := range len(d) {
		weight := 3
		if (len(d)-1-i)%2 == 1 {
			weight = 1
		}
		sum += weight * int(d[i]-'0')
	}
	return d + string('0'+byte((10-sum%10)%10))
}

func TestWhatIdentifiesSomethingIsNeverACard(t *testing.T) {
	t.Parallel()
	const passesForACard = "4111111111111111"
	made := []func() (email, tracking, sku string){
		func() (string, string, string) { return digits(16) + "@example.com", digits(16), gtin(13) }, // Canada Post
		func() (string, string, string) { // USPS
			return "load." + digits(
					19,
				) + "@example.com", "9400 " + digits(
					4,
				) + " " + digits(
					4,
				) + " " + digits(
					4,
				) + " " + digits(
					6,
				), gtin(
					14,
				)
		},
		func() (string, string, string) {
			return digits(14) + "@" + digits(15) + ".example", digits(12), gtin(12)
		}, // FedEx
		func() (string, string, string) {
			return "4" + digits(15) + "@example.com", "JD" + digits(18), digits(18)
		}, // DHL
		func() (string, string, string) {
			return "ana-" + passesForACard + "@example.com", "AA" + digits(9) + "BR", digits(16)
		}, // Correios
		func() (string, string, string) {
			return passesForACard + "@example.com", passesForACard, passesForACard
		},
	}
	for i := range 100_000 / 3 {
		email, tracking, sku := made[i%len(made)]()
		for _, m := range []proto.Message{
			&orderv1.CheckoutRequest{Email: email},
			&orderv1.ShipShopOrderRequest{Id: "sho_1", Carrier: "Post", TrackingNumber: tracking},
			&productv1.CreateProductRequest{Variants: []*productv1.VariantInput{{Sku: sku}}},
		} {
			require.NotEqual(t, errs.CardNumberRefused, errs.CodeOf(rpc.Validate(m)), "%v", m)
		}
	}
	for _, m := range []proto.Message{
		&orderv1.GetOrderRequest{Id: passesForACard}, &productv1.SearchProductsRequest{Query: passesForACard},
		&orderv1.CheckoutRequest{ShippingAddress: &orderv1.ShippingAddress{Phone: passesForACard}},
	} {
		require.NotEqual(t, errs.CardNumberRefused, errs.CodeOf(rpc.Validate(m)), "%v", m)
	}
}
