package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/keyring"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/moduletest"
	"souk/pkg/secrets"
	"souk/pkg/waittest"
)

// erase delivers the event of an erasure, and waits until it is handled.
func (h *harness) erase(t *testing.T, userID string, keepOrders bool) {
	t.Helper()
	e, err := event.New(t.Context(), "evt.user.erased", userID, 1, time.Now(),
		&userv1.UserErased{UserId: userID, KeepOrders: keepOrders})
	require.NoError(t, err)
	h.Deliver("user", e)
}

func TestEachPersonHasAKeyInEachService(t *testing.T) {
	t.Parallel()
	h := setup(t, randomKey())
	none, err := h.keys(t, "order", false, "usr_1")
	require.NoError(t, err)
	require.Empty(t, none[0].GetKey(), "reading creates nothing")

	made, err := h.keys(t, "order", true, "usr_1", "usr_2")
	require.NoError(t, err)
	require.Len(t, made[0].GetKey(), 32)
	require.NotEqual(t, made[0].GetKey(), made[1].GetKey())
	require.Equal(t, "usr_2", made[1].GetOwner(), "in the order of the request")

	again, err := h.keys(t, "order", false, "usr_2", "usr_1")
	require.NoError(t, err)
	require.Equal(t, made[0].GetKey(), again[1].GetKey())

	other, err := h.keys(t, "address", true, "usr_1")
	require.NoError(t, err)
	require.NotEqual(t, made[0].GetKey(), other[0].GetKey(), "a service never gets the keys of another one")

	_, err = h.keys(t, "webhook", true, "usr_1")
	require.ErrorContains(t, err, "you may not do that")
}

func TestConcurrentCallersGetOneKey(t *testing.T) {
	t.Parallel()
	h := setup(t, randomKey())
	got := make([]string, 16)
	for _, err := range moduletest.Concurrently(len(got), func(i int) error {
		keys, err := h.keys(t, "order", true, "usr_1", fmt.Sprintf("usr_%d", i+2))
		if err == nil {
			got[i] = string(keys[0].GetKey())
		}
		return err
	}) {
		require.NoError(t, err)
	}
	for _, key := range got {
		require.Equal(t, got[0], key)
	}
}

func TestErasureDestroysKeys(t *testing.T) {
	t.Parallel()
	h := setup(t, randomKey())
	for _, service := range []string{"order", "address"} {
		_, err := h.keys(t, service, true, "usr_1", "usr_2")
		require.NoError(t, err)
	}
	h.erase(t, "usr_1", true)
	destroyed := func(service, owner string) bool {
		keys, err := h.keys(t, service, true, owner)
		require.NoError(t, err)
		require.NotEqual(t, keys[0].GetDestroyed(), len(keys[0].GetKey()) > 0)
		return keys[0].GetDestroyed()
	}
	require.True(t, destroyed("address", "usr_1"))
	require.False(t, destroyed("order", "usr_1"), "orders are kept")
	require.False(t, destroyed("address", "usr_2"))
	require.Zero(t, moduletest.Value[int](h.Service,
		`select count(*) from data_key where owner = 'usr_1' and service <> 'order'`))

	h.erase(t, "usr_1", false)
	require.True(t, destroyed("order", "usr_1"))
	h.erase(t, "usr_1", true)
	require.True(t, destroyed("order", "usr_1"), "what was erased stays erased")
	require.Zero(t, moduletest.Value[int](h.Service, `select count(*) from data_key where owner = 'usr_1'`))
}

func TestNoKeyOutlivesAnErasureAtTheSameTime(t *testing.T) {
	t.Parallel()
	h := setup(t, randomKey())
	for i := range 20 {
		owner := fmt.Sprintf("usr_%d", i)
		for _, err := range moduletest.Concurrently(4, func(n int) error {
			if n == 0 {
				h.erase(t, owner, false)
				return nil
			}
			_, err := h.keys(t, "order", true, owner)
			return err
		}) {
			require.NoError(t, err)
		}
		require.Zero(t, moduletest.Value[int](h.Service, `select count(*) from data_key where owner = $1`, owner))
	}
}

