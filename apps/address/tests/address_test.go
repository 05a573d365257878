package tests

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/address"
	addressv1 "souk/gen/go/souk/address/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
)

const (
	owner   = "usr_00000000000000000000000000000001"
	visitor = "usr_00000000000000000000000000000002"
)

func fortaleza() *addressv1.CreateAddressRequest {
	return &addressv1.CreateAddressRequest{
		Label: "Home", Name: "Ana Souza", Line1: "Rua das Flores 1", City: "Fortaleza", Region: "CE",
		PostalCode: "60000-000", CountryCode: "BR", Phone: "(85) 91234-5678",
	}
}

func (h *harness) create(t *testing.T, req *addressv1.CreateAddressRequest) *addressv1.Address {
	t.Helper()
	res, err := h.address.CreateAddress(h.AsUser(owner), req)
	require.NoError(t, err)
	return res.GetAddress()
}

func (h *harness) list(t *testing.T) []*addressv1.Address {
	t.Helper()
	res, err := h.address.ListAddresses(h.AsUser(owner), &addressv1.ListAddressesRequest{PageSize: 100})
	require.NoError(t, err)
	return res.GetAddresses()
}

// defaults returns the IDs of the default addresses, and fails if there are several.
func (h *harness) defaults(t *testing.T) (shipping, billing string) {
	t.Helper()
	for _, a := range h.list(t) {
		if a.GetDefaultShipping() {
			require.Empty(t, shipping)
			shipping = a.GetId()
		}
		if a.GetDefaultBilling() {
			require.Empty(t, billing)
			billing = a.GetId()
		}
	}
	return shipping, billing
}

