package e2e

import (
	"net/http"
	"strings"
	"testing"

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

	type entry struct{ Action, Object, Result, Permission, Address string }
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
		return found
	}
	found := trailOf(me.ID, 5) // the newest first
	const setting = "order.cash.max_pieces"
	require.Equal(t, "read", found[0].Action)
	require.Equal(t, entry{"failed", setting, "invalid_argument", "settings.write", found[1].Address}, found[1])
	require.Equal(t, entry{"called", setting, "ok", "settings.write", found[1].Address}, found[2])
	require.Equal(t, entry{"shop.suspended", shop.ID, "ok", "shop.moderate", found[1].Address}, found[3])
	require.Equal(t, entry{"called", shop.ID, "ok", "shop.moderate", found[1].Address}, found[4])
	require.Contains(t, []string{"127.0.0.1", "::1"}, found[1].Address)

	owner.get("/v1/me").want(http.StatusOK).into(&me)
	key := obj{"name": "x", "scopes": []string{"product.read"}}
	before := len(of(me.ID))
	owner.post("/v1/shops/"+other+"/api-keys", key).want(http.StatusCreated)
	customer.post("/v1/shops/"+other+"/api-keys", key).problem(http.StatusNotFound, "not_found")
	require.Equal(t, "apikey.manage", trailOf(me.ID, before+1)[0].Permission)
	customer.get("/v1/me").want(http.StatusOK).into(&me)
	require.Empty(t, of(me.ID), "a stranger fills the trail")
	operator.get("/v1/operator/audit").problem(http.StatusForbidden, "forbidden")

	require.Contains(t, s.must("audit", "verify"), "ok ")
	csv := s.must("audit", "report", "--kind", "changes", "--format", "csv")
	require.Contains(t, csv, shop.ID)
	require.True(t, strings.HasPrefix(csv, "seq,at,"))
	require.Contains(t, s.must("audit", "report", "--format", "html"), "<td>"+shop.ID+"</td>")
}
