package tests

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/settings"
	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
)

const cancelOrder = "/souk.order.v1.OrderService/CancelOrderAsOperator"

// claimed is what the gateway gets for a call.
type claimed struct{ id, claim string }

// claim claims the approval of a user's call, as the gateway does.
func (h *harness) claim(caller, request string, idempotent bool) (claimed, error) {
	digest := sha256.Sum256([]byte(request))
	res, err := h.client.ClaimApproval(h.t.Context(), &settingsv1.ClaimApprovalRequest{
		CallerId: caller, Method: cancelOrder, Permission: "order.cancel", Digest: digest[:], Request: request,
		TimeoutSeconds: 10, Idempotent: idempotent,
	})
	return claimed{res.GetId(), res.GetClaim()}, err
}

func (h *harness) settle(c claimed, used bool) {
	h.t.Helper()
	_, err := h.client.SettleApproval(h.t.Context(),
		&settingsv1.SettleApprovalRequest{Id: c.id, Claim: c.claim, Used: used})
	require.NoError(h.t, err)
}

func (h *harness) approve(a identity.Actor, approvalID string) error {
	_, err := h.client.ApproveCall(h.As(a), &settingsv1.ApproveCallRequest{Id: approvalID})
	return err
}

func (h *harness) approvals(status string) []*settingsv1.Approval {
	h.t.Helper()
	res, err := h.client.ListApprovals(h.asOperator(), &settingsv1.ListApprovalsRequest{Status: status})
	require.NoError(h.t, err)
	return res.GetApprovals()
}

// withClock starts the service with a clock that the test moves.
func withClock(t *testing.T) (*harness, *clock.Manual) {
	t.Helper()
	c := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	return of(t, moduletest.Start(t, settings.Module, moduletest.OverNATS(), moduletest.Clock(c))), c
}

func TestAnotherPersonApprovesACallWhichRunsOnce(t *testing.T) {
	t.Parallel()
	h, _ := withClock(t)
	second := moduletest.User("usr_second", permission.RoleOperator)
	for range 2 { // a repetition asks for the same approval
		c, err := h.claim(operator, `{"id":"ord_1"}`, true)
		require.NoError(t, err)
		require.Empty(t, c.claim)
	}
	waiting := h.approvals("pending")
	require.Len(t, waiting, 1)
	a := waiting[0]
	require.Equal(t, operator, a.GetCallerId())
	require.Equal(t, `{"id":"ord_1"}`, a.GetRequest())
	require.Equal(t, cancelOrder, a.GetMethod())

	requireCode(t, errs.Forbidden, h.approve(moduletest.User(operator, permission.RoleOperator), a.GetId()))
	requireCode(t, errs.Forbidden, h.approve(identity.Actor{
		Kind: identity.KindUser, ID: "usr_x", Permissions: []string{permission.ApprovalDecide},
	}, a.GetId()))
	requireCode(t, errs.NotFound, h.approve(second, "apr_none"))
	for range 2 { // the answer was lost
		require.NoError(t, h.approve(second, a.GetId()))
	}
	_, err := h.client.RejectCall(h.As(moduletest.User("usr_third", permission.RoleOperator)),
		&settingsv1.RejectCallRequest{Id: a.GetId()})
	requireCode(t, errs.Conflict, err)

	other, err := h.claim(operator, `{"id":"ord_2"}`, true)
	require.NoError(t, err)
	require.Empty(t, other.claim, "with another content it is another call")
	other, err = h.claim("usr_x", `{"id":"ord_1"}`, true)
	require.NoError(t, err)
	require.Empty(t, other.claim, "so it is of another caller")

	var running claimed
	taken := 0
	for _, err := range moduletest.Concurrently(10, func(int) error {
		c, err := h.claim(operator, `{"id":"ord_1"}`, true)
		if err == nil {
			running = c // one call gets so far
		}
		return err
	}) {
		if err == nil {
			taken++
			continue
		}
		requireCode(t, errs.Conflict, err)
	}
	require.Equal(t, 1, taken)
	h.settle(running, false) // it failed before its effect
	again, err := h.claim(operator, `{"id":"ord_1"}`, true)
	require.NoError(t, err)
	require.NotEmpty(t, again.claim)
	h.settle(running, true) // of the claim before: too late
	require.Len(t, h.approvals("running"), 1)
	h.settle(again, true)
	require.Len(t, h.approvals("used"), 1)
	once, err := h.claim(operator, `{"id":"ord_1"}`, true)
	require.NoError(t, err)
	require.Empty(t, once.claim, "it is used up")
	require.Equal(t, a.GetId(), once.id)
}

// The gateway dies between the claim and its end: what may run twice is repeated, anything else needs another approval.
func TestClaimsOfUnknownOutcomeLapse(t *testing.T) {
	t.Parallel()
	for _, idempotent := range []bool{true, false} {
		h, c := withClock(t)
		asked, err := h.claim(operator, "{}", idempotent)
		require.NoError(t, err)
		require.NoError(t, h.approve(moduletest.User("usr_second", permission.RoleOperator), asked.id))
		first, err := h.claim(operator, "{}", idempotent)
		require.NoError(t, err)
		require.NotEmpty(t, first.claim)
		c.Advance(14 * time.Second)
		_, err = h.claim(operator, "{}", idempotent)
		requireCode(t, errs.Conflict, err)
		c.Advance(time.Second)
		second, err := h.claim(operator, "{}", idempotent)
		require.NoError(t, err)
		require.Equal(t, idempotent, second.claim != "")
		require.NotEqual(t, first.claim, second.claim)
	}
}

func TestApprovalsExpireAndRejectionsHold(t *testing.T) {
	t.Parallel()
	h, c := withClock(t)
	second := moduletest.User("usr_second", permission.RoleOperator)
	rejected, err := h.claim(operator, "1", true)
	require.NoError(t, err)
	_, err = h.client.RejectCall(h.As(second), &settingsv1.RejectCallRequest{Id: rejected.id})
	require.NoError(t, err)
	_, err = h.claim(operator, "1", true)
	requireCode(t, errs.Forbidden, err)
	approved, err := h.claim(operator, "2", true)
	require.NoError(t, err)
	require.NoError(t, h.approve(second, approved.id))
	late, err := h.claim(operator, "3", true)
	require.NoError(t, err)
	c.Advance(24 * time.Hour)
	requireCode(t, errs.NotFound, h.approve(second, late.id))
	require.Empty(t, h.approvals(""))
	for _, request := range []string{"1", "2"} {
		again, err := h.claim(operator, request, true)
		require.NoError(t, err)
		require.Empty(t, again.claim)
	}
}

func TestCallsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	h, _ := withClock(t)
	for i := range 20 {
		_, err := h.claim(operator, fmt.Sprint(i), true)
		require.NoError(t, err)
	}
	_, err := h.claim(operator, "more", true)
	requireCode(t, errs.RateLimited, err)
	_, err = h.claim(operator, "0", true)
	require.NoError(t, err, "one that waits already")
	_, err = h.claim("usr_other", "more", true)
	require.NoError(t, err)
}
