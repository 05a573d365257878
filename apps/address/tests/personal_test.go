package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	addressv1 "souk/gen/go/souk/address/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/event"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// stored returns what the table of addresses holds, as text.
func (h *harness) stored() string {
	return moduletest.Value[string](h.Service, `select coalesce(string_agg(a::text, ' '), '') from address a`)
}

func TestAddressesAreStoredEncrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.AsUser("usr_1")
	made, err := h.address.CreateAddress(ctx, &addressv1.CreateAddressRequest{
		Label:       "Home",
		Name:        "Ana Souza",
		Line1:       "Rua Augusta 7",
		City:        "Curitiba",
		Region:      "PR",
		PostalCode:  "80010-000",
		CountryCode: "BR",
		Phone:       "+5541987654321",
	})
	require.NoError(t, err)
	street := "Rua Bela 8"
	_, err = h.address.UpdateAddress(ctx,
		&addressv1.UpdateAddressRequest{Id: made.GetAddress().GetId(), Line1: &street})
	require.NoError(t, err)
	stored := h.stored()
	require.Contains(t, stored, made.GetAddress().GetId())
	for _, secret := range []string{"Home", "Ana", "Rua", "Curitiba", "80010", "4198765"} {
		require.NotContains(t, stored, secret)
	}
	got, err := h.address.GetAddress(ctx, &addressv1.GetAddressRequest{Id: made.GetAddress().GetId()})
	require.NoError(t, err)
	require.Equal(t, street, got.GetAddress().GetLine1())
	require.Equal(t, "Curitiba", got.GetAddress().GetCity())
}

func TestAddressesOfBeforeAreEncrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.AsUser("usr_1")
	made, err := h.address.CreateAddress(ctx, &addressv1.CreateAddressRequest{
		Name: "Ana", Line1: "Rua 7", City: "Curitiba", Region: "PR", PostalCode: "80010-000", CountryCode: "BR",
	})
	require.NoError(t, err)
	h.Stop()
	_, err = h.Pool.Exec(
		t.Context(),
		`update address set sealed = null, name = 'Bia', line1 = 'Rua 9', country_code = 'BR'`,
	)
	require.NoError(t, err)
	other := h.Another()
	waittest.Until(t, func() bool {
		return moduletest.Value[int](h.Service, `select count(*) from address where sealed is not null`) == 1
	}, "the address is not encrypted")
	require.NotContains(t, h.stored(), "Bia")
	got, err := addressv1.NewAddressServiceClient(other.Client("gateway")).
		GetAddress(other.AsUser("usr_1"), &addressv1.GetAddressRequest{Id: made.GetAddress().GetId()})
	require.NoError(t, err)
	require.Equal(t, "Bia", got.GetAddress().GetName())
	require.Equal(t, "Rua 9", got.GetAddress().GetLine1())
}

func TestErasureDeletesTheBook(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, user := range []string{"usr_1", "usr_2"} {
		_, err := h.address.CreateAddress(h.AsUser(user), &addressv1.CreateAddressRequest{
			Name: "Ana", Line1: "Rua 7", City: "Curitiba", Region: "PR", PostalCode: "80010-000", CountryCode: "BR",
		})
		require.NoError(t, err)
	}
	e, err := event.New(t.Context(), "evt.user.erased", "usr_1", 1, time.Now(),
		&userv1.UserErased{UserId: "usr_1", KeepOrders: true})
	require.NoError(t, err)
	h.Deliver("user", e)
	require.Equal(t, "usr_2", moduletest.Value[string](h.Service, `select string_agg(owner_id, ' ') from address`))
	require.Equal(t, 1, moduletest.Value[int](h.Service, `select count(*) from address_book`))
}
