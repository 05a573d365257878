package rpc_test

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/event"
	"souk/pkg/identity"
	"souk/pkg/permission"
	"souk/pkg/rpc"
)

// people is a user service.
type people struct {
	userv1.UnimplementedUserServiceServer
	shared *userv1.GetUserResponse // an answer that it keeps
}

func (p *people) GetUser(context.Context, *userv1.GetUserRequest) (*userv1.GetUserResponse, error) {
	return p.shared, nil
}

func (p *people) SearchUsers(context.Context, *userv1.SearchUsersRequest) (*userv1.SearchUsersResponse, error) {
	return &userv1.SearchUsersResponse{
		Users: []*userv1.User{p.shared.GetUser(), {Id: "usr_2"}, {Email: "@x", Phone: "112"}}, NextPageToken: "t",
	}, nil
}

func (p *people) GetMe(context.Context, *userv1.GetMeRequest) (*userv1.GetMeResponse, error) {
	return &userv1.GetMeResponse{User: p.shared.GetUser()}, nil
}

func TestPersonalDataIsMasked(t *testing.T) {
	t.Parallel()
	ana := &userv1.User{
		Id: "usr_1", Email: "ana@example.com", EmailVerified: true, Name: "Ana d'Ávila Éboli", Phone: "+5511987654321",
	}
	p := &people{shared: &userv1.GetUserResponse{User: ana}}
	private := identity.DeriveKey(make([]byte, 32), identity.Gateway)
	verifier := identity.NewVerifier(map[string]ed25519.PublicKey{identity.Gateway: public(private)}, clock.System{})
	server := rpc.NewServer(rpc.ServerOptions{
		Service: "user", Verifier: verifier, Record: func(context.Context, event.Event) error { return nil },
	})
	userv1.RegisterUserServiceServer(server, p)
	require.NoError(t, server.Err())
	l := rpc.NewLocal()
	stop, err := l.Serve(t.Context(), server)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop(context.WithoutCancel(t.Context()))) })
	signer := verifier.Signer(identity.Gateway, private, time.Minute)
	users := userv1.NewUserServiceClient(
		rpc.NewClient(l.Conn(), rpc.ClientOptions{Service: identity.Gateway, Signer: signer}))
	as := func(permissions ...string) context.Context {
		return identity.WithAssertion(t.Context(), signer.Assert(
			identity.Actor{Kind: identity.KindUser, ID: "usr_9", Roles: []string{"support"}, Permissions: permissions}))
	}

	support := as("user.read")
	got, err := users.GetUser(support, &userv1.GetUserRequest{Id: "usr_1"})
	require.NoError(t, err)
	u := got.GetUser()
	require.Equal(t, "usr_1", u.GetId())
	require.True(t, u.GetEmailVerified())
	require.Equal(t, "a***@example.com", u.GetEmail())
	require.Equal(t, "A*** d*** É***", u.GetName())
	require.Equal(t, "***21", u.GetPhone())
	list, err := users.SearchUsers(support, &userv1.SearchUsersRequest{})
	require.NoError(t, err)
	require.Equal(t, "A*** d*** É***", list.GetUsers()[0].GetName())
	require.Empty(t, list.GetUsers()[1].GetEmail())
	require.Equal(t, "***@x", list.GetUsers()[2].GetEmail())
	require.Equal(t, "***", list.GetUsers()[2].GetPhone())
	require.Equal(t, "t", list.GetNextPageToken())
	require.Equal(t, "ana@example.com", ana.GetEmail(), "what the service keeps stays")

	got, err = users.GetUser(as("user.read", permission.UserReadPrivate), &userv1.GetUserRequest{Id: "usr_1"})
	require.NoError(t, err)
	require.Equal(t, "ana@example.com", got.GetUser().GetEmail())
	me, err := users.GetMe(support, &userv1.GetMeRequest{})
	require.NoError(t, err)
	require.Equal(t, "ana@example.com", me.GetUser().GetEmail(), "one's own")
}
