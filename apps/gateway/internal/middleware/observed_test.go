package middleware

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
	"souk/pkg/identity"
)

func TestRefusalsHaveKinds(t *testing.T) {
	t.Parallel()
	user, guest := identity.Actor{
		Kind: identity.KindUser,
		ID:   "usr_1",
	}, identity.Actor{
		Kind: identity.KindGuest,
		ID:   "gst_1",
	}
	key := identity.Actor{Kind: identity.KindKey, ID: "key_1"}
	const token, secret = "Bearer x", "bearer  souk_sk_x"
	for name, tc := range map[string]struct {
		x      Exchange
		header string
		want   string
	}{
		"answered":                  {Exchange{Actor: user, Method: "m"}, token, ""},
		"not found":                 {Exchange{Actor: user, Method: "m", Code: string(errs.NotFound)}, token, ""},
		"no credential":             {Exchange{Method: "m", Code: string(errs.Unauthenticated)}, "", ""},
		"a guest":                   {Exchange{Actor: guest, Method: "m", Code: string(errs.Unauthenticated)}, token, ""},
		"a wrong token":             {Exchange{Code: string(errs.Unauthenticated)}, token, "failed_sign_ins"},
		"must wait":                 {Exchange{Code: string(errs.LockedOut)}, token, "failed_sign_ins"},
		"suspended":                 {Exchange{Code: string(errs.AccountSuspended)}, token, "failed_sign_ins"},
		"a sign-in":                 {Exchange{Route: SignInCallback, Code: string(errs.Unauthenticated)}, "", "failed_sign_ins"},
		"a sign-in that must wait":  {Exchange{Route: SignInCallback, Code: string(errs.LockedOut)}, "", "failed_sign_ins"},
		"an unknown key":            {Exchange{Code: string(errs.Unauthenticated)}, secret, "api_key_misuse"},
		"a key from elsewhere":      {Exchange{refused: key, Code: string(errs.Forbidden)}, secret, "api_key_misuse"},
		"a key without the scope":   {Exchange{Actor: key, Method: "m", Code: string(errs.Forbidden)}, secret, "api_key_misuse"},
		"a forged webhook":          {Exchange{Route: PaymentWebhooks, Code: string(errs.Unauthenticated)}, "", "webhook_forgeries"},
		"without the permission":    {Exchange{Actor: user, Method: "m", Code: string(errs.Forbidden)}, token, "refused_permissions"},
		"a page of another site":    {Exchange{Actor: user, Code: string(errs.Forbidden)}, "", ""},
		"needs a second operator":   {Exchange{Actor: user, Method: "m", Code: string(errs.ApprovalRequired)}, token, ""},
		"too many requests":         {Exchange{Actor: user, Code: string(errs.RateLimited)}, token, "rate_limits"},
		"a card number":             {Exchange{Actor: user, Code: string(errs.CardNumberRefused)}, token, "card_testing"},
		"a declined card":           {Exchange{Actor: guest, Code: string(errs.PaymentDeclined)}, token, "card_testing"},
		"an attack on the firewall": {Exchange{Code: string(errs.RequestRefused)}, "", "firewall_refusals"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "[2001:db8::1]:4711"
		if tc.header != "" {
			r.Header.Set("Authorization", tc.header)
		}
		require.Equal(t, tc.want, tc.x.observed(r), name)
		want := "2001:db8::/64"
		switch {
		case tc.x.Actor.IsUser() || tc.x.Actor.IsKey():
			want = tc.x.Actor.ID
		case tc.x.refused.IsKey():
			want = "key_1"
		}
		require.Equal(t, want, tc.x.subject(r, nil), name)
	}
}