func TestErasureReachesWhatUsersDidAsGuests(t *testing.T) {
	t.Parallel()
	h := setup(t, randomKey())
	merge := func(guest, user string) {
		_, err := keyringv1.NewKeyringServiceClient(h.Client("auth")).MergeOwner(t.Context(),
			&keyringv1.MergeOwnerRequest{GuestId: guest, UserId: user})
		require.NoError(t, err)
	}
	left := func(owner string) int {
		return moduletest.Value[int](h.Service, `select count(*) from data_key where owner = $1`, owner)
	}
	_, err := h.keys(t, "order", true, "gst_1", "gst_2", "gst_3", "gst_4")
	require.NoError(t, err)
	merge("gst_1", "usr_1")
	merge("gst_1", "usr_1") // a retry
	merge("gst_2", "usr_1")
	merge("gst_2", "usr_2")
	h.erase(t, "usr_1", true)
	require.Equal(t, 1, left("gst_1"), "orders are kept")
	h.erase(t, "usr_1", false)
	require.Zero(t, left("gst_1"))
	require.Equal(t, 1, left("gst_2"), "usr_2 has orders of this guest, too")
	require.Equal(t, 1, left("gst_3"))
	h.erase(t, "usr_2", false)
	require.Zero(t, left("gst_2"))
	e, err := event.New(t.Context(), "evt.order.guest_erased", "ord_1", 1, time.Now(),
		&orderv1.GuestErased{OrderId: "ord_1", GuestId: "gst_4"})
	require.NoError(t, err)
	h.Deliver("order", e)
	require.Zero(t, left("gst_4"), "a guest without a user")
	merge("gst_3", "usr_1")
	require.Zero(t, left("gst_3"), "the user was erased before")
	keys, err := h.keys(t, "order", true, "gst_3")
	require.NoError(t, err)
	require.True(t, keys[0].GetDestroyed())
}

func TestStoredKeysAreWrappedAndBoundToTheirRow(t *testing.T) {
	t.Parallel()
	h := setup(t, randomKey())
	keys, err := h.keys(t, "order", true, "usr_1", "usr_2")
	require.NoError(t, err)
	var rows string
	require.NoError(t, h.Pool.QueryRow(t.Context(), `select string_agg(k::text, ' ') from data_key k`).Scan(&rows))
	require.NotContains(t, rows, fmt.Sprintf("%x", keys[0].GetKey()))

	_, err = h.Pool.Exec(
		t.Context(),
		`update data_key set wrapped = (select wrapped from data_key where owner = 'usr_2')`,
	)
	require.NoError(t, err)
	_, err = h.keys(t, "order", false, "usr_1")
	require.Equal(t, errs.Internal, errs.CodeOf(err))
	_, err = h.keys(t, "order", false, "usr_2")
	require.NoError(t, err)
}

func TestTheWrappingKeyIsRotated(t *testing.T) {
	t.Parallel()
	first, second := randomKey(), randomKey()
	h := setup(t, first)
	owners := make([]string, 150)
	for i := range owners {
		owners[i] = fmt.Sprintf("usr_%d", i)
	}
	before, err := h.keys(t, "order", true, owners...)
	require.NoError(t, err)
	next := &harness{h.Another(moduletest.Config(map[string]any{"key": first, "former_key": second}))}
	_, err = next.keys(t, "order", false, owners[0])
	require.NoError(t, err)
	next.Stop()
	backup := moduletest.Value[[]byte](h.Service, `select wrapped from data_key where owner = 'usr_7'`)
	h.Stop()

	_, err = h.Pool.Exec(t.Context(), `insert into data_key values ('usr_0bad', 'order', 'x', 'unknown', now())`)
	require.NoError(t, err, "one that cannot be unwrapped stops no others")
	both := &harness{h.Another(moduletest.Config(map[string]any{"key": second, "former_key": first}))}
	waittest.Until(t, func() bool {
		return moduletest.Value[int](h.Service, `select count(distinct wrapped_by) from data_key`) == 2 &&
			both.Metric("keyring_former_keys") == 1
	}, "the keys are not wrapped again")
	require.Contains(t, both.Logs(), "cannot be unwrapped")
	after, err := both.keys(t, "order", false, owners...)
	require.NoError(t, err)
	for i := range before {
		require.Equal(t, before[i].GetKey(), after[i].GetKey())
	}
	both.Stop()

	rotated := &harness{h.Another(moduletest.Config(map[string]any{"key": second, "former_key": ""}))}
	_, err = rotated.keys(t, "order", false, owners...)
	require.NoError(t, err, "the former key is not needed any more")
	_, err = h.Pool.Exec(t.Context(), `update data_key set wrapped = $1 where owner = 'usr_7'`, backup)
	require.NoError(t, err)
	_, err = rotated.keys(t, "order", false, "usr_7")
	require.Equal(t, errs.Internal, errs.CodeOf(err), "a backup of before cannot be read with the key of now")
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":             "key: set it to the base64 of 32 random bytes",
		"c2hvcnQ=":     "key: must be the base64 of 32 random bytes",
		"not base64 !": "key: must be the base64 of 32 random bytes",
	} {
		cfg := keyring.Default()
		cfg.Key = secrets.Plain(text)
		require.ErrorContains(t, cfg.Validate(), want)
	}
}
