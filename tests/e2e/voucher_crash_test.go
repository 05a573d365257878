package e2e

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/voucher"
	"souk/pkg/waittest"
)

// TestVoucherCrashInItsTransaction kills the voucher process in a redemption or its release, between the writes,
// before the commit and after it, while the other services run on. Every paid checkout has used the voucher once, and
// every refused one has given it back.
func TestVoucherCrashInItsTransaction(t *testing.T) {
	t.Parallel()
	s := start(t, "split", []string{"SOUK_FAILPOINTS="})
	shop := handle("crash")
	seller := s.seller(shop)
	id := seller.crashVoucher(shop)
	v := seller.sell(shop, "Crash", "10.00", 100_000).Variants[0].ID
	paid := 0
	for _, c := range []struct{ point, token string }{ // a call to a process that died takes 5 s to fail
		{"voucher.in_redemption", "tok_ok"},
		{"voucher.before_redemption_commit", "tok_ok"},
		{"voucher.after_redemption_commit", "tok_ok"},
		{"voucher.after_redemption_commit", "tok_declined"},
		{"voucher.in_release", "tok_declined"},
		{"voucher.after_release_commit", "tok_declined"},
	} {
		t.Run(c.point+" "+c.token, func(t *testing.T) {
			if !chaos() && c.point != "voucher.before_redemption_commit" && c.point != "voucher.after_release_commit" {
				t.Skip("make chaos runs it; TestCrashAtEveryFailpoint ends a single process there")
			}
			s := s.in(t)
			require.Contains(t, voucher.Failpoints(), c.point)
			before := s.pid("voucher")
			require.NotZero(t, before)
			s.setFailpoints("voucher", c.point+"=exit")
			checkout := beginCheckout(s, v, c.token)
			require.True(t, s.ended("voucher", before), "no checkout passes this failpoint")
			waittest.Until(t, func() bool { return s.pid("voucher") != 0 }, "the process is not restarted")
			checkout.complete(s)
			sagasEnd(s)
			if c.token == "tok_ok" {
				paid++
			}
			var used voucherJSON
			(&client{s: s, token: seller.token}).get("/v1/vouchers/" + id).want(http.StatusOK).into(&used)
			require.Equal(t, strconv.Itoa(paid), used.Used)
			require.Equal(t, strconv.Itoa(paid)+".00", used.Spent.Amount)
			s.verify()
		})
	}
}
