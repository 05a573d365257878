package tests

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	authv1 "souk/gen/go/souk/auth/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/redistest"
)

// security fakes the security service. It adds up what is reported.
type security struct {
	securityv1.UnimplementedSecurityServiceServer
	mu     sync.Mutex
	counts map[string]int64 // by kind and subject
	seen   []string         // user and country
}

func (s *security) ReportObservations(
	_ context.Context, r *securityv1.ReportObservationsRequest,
) (*securityv1.ReportObservationsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range r.GetObservations() {
		s.counts[o.GetKind()+" "+o.GetSubject()] += o.GetCount()
	}
	for _, x := range r.GetSightings() {
		s.seen = append(s.seen, x.GetUserId()+" "+x.GetCountryCode())
	}
	return &securityv1.ReportObservationsResponse{}, nil
}

// watched starts a gateway behind a proxy of this machine, with a security service.
func watched(t *testing.T, opts ...moduletest.Option) (*gateway, *security) {
	t.Helper()
	s := &security{counts: map[string]int64{}}
	g := setup(t, append([]moduletest.Option{
		config("trusted_proxies", []string{"127.0.0.1/32"}),
		moduletest.Fake("security", func(r grpc.ServiceRegistrar) { securityv1.RegisterSecurityServiceServer(r, s) }),
	}, opts...)...)
	return g, s
}

// from sends a request from an address.
func (g *gateway) from(address, method, target, body string, header ...string) answer {
	return g.send(method, target, body, append([]string{"X-Forwarded-For", address}, header...)...)
}

func TestRefusalsAreReported(t *testing.T) {
	t.Parallel()
	g, s := watched(t)
	const address = "203.0.113.7"
	get := func(target string, header ...string) int {
		return g.from(address, http.MethodGet, target, "", header...).StatusCode
	}
	// A wrong bearer token, and a sign-in that nobody has begun. Who sends no credential is no attacker.
	require.Equal(t, http.StatusUnauthorized, get("/v1/products", "Authorization", "Bearer wrong"))
	require.Equal(t, http.StatusUnauthorized, get("/auth/callback?code=x&state=y"))
	require.Equal(t, http.StatusUnauthorized, get("/v1/me"))
	require.Equal(t, http.StatusUnauthorized, get("/v1/me", "Authorization", asGuest))
	require.Equal(t, http.StatusOK, get("/v1/products"))
	require.Equal(t, http.StatusOK, get("/v1/products", "Cookie", "souk_session=ended"))
	// IPv6: the network of a subscriber.
	g.from("2001:db8::1", http.MethodGet, "/v1/products", "", "Authorization", "Bearer wrong")
	g.from("2001:db8::2", http.MethodGet, "/v1/products", "", "Authorization", "Bearer wrong")
	// Permissions. A page of another site is not the user's doing.
	require.Equal(t, http.StatusForbidden, get("/v1/operator/users", "Authorization", asUser))
	g.from(address, http.MethodPost, "/v1/cart/items", "{}", "Sec-Fetch-Site", "cross-site").
		problem(t, http.StatusForbidden, errs.Forbidden)
	// API keys: unknown, from a wrong address, without the permission.
	require.Equal(t, http.StatusUnauthorized, get("/v1/products", "Authorization", "Bearer souk_sk_guess"))
	g.setKey(&authv1.AuthenticateResponse{AllowedAddresses: []string{"198.51.100.0/24"}})
	require.Equal(t, http.StatusForbidden, get("/v1/products", "Authorization", asKey))
	g.from("198.51.100.1", http.MethodGet, "/v1/cart", "", "Authorization", asKey).
		problem(t, http.StatusForbidden, errs.Forbidden)
	// Services refuse.
	for _, code := range []errs.Code{errs.PaymentDeclined, errs.CardNumberRefused, errs.RateLimited, errs.RequestRefused} {
		g.products.answerWith(
			func(context.Context, string) (*productv1.Product, error) { return nil, errs.New(code, "no") },
		)
		require.GreaterOrEqual(t, get("/v1/products/"+newID(), "Authorization", asUser), http.StatusBadRequest)
	}
	g.Stop()
	require.Equal(t, map[string]int64{
		"failed_sign_ins 203.0.113.7":   2,
		"failed_sign_ins 2001:db8::/64": 2,
		"refused_permissions usr_1":     1,
		"api_key_misuse 203.0.113.7":    1,
		"api_key_misuse key_1":          2,
		"card_testing usr_1":            2,
		"rate_limits usr_1":             1,
		"firewall_refusals usr_1":       1,
	}, s.counts)
	require.Empty(t, s.seen, "countries are unknown")
}

