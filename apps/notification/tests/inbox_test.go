package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func (h *harness) gateway() notificationv1.NotificationServiceClient {
	return notificationv1.NewNotificationServiceClient(h.Client("gateway"))
}

// customer returns the user who placed an order.
func (h *harness) customer(orderID string) string {
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	return h.others.orders[orderID].GetCustomerId()
}

// inbox waits until a user's inbox has n notifications, and returns them, the last one first.
func (h *harness) inbox(userID string, n int) *notificationv1.ListNotificationsResponse {
	h.t.Helper()
	var res *notificationv1.ListNotificationsResponse
	waittest.Until(h.t, func() bool {
		var err error
		res, err = h.gateway().ListNotifications(h.AsUser(userID), &notificationv1.ListNotificationsRequest{})
		require.NoError(h.t, err)
		return len(res.GetNotifications()) >= n
	}, "the inbox is incomplete")
	require.Len(h.t, res.GetNotifications(), n)
	return res
}

func TestUsersFindNoticesInTheirInbox(t *testing.T) {
	t.Parallel()
	h := setup(t)
	shop := h.shop("Aurora", "sal@example.com", "sam@example.com")
	order := h.place("zoe@example.com", "")
	zoe, guests := h.customer(order), h.place("", "guest@example.com")
	h.Deliver("order", h.soldBy(shop, order), h.confirmed(guests))
	got := h.inbox(zoe, 1)
	require.EqualValues(t, 1, got.GetUnreadCount())
	n := got.GetNotifications()[0]
	require.Equal(t, "order_confirmed", n.GetKind())
	require.Equal(t, "Your order S-Ünïcode-42 is confirmed", n.GetTitle())
	require.Equal(t, "/v1/orders/"+order, n.GetLink())
	require.Nil(t, n.GetReadAt())
	for _, owner := range h.others.shops[shop].GetOwnerIds() {
		require.Equal(t, "New order S-Ünïcode-42 for Aurora", h.inbox(owner, 1).GetNotifications()[0].GetTitle())
	}
	h.state(guests, "sent")
	require.Zero(t, moduletest.Value[int](h.Service, `select count(*) from notification where user_id like 'gst%'`))

	h.Deliver("order", h.cancelled(order))
	h.inbox(zoe, 2)
	_, err := h.gateway().MarkNotificationRead(h.AsUser(id.New(id.User)),
		&notificationv1.MarkNotificationReadRequest{Id: n.GetId()})
	require.Equal(t, errs.NotFound, errs.CodeOf(err), "another user's notification")
	var first *notificationv1.Notification
	for range 2 { // the time of the first call stays
		res, err := h.gateway().MarkNotificationRead(h.AsUser(zoe),
			&notificationv1.MarkNotificationReadRequest{Id: n.GetId()})
		require.NoError(t, err)
		if first == nil {
			first = res.GetNotification()
		}
		require.Equal(t, first.GetReadAt().AsTime(), res.GetNotification().GetReadAt().AsTime())
	}
	unread, err := h.gateway().ListNotifications(h.AsUser(zoe), &notificationv1.ListNotificationsRequest{Unread: true})
	require.NoError(t, err)
	require.Len(t, unread.GetNotifications(), 1)
	require.Equal(t, "order_cancelled", unread.GetNotifications()[0].GetKind())
	all, err := h.gateway().MarkAllNotificationsRead(h.AsUser(zoe), &notificationv1.MarkAllNotificationsReadRequest{})
	require.NoError(t, err)
	require.EqualValues(t, 1, all.GetReadCount())
	require.Zero(t, h.inbox(zoe, 2).GetUnreadCount())

	log, err := h.gateway().ListDeliveries(h.AsUser(id.New(id.User), "operator"),
		&notificationv1.ListDeliveriesRequest{Recipient: zoe, Status: "sent", PageSize: 1})
	require.NoError(t, err)
	require.Len(t, log.GetDeliveries(), 1)
	require.Equal(t, order, log.GetDeliveries()[0].GetAbout())
	require.NotEmpty(t, log.GetNextPageToken())
	_, err = h.gateway().ListDeliveries(h.AsUser(zoe), &notificationv1.ListDeliveriesRequest{})
	require.Equal(t, errs.Forbidden, errs.CodeOf(err))
}

