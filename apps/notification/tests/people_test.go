package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	commentv1 "souk/gen/go/souk/comment/v1"
	notificationv1 "souk/gen/go/souk/notification/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// review adds a review as the comment service has it.
func (h *harness) review(status string, stars int32) (reviewID string) {
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	reviewID = id.New(id.Review)
	h.others.reviews[reviewID] = &commentv1.Review{
		Id:        reviewID,
		ProductId: "prd_1",
		Rating:    stars,
		Title:     "Light",
		Text:      "Fits. See www.evil.example now",
		Status:    status,
	}
	return reviewID
}

// moderated publishes that an operator has decided on a review.
func (h *harness) moderated(m *commentv1.ReviewModerated) {
	h.t.Helper()
	h.Deliver("comment", h.event("evt.review.moderated", m.GetReviewId(), m))
}

// skipped waits until n notices were skipped for the reason.
func (h *harness) skipped(reason string, n int) {
	h.t.Helper()
	const sql = `select count(*) from notice where state = 'skipped' and last_error = $1`
	waittest.Until(h.t, func() bool { return moduletest.Value[int](h.Service, sql, reason) == n }, "%s", reason)
}

func TestShopsLearnOfReviewsOnceTheyArePublished(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID := h.shop("Aurora", "sal@example.com")
	ana := h.user("ana@example.com", "en")
	held := h.review("held", 1)
	h.Deliver("comment", h.event("evt.review.posted", held,
		&commentv1.ReviewPosted{ReviewId: held, ShopId: shopID, AuthorId: ana, Status: "held"}))
	h.moderated(&commentv1.ReviewModerated{ReviewId: held, ShopId: shopID, AuthorId: ana, Status: "held"})
	require.Zero(t, moduletest.Value[int](h.Service, `select count(*) from notice`))

	posted := h.review("published", 4)
	h.Deliver("comment", h.event("evt.review.posted", posted,
		&commentv1.ReviewPosted{ReviewId: posted, ShopId: shopID, AuthorId: ana, Status: "published"}))
	m := h.mails("sal@example.com", 1)[0]
	require.Equal(t, "A new review of what Aurora sells: 4/5", m.Subject)
	require.Contains(t, m.Text, "4/5 Light")
	require.Contains(t, m.Text, "Fits. See now")
	require.Contains(t, m.Text, "https://souk.example/v1/products/prd_1/reviews")

	// Within the hour, further ones wait.
	h.others.mu.Lock()
	h.others.reviews[held].Status = "published"
	h.others.mu.Unlock()
	h.moderated(&commentv1.ReviewModerated{
		ReviewId: held, ShopId: shopID, AuthorId: ana, Status: "published", FirstPublished: true,
	})
	require.Equal(t, "Your review is published", h.mails("ana@example.com", 1)[0].Subject)
	h.mails("sal@example.com", 1)
	require.Equal(t, 1, moduletest.Value[int](h.Service,
		`select count(*) from notice where kind = 'review_posted' and state = 'queued'`))
}

func TestAuthorsLearnOfDecisionsAndTheFirstReply(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID := h.shop("Aurora", "sal@example.com")
	ana := h.user("ana@example.com", "pt")
	rejected := h.review("rejected", 1)
	h.moderated(&commentv1.ReviewModerated{ReviewId: rejected, ShopId: shopID, AuthorId: ana, Status: "rejected"})
	require.Equal(t, "Sua avaliação não foi publicada", h.mails("ana@example.com", 1)[0].Subject)

	reviewID := h.review("published", 5)
	replied := func() {
		h.t.Helper()
		h.Deliver("comment", h.event("evt.review.replied", reviewID,
			&commentv1.ReviewReplied{ReviewId: reviewID, ShopId: shopID, AuthorId: ana}))
	}
	h.others.mu.Lock()
	h.others.reviews[reviewID].Reply = &commentv1.Reply{Text: "Obrigado!"}
	h.others.mu.Unlock()
	replied()
	m := h.mails("ana@example.com", 2)[0]
	require.Equal(t, "Aurora respondeu à sua avaliação", m.Subject)
	require.Contains(t, m.Text, "Obrigado!")
	replied() // it was changed
	gone := h.review("published", 5)
	h.Deliver("comment", h.event("evt.review.replied", gone,
		&commentv1.ReviewReplied{ReviewId: gone, ShopId: shopID, AuthorId: ana}))
	h.skipped("the reply is not shown", 1)
	h.mails("ana@example.com", 2)
	h.inbox(ana, 2)
}

