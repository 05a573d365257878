package repository

import (
	"context"
	_ "embed" // the statements below
	"time"

	"github.com/jackc/pgx/v5"

	"souk/apps/notification/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/outbox"
	"souk/pkg/page"
	"souk/pkg/postgres"
)

var (
	//go:embed sql/add_notification.sql
	addNotification string
	//go:embed sql/trim_inbox.sql
	trimInbox string
	//go:embed sql/list_notifications.sql
	listNotifications string
	//go:embed sql/poll_notifications.sql
	pollNotifications string
	//go:embed sql/count_unread.sql
	countUnread string
	//go:embed sql/read_notification.sql
	readNotification string
	//go:embed sql/read_all.sql
	readAll string
	//go:embed sql/forget_notifications.sql
	forgetNotifications string
	//go:embed sql/list_deliveries.sql
	listDeliveries string
)

const (
	// inboxSize is the most notifications that an inbox keeps.
	inboxSize = 500
	// pollSize is the most that one poll returns of an inbox.
	pollSize = 50
)

// Deposit puts a notification into its user's inbox and records that the delivery was sent, unless it was before.
func (s *Store) Deposit(ctx context.Context, deliveryID string, n domain.Notification, ev event.Event) error {
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		args := append([]any{[]string{deliveryID}, []time.Time{n.CreatedAt}}, outbox.Columns(ev)...)
		tag, err := tx.Exec(ctx, deliveriesSent, args...)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, addNotification, n.ID, n.UserID, deliveryID, n.Kind, n.Title, n.Body, n.Link, n.CreatedAt)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, trimInbox, n.UserID, inboxSize)
		return err
	})
	if err == nil {
		s.wake()
	}
	return postgres.Err(err)
}

// Notifications returns a page of a user's inbox, newest first.
//
// Errors: invalid_argument (a made-up page token).
func (s *Store) Notifications(
	ctx context.Context, userID string, unread bool, r page.Request,
) ([]domain.Notification, string, error) {
	read := func(ctx context.Context, before string, limit int) ([]domain.Notification, error) {
		return collect[domain.Notification](s.pool.Query(ctx, listNotifications, userID, before, unread, limit))
	}
	return page.List(ctx, r, "", read, func(n domain.Notification) string { return n.ID })
}

// Poll returns what is new in the inboxes of users, oldest first, and how many of each were not read. After has an ID
// for each user.
func (s *Store) Poll(
	ctx context.Context, userIDs, after []string,
) (news []domain.Notification, unread map[string]int32, err error) {
	news, err = collect[domain.Notification](s.pool.Query(ctx, pollNotifications, userIDs, after, pollSize))
	if err != nil || len(news) == 0 {
		return nil, nil, err
	}
	users := make([]string, len(news))
	for i, n := range news {
		users[i] = n.UserID
	}
	unread, err = s.Unread(ctx, users...)
	return news, unread, err
}

// Unread returns how many notifications users have not read; a user with none is left out.
func (s *Store) Unread(ctx context.Context, userIDs ...string) (map[string]int32, error) {
	rows, err := s.pool.Query(ctx, countUnread, userIDs)
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := map[string]int32{}
	var userID string
	var n int32
	_, err = pgx.ForEachRow(rows, []any{&userID, &n}, func() error {
		out[userID] = n
		return nil
	})
	return out, postgres.Err(err)
}

// Read marks a notification of a user as read.
//
// Errors: not_found.
func (s *Store) Read(ctx context.Context, userID, notificationID string, at time.Time) (domain.Notification, error) {
	got, err := collect[domain.Notification](s.pool.Query(ctx, readNotification, notificationID, userID, at))
	if err == nil && len(got) == 0 {
		return domain.Notification{}, errs.New(errs.NotFound, "there is no such notification in your inbox")
	}
	if err != nil {
		return domain.Notification{}, err
	}
	return got[0], nil
}

// ReadAll marks all notifications of a user as read, and returns how many.
func (s *Store) ReadAll(ctx context.Context, userID string, at time.Time) (int, error) {
	tag, err := s.pool.Exec(ctx, readAll, userID, at)
	return int(tag.RowsAffected()), postgres.Err(err)
}

// ForgetNotifications deletes at most limit notifications that are older than the given time, and returns how many.
func (s *Store) ForgetNotifications(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, forgetNotifications, before, limit)
	return int(tag.RowsAffected()), postgres.Err(err)
}

// Deliveries returns a page of the log, newest first. An empty state or recipient stands for all.
//
// Errors: invalid_argument (a made-up page token).
func (s *Store) Deliveries(
	ctx context.Context, state, recipient string, r page.Request,
) ([]domain.Logged, string, error) {
	read := func(ctx context.Context, before string, limit int) ([]domain.Logged, error) {
		return collect[domain.Logged](s.pool.Query(ctx, listDeliveries, before, state, recipient, limit))
	}
	return page.List(ctx, r, "", read, func(d domain.Logged) string { return d.ID })
}

// collect reads the rows of a query into structs, by the order of their fields.
func collect[T any](rows pgx.Rows, err error) ([]T, error) {
	if err != nil {
		return nil, postgres.Err(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	return out, postgres.Err(err)
}
