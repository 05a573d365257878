package tests

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/errs"
)

// GetSubscription knows the token good.
func (i *inboxes) GetSubscription(
	_ context.Context, r *notificationv1.GetSubscriptionRequest,
) (*notificationv1.GetSubscriptionResponse, error) {
	if r.GetToken() != "good" {
		return nil, errs.New(errs.NotFound, "there is no such link")
	}
	return &notificationv1.GetSubscriptionResponse{Kind: "order_shipped"}, nil
}

// Unsubscribe notes the token.
func (i *inboxes) Unsubscribe(
	_ context.Context, r *notificationv1.UnsubscribeRequest,
) (*notificationv1.UnsubscribeResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.ended = append(i.ended, r.GetToken())
	return &notificationv1.UnsubscribeResponse{Kind: "order_shipped"}, nil
}

// A link changes nothing when it is followed. Its page and mail programs post to it, without signing in.
func TestUnsubscribePageNeedsNoSignIn(t *testing.T) {
	t.Parallel()
	in := &inboxes{}
	g := setup(t, in.option())
	const path = "/v1/unsubscribe?token=good"
	page := g.send(http.MethodGet, path, "")
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", page.Header.Get("Content-Type"))
	require.Contains(t, page.body, `<form method="post">`)
	require.Contains(t, page.body, "order shipped")
	require.Empty(t, in.ended)
	g.send(http.MethodGet, "/v1/unsubscribe?token=bad", "").problem(t, http.StatusNotFound, errs.NotFound)

	for _, header := range [][]string{
		{"Content-Type", "application/x-www-form-urlencoded"},                                                    // RFC 8058
		{"Content-Type", "application/x-www-form-urlencoded", "Origin", "null", "Sec-Fetch-Site", "same-origin"}, // the page
	} {
		done := g.send(http.MethodPost, path, "List-Unsubscribe=One-Click", header...)
		require.Equal(t, http.StatusOK, done.StatusCode, done.body)
		require.Contains(t, done.body, "no more mails")
	}
	require.Equal(t, []string{"good", "good"}, in.ended)
}
