package ferretdb_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/user"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/document/documenttest"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
	"souk/tests/ferretdb"
)

func start(t *testing.T) (url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	url, done, err := ferretdb.Start(ctx, "127.0.0.1:0", t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { // after the cleanups of what uses it
		cancel()
		waittest.Receive(t, done)
	})
	return url
}

func TestDocumentsPassSuiteWithoutConcurrentWriters(t *testing.T) {
	t.Parallel()
	documenttest.RunMongo(t, start(t), false)
}

// A service keeps its documents in MongoDB, publishes their events, and has both after a restart.
func TestServiceKeepsDocumentsInMongoDB(t *testing.T) {
	t.Parallel()
	s := moduletest.Start(t, user.Module, moduletest.Documents(start(t)))
	ensure := func(s *moduletest.Service) *userv1.EnsureUserResponse {
		res, err := userv1.NewUserServiceClient(s.Client("auth")).EnsureUser(t.Context(), &userv1.EnsureUserRequest{
			Issuer:        "https://id.example.com",
			Subject:       "ann",
			Email:         "ann@example.com",
			EmailVerified: true,
			Name:          "Ann",
		})
		require.NoError(t, err)
		return res
	}
	first := ensure(s)
	require.True(t, first.GetCreated())
	userID := first.GetUser().GetId()
	published := func() bool {
		const sql = `select count(*) from outbox where aggregate_id = $1 and sent_at is not null`
		return moduletest.Value[int](s, sql, userID) == 1
	}
	waittest.Until(t, published, "the event is not published")
	require.Equal(t, []string{"evt.user.registered"}, s.Events(userID))
	require.Nil(t, moduletest.Value[*string](s, `select to_regclass('doc_users')::text`), "it is not in PostgreSQL")
	s.Stop()
	again := s.Another()
	res := ensure(again)
	require.False(t, res.GetCreated())
	require.Equal(t, userID, res.GetUser().GetId())
	name := "Ann B."
	me := again.AsUser(userID)
	_, err := userv1.NewUserServiceClient(again.Client("gateway")).UpdateMe(me, &userv1.UpdateMeRequest{Name: &name})
	require.NoError(t, err)
	waittest.Until(t, func() bool { return len(again.Events(userID)) == 2 }, "the update has no event")
	_, err = userv1.NewUserServiceClient(again.Client("gateway")).
		UpdateMe(again.AsUser("usr_nobody"), &userv1.UpdateMeRequest{Name: &name})
	require.True(t, errs.Is(err, errs.NotFound), "%v", err)
}