func TestAddressesAreCreatedChangedAndDeleted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.AsUser(owner)
	a := h.create(t, fortaleza())
	require.True(t, strings.HasPrefix(a.GetId(), "adr_"))
	require.Equal(t, "+5585912345678", a.GetPhone())
	require.Equal(t, "CE", a.GetRegion())

	city, label := "Aquiraz", ""
	res, err := h.address.UpdateAddress(ctx, &addressv1.UpdateAddressRequest{Id: a.GetId(), City: &city, Label: &label})
	require.NoError(t, err)
	require.Equal(t, "Aquiraz", res.GetAddress().GetCity())
	require.Empty(t, res.GetAddress().GetLabel())
	require.Equal(t, "Ana Souza", res.GetAddress().GetName(), "absent fields stay")
	got, err := h.address.GetAddress(ctx, &addressv1.GetAddressRequest{Id: a.GetId()})
	require.NoError(t, err)
	require.Equal(t, res.GetAddress().String(), got.GetAddress().String())

	_, err = h.address.DeleteAddress(ctx, &addressv1.DeleteAddressRequest{Id: a.GetId()})
	require.NoError(t, err)
	_, err = h.address.GetAddress(ctx, &addressv1.GetAddressRequest{Id: a.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.address.DeleteAddress(ctx, &addressv1.DeleteAddressRequest{Id: a.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	require.Empty(t, h.list(t))
}

func TestAddressesAreCheckedByTheRulesOfTheirCountry(t *testing.T) {
	t.Parallel()
	h := setup(t)
	wrong := fortaleza()
	wrong.City, wrong.PostalCode, wrong.Phone = " ", "1000-001", "1234 5"
	_, err := h.address.CreateAddress(h.AsUser(owner), wrong)
	require.Equal(t, "city postalCode phone", paths(err), err)
	wrong = fortaleza()
	wrong.CountryCode, wrong.Phone = "XX", ""
	_, err = h.address.CreateAddress(h.AsUser(owner), wrong)
	require.Equal(t, "countryCode", paths(err), err)

	a, country := h.create(t, fortaleza()), "PT"
	_, err = h.address.UpdateAddress(h.AsUser(owner), &addressv1.UpdateAddressRequest{
		Id: a.GetId(), CountryCode: &country,
	})
	require.Equal(t, "postalCode", paths(err), "the address is checked as a whole: %v", err)

	hongKong := &addressv1.CreateAddressRequest{
		Name: "Lee", Line1: "1 Nathan Road", Region: "Kowloon", CountryCode: "HK",
	}
	h.create(t, hongKong)
	noRegion := fortaleza()
	noRegion.Region = ""
	require.Equal(t, "CE", h.create(t, noRegion).GetRegion(), "the postal code says it")
}

func paths(err error) string {
	if !errs.Is(err, errs.Invalid) {
		return ""
	}
	var out []string
	for _, f := range errs.From(err).Fields {
		out = append(out, f.Path)
	}
	return strings.Join(out, " ")
}

func TestBookHasOneDefaultEach(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := h.AsUser(owner)
	first, second := h.create(t, fortaleza()), h.create(t, fortaleza())
	require.True(t, first.GetDefaultShipping() && first.GetDefaultBilling(), "the first is both")
	require.False(t, second.GetDefaultShipping() || second.GetDefaultBilling())

	_, err := h.address.SetDefaultAddress(ctx, &addressv1.SetDefaultAddressRequest{Id: second.GetId()})
	require.Equal(t, "shipping", paths(err))
	res, err := h.address.SetDefaultAddress(ctx, &addressv1.SetDefaultAddressRequest{Id: second.GetId(), Billing: true})
	require.NoError(t, err)
	require.True(t, res.GetAddress().GetDefaultBilling())
	shipping, billing := h.defaults(t)
	require.Equal(t, []string{first.GetId(), second.GetId()}, []string{shipping, billing})

	both := fortaleza()
	both.DefaultShipping, both.DefaultBilling = true, true
	third := h.create(t, both)
	shipping, billing = h.defaults(t)
	require.Equal(t, []string{third.GetId(), third.GetId()}, []string{shipping, billing})

	_, err = h.address.DeleteAddress(ctx, &addressv1.DeleteAddressRequest{Id: third.GetId()})
	require.NoError(t, err)
	shipping, billing = h.defaults(t)
	require.Equal(t, []string{first.GetId(), first.GetId()}, []string{shipping, billing}, "the oldest one that is left")
}

func TestManyChangesAtOnceLeaveOneDefault(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var all []string
	for range 6 {
		all = append(all, h.create(t, fortaleza()).GetId())
	}
	var wg sync.WaitGroup
	errors := make([]error, 48)
	for i := range errors {
		wg.Go(func() {
			ctx, addressID := h.AsUser(owner), all[i%len(all)]
			switch i % 4 {
			case 0:
				_, err := h.address.DeleteAddress(ctx, &addressv1.DeleteAddressRequest{Id: addressID})
				errors[i] = err
			case 1:
				req := fortaleza()
				req.DefaultShipping = true
				_, err := h.address.CreateAddress(ctx, req)
				errors[i] = err
			default:
				req := &addressv1.SetDefaultAddressRequest{Id: addressID, Shipping: i%2 == 0, Billing: true}
				_, err := h.address.SetDefaultAddress(ctx, req)
				errors[i] = err
			}
		})
	}
	wg.Wait()
	for _, err := range errors {
		require.True(t, err == nil || errs.Is(err, errs.NotFound), err)
	}
	shipping, billing := h.defaults(t)
	require.NotEmpty(t, shipping)
	require.NotEmpty(t, billing)
	var counted int
	require.NoError(t, h.Pool.QueryRow(t.Context(), "select addresses from address_book").Scan(&counted))
	require.Len(t, h.list(t), counted)
	h.requireConsistent(t)
	_, err := h.Pool.Exec(t.Context(), "update address set default_billing = false")
	require.NoError(t, err)
	findings, err := address.Module.Verify(t.Context(), h.Pool)
	require.NoError(t, err)
	require.Equal(t, owner, findings[0].Example)
}

func (h *harness) requireConsistent(t *testing.T) {
	t.Helper()
	findings, err := address.Module.Verify(t.Context(), h.Pool)
	require.NoError(t, err)
	require.Len(t, findings, 1)
	require.Zero(t, findings[0].Wrong, findings[0].Example)
}

func TestBookIsFullAtFiftyAddresses(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var wg sync.WaitGroup
	errors := make([]error, 60)
	for i := range errors {
		wg.Go(func() {
			req := fortaleza()
			req.Line1 = fmt.Sprintf("Rua das Flores %d", i)
			_, errors[i] = h.address.CreateAddress(h.AsUser(owner), req)
		})
	}
	wg.Wait()
	refused := 0
	for _, err := range errors {
		if err != nil {
			require.True(t, errs.Is(err, errs.Conflict), err)
			refused++
		}
	}
	require.Equal(t, 10, refused)
	list := h.list(t)
	require.Len(t, list, 50)
	_, err := h.address.DeleteAddress(h.AsUser(owner), &addressv1.DeleteAddressRequest{Id: list[7].GetId()})
	require.NoError(t, err)
	h.create(t, fortaleza())
}

func TestAddressesOfOthersDoNotExist(t *testing.T) {
	t.Parallel()
	h := setup(t)
	a, city := h.create(t, fortaleza()), "Mine"
	ctx := h.AsUser(visitor)
	_, err := h.address.GetAddress(ctx, &addressv1.GetAddressRequest{Id: a.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.address.UpdateAddress(ctx, &addressv1.UpdateAddressRequest{Id: a.GetId(), City: &city})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.address.SetDefaultAddress(ctx, &addressv1.SetDefaultAddressRequest{Id: a.GetId(), Shipping: true})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.address.DeleteAddress(ctx, &addressv1.DeleteAddressRequest{Id: a.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	list, err := h.address.ListAddresses(ctx, &addressv1.ListAddressesRequest{})
	require.NoError(t, err)
	require.Empty(t, list.GetAddresses())
	shipping, _ := h.defaults(t)
	require.Equal(t, a.GetId(), shipping)
}

func TestOrderReadsAddressesOfTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	h := setup(t)
	a := h.create(t, fortaleza())
	order := addressv1.NewAddressServiceClient(h.Client("order"))
	res, err := order.GetUserAddress(t.Context(), &addressv1.GetUserAddressRequest{UserId: owner, Id: a.GetId()})
	require.NoError(t, err)
	require.Equal(t, a.String(), res.GetAddress().String())
	_, err = order.GetUserAddress(t.Context(), &addressv1.GetUserAddressRequest{UserId: visitor, Id: a.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), err)
	_, err = h.address.GetUserAddress(h.AsUser(owner), &addressv1.GetUserAddressRequest{UserId: owner, Id: a.GetId()})
	require.True(t, errs.Is(err, errs.Forbidden), err)
}

func TestListIsCompleteAtAnyPageSize(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var want []string
	for range 5 {
		want = append(want, h.create(t, fortaleza()).GetId())
	}
	for _, size := range []int32{1, 2, 5, 100} {
		var found []string
		for token := ""; ; {
			req := &addressv1.ListAddressesRequest{PageSize: size, PageToken: token}
			res, err := h.address.ListAddresses(h.AsUser(owner), req)
			require.NoError(t, err)
			for _, a := range res.GetAddresses() {
				found = append(found, a.GetId())
			}
			if token = res.GetNextPageToken(); token == "" {
				break
			}
		}
		require.Equal(t, want, found, "size %d", size)
	}
	_, err := h.address.ListAddresses(h.AsUser(owner), &addressv1.ListAddressesRequest{PageToken: "made up"})
	require.True(t, errs.Is(err, errs.Invalid), err)
}

func TestFormatsAreForEverybody(t *testing.T) {
	t.Parallel()
	h := setup(t)
	res, err := h.address.GetAddressFormat(
		h.As(identity.Anonymous()),
		&addressv1.GetAddressFormatRequest{CountryCode: "BR"},
	)
	require.NoError(t, err)
	require.Equal(t, []string{"name", "line1", "city", "region", "postalCode"}, res.GetFormat().GetRequired())
	require.Len(t, res.GetFormat().GetRegions(), 27)
	require.Equal(t, "State", res.GetFormat().GetLabels()["region"])
	_, err = h.address.GetAddressFormat(
		h.As(identity.Anonymous()),
		&addressv1.GetAddressFormatRequest{CountryCode: "XX"},
	)
	require.True(t, errs.Is(err, errs.NotFound), err)
}
