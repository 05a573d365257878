package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
)

// testAddressBook buys with an address of the address book.
func testAddressBook(t *testing.T, s *souk) {
	shop := handle("book")
	p := s.seller(shop).sell(shop, "Atlas", "10.00", 5)
	u, stranger := s.user(email("book"), "customer"), s.user(email("stranger"), "customer")
	home := obj{
		"label":       "Home",
		"name":        "Ana Souza",
		"line1":       "Rua das Flores 1",
		"city":        "Fortaleza",
		"postalCode":  "60000-000",
		"countryCode": "BR",
		"phone":       "(85) 91234-5678",
	}
	var kept struct {
		ID, Region, Phone               string
		DefaultShipping, DefaultBilling bool
	}
	created := u.post("/v1/me/addresses", home).want(http.StatusCreated)
	created.into(&kept)
	require.Equal(t, "/v1/me/addresses/"+kept.ID, created.header.Get("Location"))
	require.Equal(t, "CE", kept.Region)
	require.Equal(t, "+5585912345678", kept.Phone)
	require.True(t, kept.DefaultShipping && kept.DefaultBilling)
	home["postalCode"] = "60"
	fields := u.post("/v1/me/addresses", home).problem(http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"region", "postalCode"}, fields)
	stranger.get("/v1/me/addresses/"+kept.ID).problem(http.StatusNotFound, "not_found")
	s.anonymous().get("/v1/me/addresses").problem(http.StatusUnauthorized, "unauthenticated")
	s.guest().get("/v1/me/addresses").problem(http.StatusUnauthorized, "unauthenticated")
	s.anonymous().get("/v1/address-formats/BR").want(http.StatusOK)

	body := obj{"addressId": kept.ID, "payment": obj{"method": "card", "token": "tok_ok"}}
	stranger.add(p.Variants[0].ID, 1).want(http.StatusOK)
	fields = stranger.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).
		problem(http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"addressId"}, fields)
	u.add(p.Variants[0].ID, 1).want(http.StatusOK)
	order := u.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	var o struct{ ShippingAddress struct{ City, Region string } }
	u.get("/v1/orders/" + order.ID).want(http.StatusOK).into(&o)
	require.Equal(t, "Fortaleza", o.ShippingAddress.City)
	require.Equal(t, "CE", o.ShippingAddress.Region)
}
