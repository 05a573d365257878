package handler

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/clock"
	"souk/pkg/identity"
	"souk/pkg/page"
)

// Inbox keeps inboxes and the log of deliveries.
type Inbox interface {
	Notifications(
		ctx context.Context, userID string, unread bool, r page.Request,
	) (rows []domain.Notification, next string, err error)
	Unread(ctx context.Context, userIDs ...string) (map[string]int32, error)
	Read(ctx context.Context, userID, notificationID string, at time.Time) (domain.Notification, error)
	ReadAll(ctx context.Context, userID string, at time.Time) (int, error)
	Poll(ctx context.Context, userIDs, after []string) (news []domain.Notification, unread map[string]int32, err error)
	Deliveries(ctx context.Context, state, recipient string, r page.Request) ([]domain.Logged, string, error)
}

// RPC serves souk.notification.v1.NotificationService. The contract says who may call which method.
type RPC struct {
	notificationv1.UnimplementedNotificationServiceServer
	inbox       Inbox
	preferences Preferences
	links       Links
	templates   Templates
	devices     Devices

	suppressions Suppressions
	mailboxes    Mailboxes

	vapidPublic string
	clock       clock.Clock
}

// Deps are the dependencies of an RPC. All are required, except VAPIDPublic.
type Deps struct {
	Inbox       Inbox
	Preferences Preferences
	Links       Links
	Templates   Templates
	Devices     Devices

	Suppressions Suppressions
	Mailboxes    Mailboxes

	// VAPIDPublic is the key that browsers need to subscribe.
	VAPIDPublic string
	Clock       clock.Clock
}

// New returns the server.
func New(d Deps) *RPC {
	return &RPC{
		inbox: d.Inbox, preferences: d.Preferences, links: d.Links, templates: d.Templates, devices: d.Devices,
		suppressions: d.Suppressions, mailboxes: d.Mailboxes, vapidPublic: d.VAPIDPublic, clock: d.Clock,
	}
}

// ListNotifications shows the caller's inbox, newest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListNotifications(
	ctx context.Context, req *notificationv1.ListNotificationsRequest,
) (*notificationv1.ListNotificationsResponse, error) {
	userID, filter := identity.FromContext(ctx).ID, "all"
	if req.GetUnread() {
		filter = "unread"
	}
	rows, next, err := r.inbox.Notifications(
		ctx,
		userID,
		req.GetUnread(),
		page.Of(req, "notifications", userID, filter),
	)
	if err != nil {
		return nil, err
	}
	unread, err := r.inbox.Unread(ctx, userID)
	if err != nil {
		return nil, err
	}
	res := &notificationv1.ListNotificationsResponse{NextPageToken: next, UnreadCount: unread[userID]}
	for _, n := range rows {
		res.Notifications = append(res.Notifications, toProto(n))
	}
	return res, nil
}

// MarkNotificationRead marks a notification of the caller as read.
//
// Errors: not_found.
func (r *RPC) MarkNotificationRead(
	ctx context.Context, req *notificationv1.MarkNotificationReadRequest,
) (*notificationv1.MarkNotificationReadResponse, error) {
	n, err := r.inbox.Read(ctx, identity.FromContext(ctx).ID, req.GetId(), r.clock.Now())
	if err != nil {
		return nil, err
	}
	return &notificationv1.MarkNotificationReadResponse{Notification: toProto(n)}, nil
}

// MarkAllNotificationsRead marks all notifications of the caller as read.
func (r *RPC) MarkAllNotificationsRead(
	ctx context.Context, _ *notificationv1.MarkAllNotificationsReadRequest,
) (*notificationv1.MarkAllNotificationsReadResponse, error) {
	n, err := r.inbox.ReadAll(ctx, identity.FromContext(ctx).ID, r.clock.Now())
	return &notificationv1.MarkAllNotificationsReadResponse{ReadCount: int32(n)}, err //nolint:gosec // at most 500
}

// PollNotifications returns what is new in several inboxes.
func (r *RPC) PollNotifications(
	ctx context.Context, req *notificationv1.PollNotificationsRequest,
) (*notificationv1.PollNotificationsResponse, error) {
	users, after := make([]string, len(req.GetPositions())), make([]string, len(req.GetPositions()))
	for i, p := range req.GetPositions() {
		users[i], after[i] = p.GetUserId(), p.GetAfter()
	}
	news, unread, err := r.inbox.Poll(ctx, users, after)
	if err != nil {
		return nil, err
	}
	res, of := &notificationv1.PollNotificationsResponse{}, map[string]*notificationv1.InboxNews{}
	for _, n := range news {
		if of[n.UserID] == nil {
			of[n.UserID] = &notificationv1.InboxNews{UserId: n.UserID, UnreadCount: unread[n.UserID]}
			res.Inboxes = append(res.Inboxes, of[n.UserID])
		}
		of[n.UserID].Notifications = append(of[n.UserID].Notifications, toProto(n))
	}
	return res, nil
}

// ListDeliveries shows the log of deliveries, newest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListDeliveries(
	ctx context.Context, req *notificationv1.ListDeliveriesRequest,
) (*notificationv1.ListDeliveriesResponse, error) {
	rows, next, err := r.inbox.Deliveries(ctx, req.GetStatus(), req.GetRecipient(),
		page.Of(req, "deliveries", req.GetStatus(), req.GetRecipient()))
	if err != nil {
		return nil, err
	}
	res := &notificationv1.ListDeliveriesResponse{NextPageToken: next}
	for _, d := range rows {
		res.Deliveries = append(res.Deliveries, &notificationv1.Delivery{
			Id:        d.ID,
			Kind:      string(d.Kind),
			About:     d.About,
			Channel:   string(d.Channel),
			Recipient: d.Recipient,
			Status:    string(d.State),
			Attempts:  d.Attempts,
			Reason:    d.Reason,
			CreatedAt: timestamppb.New(d.CreatedAt),
			EndedAt:   optional(d.EndedAt),
		})
	}
	return res, nil
}

func toProto(n domain.Notification) *notificationv1.Notification {
	return &notificationv1.Notification{
		Id:        n.ID,
		Kind:      string(n.Kind),
		Title:     n.Title,
		Body:      n.Body,
		Link:      n.Link,
		CreatedAt: timestamppb.New(n.CreatedAt),
		ReadAt:    optional(n.ReadAt),
	}
}

func optional(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
