package user_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// storedUsers returns what the documents of users hold, as text.
func (h *harness) storedUsers() string {
	return moduletest.Value[string](h.Service, `select coalesce(string_agg(u::text, ' '), '') from doc_users u`)
}

func TestUsersAreStoredEncrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	u := h.ensure("a", "ana.souza@example.com", "Ana Souza").GetUser()
	h.ensure("a", "ana.new@example.com", "Ana Souza")
	name, phone := "Aninha", "+55 11 98765-4321"
	me, err := h.users.UpdateMe(h.AsUser(u.GetId()), &userv1.UpdateMeRequest{Name: &name, Phone: &phone})
	require.NoError(t, err)
	require.Equal(t, "Aninha", me.GetUser().GetName())
	require.Equal(t, "ana.new@example.com", me.GetUser().GetEmail())
	former, err := h.notification.GetFormerEmail(t.Context(), &userv1.GetFormerEmailRequest{UserId: u.GetId()})
	require.NoError(t, err)
	require.Equal(t, "ana.souza@example.com", former.GetEmail())
	stored := h.storedUsers()
	require.Contains(t, stored, u.GetId())
	for _, secret := range []string{"ana.", "Ana", "Souza", "Aninha", "98765"} {
		require.NotContains(t, stored, secret)
	}
}

func TestUsersOfBeforeAreEncrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var ids []string
	for _, subject := range []string{"email", "name", "phone"} {
		ids = append(ids, h.ensure(subject, "", "").GetUser().GetId())
	}
	h.Stop()
	for i, field := range []string{"email", "name", "phone"} {
		_, err := h.Pool.Exec(t.Context(),
			`update doc_users set doc = (doc - 'private') || jsonb_build_object($2::text, 'plain value') where id = $1`,
			ids[i], field)
		require.NoError(t, err)
	}
	require.Contains(t, h.storedUsers(), "plain value")
	other := h.Another()
	waittest.Until(t, func() bool {
		return moduletest.Value[int](h.Service, `select count(*) from doc_users where doc ? 'private'`) == 3
	}, "the users are not encrypted")
	require.NotContains(t, h.storedUsers(), "plain value")
	users := userv1.NewUserServiceClient(other.Client("gateway"))
	operator := other.AsUser("usr_1", "operator")
	got, err := users.SearchUsers(operator, &userv1.SearchUsersRequest{Query: "Plain Value"})
	require.NoError(t, err)
	require.Len(t, got.GetUsers(), 2, "found by e-mail address and by name")
	user, err := users.GetUser(operator, &userv1.GetUserRequest{Id: ids[2]})
	require.NoError(t, err)
	require.Equal(t, "plain value", user.GetUser().GetPhone())
}

func TestErasedUsersAreGone(t *testing.T) {
	t.Parallel()
	h := setup(t)
	admin := h.AsUser("usr_1", "admin")
	u := h.ensure("a", "ana@example.com", "Ana").GetUser()
	_, err := h.auth.RecordSignIn(
		t.Context(),
		&userv1.RecordSignInRequest{UserId: u.GetId(), Device: strings.Repeat("d", 43)},
	)
	require.NoError(t, err)
	erase := func(id string, keepOrders bool) error {
		_, err := h.users.EraseUser(admin, &userv1.EraseUserRequest{Id: id, KeepOrders: keepOrders})
		return err
	}
	requireCode(t, errs.NotFound, erase("usr_2", false))
	_, err = h.users.EraseUser(h.AsUser("usr_1", "support"), &userv1.EraseUserRequest{Id: u.GetId()})
	requireCode(t, errs.Forbidden, err)

	_, err = h.users.EraseUser(h.AsUser(u.GetId(), "admin"), &userv1.EraseUserRequest{Id: u.GetId()})
	requireCode(t, errs.Forbidden, err)
	h.orders.unshipped.Store(true)
	requireCode(t, errs.Conflict, erase(u.GetId(), false))
	for _, err := range moduletest.Concurrently(4, func(int) error { return erase(u.GetId(), true) }) {
		if err != nil {
			requireCode(t, errs.NotFound, err) // another call was faster
		}
	}
	_, err = h.users.GetMe(h.AsUser(u.GetId()), &userv1.GetMeRequest{})
	requireCode(t, errs.NotFound, err)
	require.Zero(t, moduletest.Value[int](h.Service, `select count(*) from doc_devices`))
	require.Equal(t, []string{"evt.user.registered", "evt.user.erased"}, h.Events(u.GetId()))
	h.orders.unshipped.Store(false)

	require.NoError(t, erase(u.GetId(), true), "a retry")
	require.Len(t, h.Events(u.GetId()), 2)
	require.NoError(t, erase(u.GetId(), false), "the orders, too, when their time is over")
	require.Len(t, h.Events(u.GetId()), 3)
	require.NotEqual(t, u.GetId(), h.ensure("a", "ana@example.com", "Ana").GetUser().GetId(), "a new user")
}

// An erasure of everything dies before the user is deleted, and is repeated with orders kept.
func TestWhatOneErasureErasesNoOtherKeeps(t *testing.T) {
	t.Parallel()
	h := setup(t)
	admin := h.AsUser("usr_1", "admin")
	u := h.ensure("a", "ana@example.com", "Ana").GetUser()
	_, err := h.Pool.Exec(
		t.Context(),
		`insert into doc_erased (id, doc, revision) values ($1::text, jsonb_build_object('userId', $1::text), 1)`,
		u.GetId(),
	)
	require.NoError(t, err)
	_, err = h.users.EraseUser(admin, &userv1.EraseUserRequest{Id: u.GetId(), KeepOrders: true})
	require.NoError(t, err)
	var payload []byte
	require.NoError(t, h.Pool.QueryRow(t.Context(),
		`select payload from outbox where subject = 'evt.user.erased' and aggregate_id = $1`, u.GetId()).Scan(&payload))
	require.NotContains(t, string(payload), "keepOrders", "the orders are not kept")
}
