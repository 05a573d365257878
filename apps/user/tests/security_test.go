package user_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
)

func (h *harness) signIn(userID, device string) (isNew bool) {
	h.t.Helper()
	res, err := h.auth.RecordSignIn(h.t.Context(), &userv1.RecordSignInRequest{UserId: userID, Device: device})
	require.NoError(h.t, err)
	return res.GetNewDevice()
}

func TestEachFurtherBrowserIsNewOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ann := h.ensure("ann", "ann@example.com", "Ann").GetUser().GetId()
	device := func(i int) string { return fmt.Sprintf("%064d", i) }
	require.False(t, h.signIn(ann, device(0)), "the first one")
	require.False(t, h.signIn(ann, device(0)))
	outcomes := moduletest.Concurrently(8, func(int) error {
		_, err := h.auth.RecordSignIn(t.Context(), &userv1.RecordSignInRequest{UserId: ann, Device: device(1)})
		return err
	})
	for _, err := range outcomes {
		require.NoError(t, err)
	}
	require.Equal(t, []string{"evt.user.registered", "evt.user.new_device"}, h.Events(ann))
	for i := 2; i <= 20; i++ {
		require.True(t, h.signIn(ann, device(i)))
	}
	require.False(t, h.signIn(ann, device(1)))
	require.True(t, h.signIn(ann, device(0)), "20 browsers are remembered")

	_, err := h.auth.RecordSignIn(t.Context(),
		&userv1.RecordSignInRequest{UserId: "usr_00000000000000000000000000000000", Device: device(1)})
	requireCode(t, errs.NotFound, err)
}

func TestConcurrentFirstSignInsPublishAtMostTheSecondBrowser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ann := h.ensure("ann", "ann@example.com", "Ann").GetUser().GetId()
	for _, err := range moduletest.Concurrently(2, func(i int) error {
		_, err := h.auth.RecordSignIn(t.Context(),
			&userv1.RecordSignInRequest{UserId: ann, Device: fmt.Sprintf("%064d", i)})
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, []string{"evt.user.registered", "evt.user.new_device"}, h.Events(ann))
	require.False(t, h.signIn(ann, fmt.Sprintf("%064d", 0)))
	require.False(t, h.signIn(ann, fmt.Sprintf("%064d", 1)))
}

// The owner of an account gets the notice even if the address changes twice before it is sent.
func TestFormerEmailStaysThatOfBeforeAllChanges(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ann := h.ensure("ann", "ann@example.com", "Ann").GetUser().GetId()
	h.ensure("ann", "mallory@example.com", "Ann")
	h.ensure("ann", "other@example.com", "Ann")
	res, err := h.notification.GetFormerEmail(t.Context(), &userv1.GetFormerEmailRequest{UserId: ann})
	require.NoError(t, err)
	require.Equal(t, "ann@example.com", res.GetEmail())
	h.ensure("ann", "Other@Example.com", "Ann")
	changes := slices.DeleteFunc(h.Events(ann), func(s string) bool { return s != "evt.user.email_changed" })
	require.Len(t, changes, 2, "another case is no other mailbox")
}

// An access token holds the address of its time. One that is older than a change does not undo it.
func TestOldTokenDoesNotBringBackAnAddress(t *testing.T) {
	t.Parallel()
	h := setup(t)
	began := time.Now()
	said := func(after time.Duration, email string) *userv1.User {
		res, err := h.auth.EnsureUser(t.Context(), &userv1.EnsureUserRequest{
			Issuer: "https://id.example.com", Subject: "ann", Email: email, EmailVerified: true, Name: "Ann",
			IssuedAt: timestamppb.New(began.Add(after)),
		})
		require.NoError(t, err)
		return res.GetUser()
	}
	ann := said(0, "ann@example.com").GetId()
	require.Equal(t, "ann@new.example", said(time.Minute, "ann@new.example").GetEmail())
	require.Equal(t, "ann@new.example", said(time.Second, "ann@example.com").GetEmail(), "an older token")
	require.Equal(t, "ann@new.example", said(time.Hour, "ann@new.example").GetEmail())
	require.Equal(t, []string{"evt.user.registered", "evt.user.updated", "evt.user.email_changed"}, h.Events(ann))
	require.Equal(t, "ann@example.com", said(2*time.Hour, "ann@example.com").GetEmail(), "changed back")
}

func TestFormerEmailIsForNotificationOnly(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ann := h.ensure("ann", "ann@example.com", "Ann").GetUser().GetId()
	ask := &userv1.GetFormerEmailRequest{UserId: ann}
	_, err := h.notification.GetFormerEmail(t.Context(), ask)
	requireCode(t, errs.NotFound, err)
	h.ensure("ann", "ann@new.example", "Ann")
	h.ensure("ann", "ann@new.example", "Ann Lee")
	res, err := h.notification.GetFormerEmail(t.Context(), ask)
	require.NoError(t, err)
	require.Equal(t, "ann@example.com", res.GetEmail())
	require.True(t, res.GetVerified())
	_, err = h.order.GetFormerEmail(t.Context(), ask)
	require.Error(t, err)
	for _, subject := range h.Events(ann)[3:] {
		require.NotEqual(t, "evt.user.email_changed", subject)
	}
}
