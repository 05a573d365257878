package tests

import (
	"testing"

	"github.com/stretchr/testify/require"

	notificationv1 "souk/gen/go/souk/notification/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// storedDevices returns what the table of devices holds, as text.
func (h *harness) storedDevices() string {
	return moduletest.Value[string](h.Service, `select coalesce(string_agg(d::text, ' '), '') from device d`)
}

func TestDevicesAreStoredEncrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	register := func(user, token string) string {
		res, err := h.gateway().RegisterDevice(h.AsUser(user),
			&notificationv1.RegisterDeviceRequest{Kind: "fcm", Token: token})
		require.NoError(t, err)
		return res.GetDevice().GetId()
	}
	const token = "fcm-token-of-a-telephone"
	device := register("usr_1", token)
	require.NotContains(t, h.storedDevices(), token)
	require.NotContains(t, h.storedDevices(), "6663") // in hexadecimal digits
	require.Equal(t, device, register("usr_2", token), "a token is that of one device, whoever uses it")
	devices, err := h.gateway().ListDevices(h.AsUser("usr_1"), &notificationv1.ListDevicesRequest{})
	require.NoError(t, err)
	require.Empty(t, devices.GetDevices())

	// A device of before.
	_, err = h.Pool.Exec(t.Context(), `
		insert into device (id, user_id, kind, token, created_at) values
			('dev_1', 'usr_3', 'fcm', 'plain-token', now()), ('dev_2', 'usr_3', 'fcm', $1, now())`, token)
	require.NoError(t, err)
	h.Stop()
	h.Another()
	waittest.Until(t, func() bool {
		return moduletest.Value[int](h.Service, `select count(*) from device where sealed is null`) == 0
	}, "the device is not encrypted")
	require.NotContains(t, h.storedDevices(), "plain-token")
	require.Equal(t, 2, moduletest.Value[int](h.Service, `select count(*) from device`), "a token is in one row")
}

func TestErasureDeletesWhatIsKeptAboutAUser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, user := range []string{"usr_1", "usr_2"} {
		_, err := h.gateway().RegisterDevice(h.AsUser(user),
			&notificationv1.RegisterDeviceRequest{Kind: "fcm", Token: "token of " + user})
		require.NoError(t, err)
		_, err = h.Pool.Exec(t.Context(), `
			with n as (insert into notice (id, kind, about, state, due_at, created_at, items)
				values ('ntc_' || $1, 'new_device', $1, 'done', now(), now(), '[]'))
			insert into delivery (id, notice_id, channel, recipient, created_at, state) values
				('dlv_a' || $1, 'ntc_' || $1, 'email', $1, now(), 'sent'),
				('dlv_b' || $1, 'ntc_' || $1, 'push', (select id from device where user_id = $1), now(), 'sent')`, user)
		require.NoError(t, err)
	}
	h.Deliver("user", h.event("evt.user.erased", "usr_1", &userv1.UserErased{UserId: "usr_1"}))
	require.Equal(t, 2, moduletest.Value[int](h.Service, `select count(*) from delivery`))
	require.Equal(t, "usr_2", moduletest.Value[string](h.Service, `select string_agg(user_id, ' ') from device`))
}