func TestForgedWebhooksAreReported(t *testing.T) {
	t.Parallel()
	s := &security{counts: map[string]int64{}}
	g := setup(t,
		moduletest.Fake("security", func(r grpc.ServiceRegistrar) { securityv1.RegisterSecurityServiceServer(r, s) }),
		moduletest.Fake("payment", func(r grpc.ServiceRegistrar) {
			paymentv1.RegisterPaymentServiceServer(r, forged{})
		}))
	g.send(http.MethodPost, "/v1/webhooks/payments/sandbox", "{}").
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	g.Stop()
	require.Equal(t, map[string]int64{"webhook_forgeries 127.0.0.1": 1}, s.counts)
}

// forged is a payment service for which no webhook has the right signature.
type forged struct {
	paymentv1.UnimplementedPaymentServiceServer
}

func (forged) ReceiveWebhook(
	context.Context, *paymentv1.ReceiveWebhookRequest,
) (*paymentv1.ReceiveWebhookResponse, error) {
	return nil, errs.New(errs.Unauthenticated, "the signature is wrong")
}

func TestVoucherGuessesAreReported(t *testing.T) {
	t.Parallel()
	g, s := watched(t)
	rejected := errs.New(errs.VoucherInvalid, "2 vouchers cannot be used")
	rejected.Fields = []errs.Field{
		{Path: "voucherCodes[0]", Reason: "unknown"}, {Path: "voucherCodes[1]", Reason: "expired"},
	}
	g.orders.checkout = func(context.Context) (*orderv1.Order, error) { return nil, rejected }
	for range 2 { // the second answer is the first one, again
		g.send(http.MethodPost, "/v1/checkout", `{`+address+`,"payment":{"method":"cod"}}`, "Authorization", asUser,
			"Idempotency-Key", "voucher-guess").problem(t, http.StatusUnprocessableEntity, errs.VoucherInvalid)
	}
	res := g.send(http.MethodPost, "/v1/cart:quote", `{"voucherCodes":["A1B","A2B","A3B"]}`, "Authorization", asUser)
	require.Equal(t, http.StatusOK, res.StatusCode, res.body)
	g.Stop()
	require.Equal(t, map[string]int64{"voucher_guesses usr_1": 3}, s.counts)
}

func TestCountriesAreTakenFromTrustedProxiesAlone(t *testing.T) {
	t.Parallel()
	g, s := watched(t, config("country_header", "CF-IPCountry"))
	for _, country := range []string{"BR", "XX", "T1", "br", "BRA"} {
		g.send(http.MethodGet, "/v1/cart", "", "Authorization", "Bearer user-usr_"+country, "CF-IPCountry", country)
	}
	g.send(http.MethodGet, "/v1/cart", "", "Authorization", asUser)
	g.send(http.MethodGet, "/v1/products", "", "CF-IPCountry", "BR")
	g.Stop()
	require.Equal(t, []string{"usr_BR BR"}, s.seen)

	direct, s := watched(t, config("country_header", "CF-IPCountry"), config("trusted_proxies", []string{"10.0.0.0/8"}))
	direct.send(http.MethodGet, "/v1/cart", "", "Authorization", asUser, "CF-IPCountry", "BR")
	direct.Stop()
	require.Empty(t, s.seen)
}

func TestAGatewayServesWithoutTheSecurityService(t *testing.T) {
	t.Parallel()
	g := setup(t, moduletest.Redis(redistest.Private(t).Config()))
	g.send(http.MethodGet, "/v1/products", "", "Authorization", "Bearer wrong").
		problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	require.Equal(t, http.StatusOK, g.send(http.MethodGet, "/v1/products", "").StatusCode)
}
