package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
	"souk/pkg/waittest"
)

// reason waits until the mail about an order has the state, and returns why.
func (h *harness) reason(orderID, state string) string {
	h.t.Helper()
	h.state(orderID, state)
	return moduletest.Value[string](h.Service, `select max(last_error) from `+states+` where order_id = $1`, orderID)
}

func (h *harness) suppressions() []*notificationv1.Suppression {
	h.t.Helper()
	res, err := h.gateway().ListSuppressions(h.AsUser("usr_op", permission.RoleOperator),
		&notificationv1.ListSuppressionsRequest{})
	require.NoError(h.t, err)
	return res.GetSuppressions()
}

func TestMailboxThatDoesNotExistGetsNoFurtherMails(t *testing.T) {
	t.Parallel()
	for answer, bounced := range map[string]bool{
		"550 5.1.1 no such user gone@example.com": true, "550 5.1.10 recipient not found": true,
		"550 no such user": false, "550 relay not permitted": false,
		"550 5.7.1 spam": false, "552 5.2.2 mailbox full": false, "554 refused": false, "450 5.1.1 try again": false,
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			enhanced := "250 souk"
			if strings.HasPrefix(answer, "550 5.1.1 ") { // the others say it in their text only
				enhanced = "250-souk\r\n250 ENHANCEDSTATUSCODES"
			}
			h := setup(t, smtpServer(t, map[string]string{"EHLO": enhanced, "RCPT": answer}))
			first, second := h.place("", "gone@example.com"), h.place("", "Gone@example.com")
			h.confirm(first)
			if answer[0] == '4' {
				require.NotEmpty(t, h.attempted(first))
			} else {
				require.NotContains(t, h.reason(first, "failed"), "gone@")
			}
			if !bounced {
				require.Empty(t, h.suppressions())
				return
			}
			list := h.suppressions()
			require.Len(t, list, 1)
			require.Equal(t, "bounce", list[0].GetSource())
			require.NotContains(t, list[0].GetReason(), "gone")
			require.WithinDuration(t, time.Now().Add(30*24*time.Hour), list[0].GetExpiresAt().AsTime(), time.Minute)
			h.confirm(second)
			require.Equal(t, "the mailbox is on the suppression list", h.reason(second, "skipped"))
			require.Zero(t, moduletest.Value[int](h.Service,
				`select count(*) from suppression s where s::text ilike '%gone%' or s::text ilike '%example.com%'`))
		})
	}
}

func TestOperatorsSuppressAndLift(t *testing.T) {
	t.Parallel()
	h := setup(t)
	operator := h.AsUser("usr_op", permission.RoleOperator)
	suppress := func(address string) {
		t.Helper()
		_, err := h.gateway().SuppressMailbox(operator,
			&notificationv1.SuppressMailboxRequest{Email: address, Reason: "The provider says so."})
		require.NoError(t, err)
	}
	suppress("Ana+x@example.com")
	suppress("ana+X@example.com") // again
	require.Len(t, h.suppressions(), 1)
	_, err := h.gateway().SuppressMailbox(operator,
		&notificationv1.SuppressMailboxRequest{Email: "Ana <ana@example.com>", Reason: "x"})
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
	_, err = h.gateway().SuppressMailbox(operator,
		&notificationv1.SuppressMailboxRequest{Email: "ana@example.com", Reason: "of ana@example.com"})
	require.Equal(t, errs.Invalid, errs.CodeOf(err))

	send := func(address, state string) {
		t.Helper()
		order := h.place("", address)
		h.Deliver("order", h.confirmed(order))
		h.state(order, state)
	}
	send("ana@example.com", "sent") // another mailbox
	send("ana+x@example.com", "skipped")
	for range 2 {
		_, err = h.gateway().
			LiftSuppression(operator, &notificationv1.LiftSuppressionRequest{Email: "ana+x@example.com"})
		require.NoError(t, err)
	}
	require.Empty(t, h.suppressions())
	send("ana+x@example.com", "sent")

	suppress("leo@example.com")
	_, err = h.Pool.Exec(t.Context(), `update suppression set expires_at = now() - interval '1 minute'`)
	require.NoError(t, err)
	require.Empty(t, h.suppressions())
	send("leo@example.com", "sent")
	waittest.Until(t, func() bool { return len(h.sink.Messages()) == 3 }, "mails are missing")
}
