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
	var found []entry
	waittest.Until(
		t,
		func() bool { found = of(me.ID); return len(found) == 3 },
		"the trail does not have what the operator did",
	)
	require.Equal(t, "read", found[0].Action)
	failed := entry{"failed", "order.cash.max_pieces", "invalid_argument", "settings.write", found[1].Address}
	require.Equal(t, failed, found[1])
	require.Equal(t, "shop.suspended", found[2].Action)
	require.Equal(t, shop.ID, found[2].Object)
	require.Equal(t, "ok", found[2].Result)
	require.Contains(t, []string{"127.0.0.1", "::1"}, found[2].Address)
	operator.get("/v1/operator/audit").problem(http.StatusForbidden, "forbidden")

	require.Contains(t, s.must("audit", "verify"), "ok ")
	csv := s.must("audit", "report", "--kind", "changes", "--format", "csv")
	require.Contains(t, csv, shop.ID)
	require.True(t, strings.HasPrefix(csv, "seq,at,"))
	require.Contains(t, s.must("audit", "report", "--format", "html"), "<td>"+shop.ID+"</td>")
}