func TestOwnersLearnThatAVoucherIsUsedUp(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shopID := h.shop("Aurora", "sal@example.com")
	usedUp := func(voucherID, shopID string, still bool) {
		h.t.Helper()
		h.others.mu.Lock()
		h.others.vouchers[voucherID] = &voucherv1.GetVoucherForNoticeResponse{
			Code:   "TEA-10",
			ShopId: shopID,
			UsedUp: still,
		}
		h.others.mu.Unlock()
		h.Deliver("voucher", h.event("evt.voucher.used_up", voucherID,
			&voucherv1.VoucherUsedUp{VoucherId: voucherID, ShopId: shopID}))
	}
	usedUp("vch_1", shopID, true)
	require.Equal(t, "The voucher TEA-10 of Aurora is used up", h.mails("sal@example.com", 1)[0].Subject)
	usedUp("vch_2", shopID, false) // its order was cancelled meanwhile
	h.skipped("the voucher can be used again", 1)
	usedUp("vch_3", "", true) // of the marketplace
	require.Equal(t, 2, moduletest.Value[int](h.Service, `select count(*) from notice`))
}

func TestSecurityMailsCannotBeSwitchedOff(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana := h.user("ana@example.com", "en")
	h.others.mu.Lock()
	h.others.former[ana] = "ana@old.example"
	h.others.mu.Unlock()
	no := false
	for _, kind := range []string{"new_device", "email_changed", "account_suspended", "account_reinstated"} {
		_, err := h.gateway().
			SetNotificationPreferences(h.AsUser(ana), &notificationv1.SetNotificationPreferencesRequest{
				Kinds: map[string]*notificationv1.ChannelChoices{kind: {Email: &no}},
			})
		require.True(t, errs.Is(err, errs.Invalid), "%v", err)
	}
	_, err := h.gateway().SetNotificationPreferences(h.AsUser(ana), &notificationv1.SetNotificationPreferencesRequest{
		QuietHours: &notificationv1.QuietHours{From: "00:00", To: "23:59", TimeZone: "Etc/UTC"},
	})
	require.NoError(t, err)
	h.Deliver("user", h.event("evt.user.new_device", ana, &userv1.NewDevice{UserId: ana}))
	m := h.mails("ana@example.com", 1)[0]
	require.Equal(t, "A new sign-in to your account", m.Subject)
	require.Empty(t, m.Headers["List-Unsubscribe"])
	require.Equal(t, "new_device", h.inbox(ana, 1).GetNotifications()[0].GetKind())

	h.Deliver("user", h.event("evt.user.email_changed", ana, &userv1.EmailChanged{UserId: ana}))
	for address, n := range map[string]int{"ana@example.com": 2, "ana@old.example": 1} {
		require.Equal(t, "The e-mail address of your account was changed", h.mails(address, n)[0].Subject)
	}
	h.inbox(ana, 2)

	h.Deliver("user", h.event("evt.user.suspended", ana, &userv1.UserSuspended{UserId: ana}))
	require.Equal(t, "Your account was suspended", h.mails("ana@example.com", 3)[0].Subject)
	h.Deliver("user", h.event("evt.user.reinstated", ana, &userv1.UserReinstated{UserId: ana}))
	require.Equal(t, "Your account is open again", h.mails("ana@example.com", 4)[0].Subject)
}
