package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

// testSecurityEvents guesses voucher codes and tries what operators may do, and finds both among the security events.
func testSecurityEvents(t *testing.T, s *souk) {
	guesser, operator := s.user(email("guesser"), "customer"), s.user(email("watches"), "operator")
	auditor := s.user(email("security-auditor"), "auditor")
	name := handle("guessed")
	variant := s.seller(name).sell(name, "Guessed", "10.00", 5).Variants[0].ID
	guesser.post("/v1/cart/items", obj{"variantId": variant, "quantity": 1}).want(http.StatusOK)
	for i := range 4 {
		var codes []string
		for j := range 8 {
			codes = append(codes, fmt.Sprintf("GUESS-%d-%d", i, j))
		}
		guesser.post("/v1/cart:quote", obj{"voucherCodes": codes}).want(http.StatusOK)
	}
	for range 30 {
		guesser.get("/v1/operator/users").problem(http.StatusForbidden, "forbidden")
	}
	var me struct{ ID string }
	guesser.get("/v1/me").want(http.StatusOK).into(&me)
	type event struct{ ID, Kind, Subject, Count, AcknowledgedBy string }
	list := func(query string) (found []event) {
		var page struct{ Events []event }
		auditor.get("/v1/operator/security/events?subject=" + me.ID + query).want(http.StatusOK).into(&page)
		return page.Events
	}
	var found []event
	waittest.Until(t, func() bool { found = list(""); return len(found) == 2 }, "the attacks are not found")
	guesses := list("&kind=voucher_guesses")
	require.Len(t, guesses, 1)
	require.Equal(t, "32", guesses[0].Count)

	acknowledge := "/v1/operator/security/events/" + guesses[0].ID + ":acknowledge"
	auditor.post(acknowledge, obj{}).problem(http.StatusForbidden, "forbidden")
	guesser.post(acknowledge, obj{}).problem(http.StatusForbidden, "forbidden")
	operator.post(acknowledge, obj{"note": "a test"}).want(http.StatusOK)
	open := list("&open=true")
	require.Len(t, open, 1)
	require.Equal(t, "refused_permissions", open[0].Kind)
}
