package user_test

import (
	"context"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"souk/apps/user"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/config"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/module"
	"souk/pkg/natstest"
	"souk/pkg/outbox"
	"souk/pkg/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a process with the user service and with services that call it over NATS.
type harness struct {
	t            *testing.T
	pool         *pgxpool.Pool
	nats         *nats.Conn
	users        userv1.UserServiceClient // of the gateway; as sets the actor
	auth         userv1.UserServiceClient
	order        userv1.UserServiceClient
	notification userv1.UserServiceClient
	signer       *identity.Signer
}

func setup(t *testing.T) *harness {
	server := natstest.Server(t)
	url := pgtest.URL(t, outbox.Migrations())
	pool, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	h := &harness{t: t, pool: pool, nats: natstest.Connect(t, server)}
	tree, err := config.FromMap(map[string]any{
		"postgres": map[string]any{
			"url": url,
		},
		"nats":     map[string]any{"url": server.URL()},
		"rpc":      map[string]any{"transport": "nats"},
		"identity": map[string]any{"seed": base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))},
	})
	require.NoError(t, err)
	caller := func(name string, keep func(grpc.ClientConnInterface, *module.Platform)) module.Module {
		return module.Module{Name: name, Build: func(_ context.Context, p *module.Platform) (module.Runnable, error) {
			conn, err := p.Client()
			keep(conn, p)
			return module.Func(func(ctx context.Context) error { <-ctx.Done(); return nil }), err
		}}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- module.Run(ctx, module.Options{Config: tree, Logs: io.Discard, OnReady: func(string) { close(ready) }},
			user.Module,
			caller("auth", func(c grpc.ClientConnInterface, _ *module.Platform) { h.auth = userv1.NewUserServiceClient(c) }),
			caller("order", func(c grpc.ClientConnInterface, _ *module.Platform) { h.order = userv1.NewUserServiceClient(c) }),
			caller("notification", func(c grpc.ClientConnInterface, _ *module.Platform) { h.notification = userv1.NewUserServiceClient(c) }),
			caller("gateway", func(c grpc.ClientConnInterface, p *module.Platform) {
				h.users, h.signer = userv1.NewUserServiceClient(c), p.Signer()
			}))
	}()
	t.Cleanup(func() {
		cancel()
		if done == nil {
			return
		}
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(30 * time.Second):
			require.Fail(t, "the process has not stopped")
		}
	})
	select {
	case <-ready:
	case err := <-done:
		done = nil
		require.NoError(t, err, "the process ended")
	case <-time.After(30 * time.Second):
		require.Fail(t, "the process is not ready")
	}
	return h
}

func (h *harness) as(userID string, roles ...string) context.Context {
	token, _, err := h.signer.Sign(identity.Actor{Kind: identity.KindUser, ID: userID, Roles: roles})
	require.NoError(h.t, err)
	return identity.WithToken(h.t.Context(), token)
}

func (h *harness) ensure(subject, email, name string) *userv1.EnsureUserResponse {
	res, err := h.auth.EnsureUser(
		h.t.Context(),
		&userv1.EnsureUserRequest{
			Issuer:        "https://id.example.com",
			Subject:       subject,
			Email:         email,
			EmailVerified: true,
			Name:          name,
		},
	)
	require.NoError(h.t, err)
	return res
}

// events returns the subjects of a user's events, in order.
func (h *harness) events(userID string) []string {
	rows, err := h.pool.Query(h.t.Context(), `select subject from outbox where aggregate_id = $1 order by seq`, userID)
	require.NoError(h.t, err)
	subjects, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(h.t, err)
	return subjects
}

func requireCode(t *testing.T, code errs.Code, err error) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, errs.CodeOf(err), "%v", err)
}
