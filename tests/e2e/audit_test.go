package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

// testAudit does what operators and members do, and finds it in the audit trail.
func testAudit(t *testing.T, s *souk) {
	auditor, operator := s.user(email("auditor"), "auditor"), s.user(email("audited"), "operator")
	customer := s.user(email("not-audited"), "customer")
	name := handle("audited")
	s.seller(name).sell(name, "Audited", "10.00", 5)
	other := handle("audited-keys")
	owner := s.seller(other)
	var me, shop struct{ ID string }
	operator.get("/v1/me").want(http.StatusOK).into(&me)
	s.anonymous().get("/v1/shops/" + name).want(http.StatusOK).into(&shop)

	status := "/v1/operator/shops/" + shop.ID + ":setStatus"
	customer.post(status, obj{"status": "suspended"}).problem(http.StatusForbidden, "forbidden")
	operator.post(status, obj{"status": "suspended"}).want(http.StatusOK)
	operator.post("/v1/operator/settings/order.cash.max_pieces:rollback", obj{"version": 999}).
		problem(http.StatusBadRequest, "invalid_argument")
	operator.get("/v1/operator/users").want(http.StatusOK)

	type entry struct {
		Action, Object, Result, Permission, Address string
		At                                          time.Time
	}
	of := func(actor string) (out []entry) {
		var page struct{ Entries []entry }
		auditor.get("/v1/operator/audit?pageSize=100&actorId=" + actor).want(http.StatusOK).into(&page)
		return page.Entries
	}
	trailOf := func(actor string, n int) (found []entry) {
		waittest.Until(
			t,
			func() bool { found = of(actor); return len(found) >= n },
			"the trail lacks what %s did",
			actor,
		)
		require.Len(t, found, n)
		// Entries of several services arrive in any order.
		slices.SortStableFunc(found, func(a, b entry) int { return b.At.Compare(a.At) })
		return found
	}
	found := trailOf(me.ID, 5) // the newest first
	address := found[0].Address
	require.Contains(t, []string{"127.0.0.1", "::1"}, address)
	for i := range found {
		found[i].At = time.Time{}
	}
	const setting = "order.cash.max_pieces"
	require.Equal(t, "read", found[0].Action)
	require.Equal(t, entry{"failed", setting, "invalid_argument", "settings.write", address, time.Time{}}, found[1])
	require.Equal(t, entry{"called", setting, "ok", "settings.write", address, time.Time{}}, found[2])
	require.Equal(t, entry{"shop.suspended", shop.ID, "ok", "shop.moderate", address, time.Time{}}, found[3])
	require.Equal(t, entry{"called", shop.ID, "ok", "shop.moderate", address, time.Time{}}, found[4])

	owner.get("/v1/me").want(http.StatusOK).into(&me)
	key := obj{"name": "x", "scopes": []string{"product.read"}}
	owner.post("/v1/shops/"+other+"/api-keys", key).want(http.StatusCreated)
	customer.post("/v1/shops/"+other+"/api-keys", key).problem(http.StatusNotFound, "not_found")
	waittest.Until(t, func() bool {
		return slices.ContainsFunc(of(me.ID), func(e entry) bool { return e.Permission == "apikey.manage" })
	}, "the trail lacks the key")
	customer.get("/v1/me").want(http.StatusOK).into(&me)
	require.Empty(t, of(me.ID), "a stranger fills the trail")
	operator.get("/v1/operator/audit").problem(http.StatusForbidden, "forbidden")

	require.Contains(t, s.must("audit", "verify"), "ok ")
	csv := s.must("audit", "report", "--kind", "changes", "--format", "csv")
	require.Contains(t, csv, shop.ID)
	require.True(t, strings.HasPrefix(csv, "seq,at,"))
	require.Contains(t, s.must("audit", "report", "--format", "html"), "<td>"+shop.ID+"</td>")
}
