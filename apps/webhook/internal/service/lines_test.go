package service

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLinesBoundRequestsOfWebhookAndOwner(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newLines()
	var leaving []func(time.Duration)
	enter := func(webhookID, owner string) time.Duration {
		leave, wait := l.enter(now, webhookID, owner)
		if wait == 0 {
			leaving = append(leaving, leave)
		}
		return wait
	}
	for range 16 {
		require.Zero(t, enter("a", "shop"))
	}
	require.Equal(t, minWait, enter("a", "shop"), "a quick receiver is looked at soon")
	require.Equal(t, minWait, enter("b", "shop"), "so are others of its shop")
	require.Zero(t, enter("c", "other shop"))

	now = now.Add(8 * time.Second) // without an answer
	require.Equal(t, 2*time.Second, enter("a", "shop"), "an answer of four every eight seconds")
	require.Equal(t, 4*time.Second, enter("a", "shop"), "behind the message before")
	for range 1000 {
		enter("a", "shop")
	}
	require.Equal(t, maxWait, enter("a", "shop"))
	for range 3 {
		require.Zero(t, enter("c", "other shop"))
	}
	now = now.Add(time.Second)
	require.Positive(t, enter("c", "other shop"), "a slow receiver has four")
	require.Zero(t, enter("d", "other shop"), "others of its shop have their own")
	for _, leave := range leaving {
		leave(time.Second)
	}
	require.Empty(t, l.byKey)
}
