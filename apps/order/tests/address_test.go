package tests

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	addressv1 "souk/gen/go/souk/address/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
)

func withAddress(addressID string) *orderv1.CheckoutRequest {
	r := checkoutRequest("tok_ok")
	r.ShippingAddress, r.AddressId = nil, addressID
	return r
}

// keep puts an address into a user's address book.
func (h *harness) keep(userID, addressID, city string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.book[userID+"/"+addressID] = &addressv1.Address{
		Id:          addressID,
		Name:        "Ana",
		Line1:       "Rua 1",
		City:        city,
		Region:      "CE",
		PostalCode:  "60000-000",
		CountryCode: "BR",
		Phone:       "+5585912345678",
	}
}

func TestOrderKeepsACopyOfTheAddressBooksAddress(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	h.keep(c.ID, "adr_1", "Fortaleza")
	o, err := h.checkout(c, "k", withAddress("adr_1"))
	require.NoError(t, err)
	require.Equal(t, (&orderv1.ShippingAddress{
		Name: "Ana", Line1: "Rua 1", City: "Fortaleza", Region: "CE", PostalCode: "60000-000", CountryCode: "BR",
		Phone: "+5585912345678",
	}).String(), o.GetShippingAddress().String())

	h.keep(c.ID, "adr_1", "Aquiraz")
	again, err := h.checkout(c, "k", withAddress("adr_1"))
	require.NoError(t, err, "a retry is the same request, although the address has changed")
	require.Equal(t, o.GetId(), again.GetId())
	require.Equal(t, "Fortaleza", again.GetShippingAddress().GetCity())
	h.mu.Lock()
	delete(h.book, c.ID+"/adr_1")
	h.mu.Unlock()
	again, err = h.checkout(c, "k", withAddress("adr_1"))
	require.NoError(t, err, "and although it is gone")
	require.Equal(t, o.GetId(), again.GetId())
	_, err = h.checkout(c, "k", withAddress("adr_2"))
	require.Equal(t, errs.IdempotencyMismatch, errs.CodeOf(err), "%v", err)
}

func TestCheckoutRefusesOtherAddresses(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	h.keep("usr_other", "adr_1", "Fortaleza")
	guest := identity.Actor{Kind: identity.KindGuest, ID: "gst_1"}
	both := checkoutRequest("tok_ok")
	both.AddressId = "adr_1"
	for name, tc := range map[string]struct {
		caller  identity.Actor
		request *orderv1.CheckoutRequest
		path    string
	}{
		"another user's":       {c, withAddress("adr_1"), "addressId"},
		"two addresses":        {c, both, "addressId"},
		"a guest":              {guest, withAddress("adr_1"), "addressId"},
		"no address":           {c, withAddress(""), "shippingAddress"},
		"a wrong postal code":  {c, withPostalCode("1234"), "shippingAddress.region"},
		"no postal code":       {c, withPostalCode(""), "shippingAddress.region"},
		"an impossible number": {c, withPhone("1234 5"), "shippingAddress.phone"},
	} {
		_, err := h.checkout(tc.caller, id.New(id.Event), tc.request)
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", name, err)
		require.Equal(t, tc.path, errs.From(err).Fields[0].Path, "%s: %v", name, err)
	}
}

func withPostalCode(code string) *orderv1.CheckoutRequest {
	r := checkoutRequest("tok_ok")
	r.ShippingAddress.PostalCode = code
	return r
}

func withPhone(number string) *orderv1.CheckoutRequest {
	r := checkoutRequest("tok_ok")
	r.ShippingAddress.Phone = number
	return r
}

func TestCheckoutWithoutTheAddressServiceCanBeRetried(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c := h.newCustomer()
	h.keep(c.ID, "adr_1", "Fortaleza")
	h.failAddresses(slices.Repeat([]error{errs.New(errs.Unavailable, "away")}, 100))
	_, err := h.checkout(c, "k", withAddress("adr_1"))
	require.Equal(t, errs.Unavailable, errs.CodeOf(err), "%v", err)
	h.failAddresses(nil)
	_, err = h.checkout(c, "k", withAddress("adr_1"))
	require.NoError(t, err, "the refusal was not kept for the key")
}

func (h *harness) failAddresses(failures []error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail["GetUserAddress"] = failures
}