// An inbox keeps the newest 500 of 90 days. Its pages cost what the first one costs.
func TestInboxIsBounded(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c))
	order := h.place("zoe@example.com", "")
	zoe := h.customer(order)
	const fill = `insert into notification (id, user_id, delivery_id, kind, title, body, link, created_at)
		select 'ntf_00' || lpad(i::text, 4, '0'), $1, i::text, 'order_confirmed', i::text, '', '', $2
		from generate_series(1, 500) i`
	_, err := h.Pool.Exec(t.Context(), fill, zoe, c.Now())
	require.NoError(t, err)
	h.Deliver("order", h.confirmed(order))
	h.state(order, "sent")
	count := func() int {
		return moduletest.Value[int](h.Service, `select count(*) from notification where user_id = $1`, zoe)
	}
	const newest = `select count(*) = 1 from notification where link <> '' and user_id = $1`
	waittest.Until(t, func() bool { return moduletest.Value[bool](h.Service, newest, zoe) }, "it is not in the inbox")
	require.Equal(t, 500, count())
	var titles []string
	for token := ""; ; {
		res, err := h.gateway().ListNotifications(h.AsUser(zoe),
			&notificationv1.ListNotificationsRequest{PageSize: 100, PageToken: token})
		require.NoError(t, err)
		for _, n := range res.GetNotifications() {
			titles = append(titles, n.GetTitle())
		}
		if token = res.GetNextPageToken(); token == "" {
			break
		}
	}
	require.Len(t, titles, 500)
	require.Equal(t, []string{"500", "499"}, titles[1:3])
	require.Equal(t, "2", titles[499])
	_, err = h.Pool.Exec(t.Context(), `update notification set created_at = $1 where title = '2'`,
		c.Now().Add(-91*24*time.Hour))
	require.NoError(t, err)
	h.RunJob("forget_notifications", "notice")
	waittest.Until(t, func() bool { return count() == 499 }, "the old one is kept")
}

// The log is kept for 180 days, and what still waits for longer.
func TestOldNoticesAreForgotten(t *testing.T) {
	t.Parallel()
	h := setup(t, smtpServer(t, map[string]string{"RCPT": "451 later"}))
	old, waits := h.place("", ""), h.place("", "guest@example.com")
	h.Deliver("order", h.confirmed(old), h.confirmed(waits))
	h.state(old, "failed")
	h.attempted(waits)
	_, err := h.Pool.Exec(t.Context(), `update notice set ended_at = now() - interval '181 days'`)
	require.NoError(t, err)
	h.RunJob("forget_notices", "notice")
	const left = `select coalesce(string_agg(order_id, ' '), '') from notice`
	waittest.Until(t, func() bool { return moduletest.Value[string](h.Service, left) == waits }, "it is kept")
	require.Equal(t, 1, moduletest.Value[int](h.Service, `select count(*) from delivery`))
}

// The gateway asks for several inboxes at once.
func TestPollReturnsWhatIsNew(t *testing.T) {
	t.Parallel()
	h := setup(t)
	req := &notificationv1.PollNotificationsRequest{}
	for i := range 3 {
		order := h.place(fmt.Sprintf("u%d@example.com", i), "")
		userID := h.customer(order)
		h.Deliver("order", h.confirmed(order))
		last := h.inbox(userID, 1).GetNotifications()[0].GetId()
		if i == 0 {
			last = "" // it has seen nothing
		}
		req.Positions = append(req.Positions, &notificationv1.InboxPosition{UserId: userID, After: last})
	}
	res, err := h.gateway().PollNotifications(t.Context(), req)
	require.NoError(t, err)
	require.Len(t, res.GetInboxes(), 1)
	require.Equal(t, req.GetPositions()[0].GetUserId(), res.GetInboxes()[0].GetUserId())
	require.Len(t, res.GetInboxes()[0].GetNotifications(), 1)
	require.EqualValues(t, 1, res.GetInboxes()[0].GetUnreadCount())
}
