package e2e

import (
	"bytes"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/waittest"
)

// TestErasure: what souk stores about people is encrypted, and nothing can read it any more after an erasure.
func TestErasure(t *testing.T) {
	t.Parallel()
	s := start(t, "nats", nil)
	shop := handle("erasing")
	seller, admin := s.seller(shop), s.user(email("admin"), "admin")
	v := seller.sell(shop, "Atlas", "10.00", 50).Variants[0].ID
	people := canaries{
		"e-mail address": "zuleika." + id.New(id.User)[4:16] + "@example.com", "name": "Zuleika Quimby",
		"street": "Viertelweg 4711", "telephone number": "915511223344", "device": "fcm-canary-4711",
		"invited": "kunigunde@example.org", "guest's e-mail address": "zulu@example.net",
	}
	body := func() obj {
		return obj{"payment": obj{"method": "card", "token": "tok_ok"}, "shippingAddress": obj{
			"name": people["name"], "line1": people["street"], "city": "Curitiba", "region": "PR",
			"postalCode": "80010-000", "countryCode": "BR", "phone": "+" + people["telephone number"],
		}}
	}
	buy := func(c *client, more obj) orderJSON {
		c.add(v, 1).want(http.StatusOK)
		b := body()
		for key, value := range more {
			b[key] = value
		}
		return c.post("/v1/checkout", b, "Idempotency-Key", id.New(id.Event)).order()
	}
	c := s.user(people["e-mail address"], "customer")
	c.send(http.MethodPatch, "/v1/me", obj{"name": people["name"], "phone": "+" + people["telephone number"]}).
		want(http.StatusOK)
	var me struct{ ID string }
	c.get("/v1/me").want(http.StatusOK).into(&me)
	c.post("/v1/me/addresses", body()["shippingAddress"].(obj)).want(http.StatusCreated)
	c.post("/v1/me/devices", obj{"kind": "fcm", "token": people["device"]}).want(http.StatusCreated)
	guest := s.guest()
	ofGuest := buy(guest, obj{"email": people["guest's e-mail address"]})
	c.post("/v1/me/guest:merge", obj{"guestToken": guest.token}).want(http.StatusOK)
	orders := []orderJSON{buy(c, nil), ofGuest}
	seller.post("/v1/shops/"+shop+"/invitations", obj{"email": people["invited"], "role": "staff"}).
		want(http.StatusCreated)

	s.stop()
	s.nothingStored(people, orders[0].Number)
	s.launch()
	recipient := func(o orderJSON) string {
		var part struct{ Buyer struct{ Name string } }
		seller.get("/v1/shop-orders/" + o.ShopOrders[0].ID).want(http.StatusOK).into(&part)
		return part.Buyer.Name
	}
	require.Contains(t, string(c.get("/v1/me").want(http.StatusOK).body), people["name"])
	for _, o := range orders {
		require.Equal(t, people["name"], recipient(o))
	}

	erase := func(keepOrders bool, check func()) {
		admin.post("/v1/operator/users/"+me.ID+":erase", obj{"keepOrders": keepOrders}).want(http.StatusOK)
		left := 0
		if keepOrders {
			left = 2 // the order service's keys of the user and the guest
		}
		waittest.Until(t, func() bool { return s.keys() == left }, "the keys are not destroyed")
		check()
		s.stop()
		s.launch() // a process keeps a key for a minute
		admin.get("/v1/operator/users/"+me.ID).problem(http.StatusNotFound, "not_found")
	}
	erase(true, func() {
		within(t, func() bool { return c.get("/v1/me").code() == "account_suspended" }, "the erased user is not out")
	})
	for _, o := range orders {
		require.Equal(t, people["name"], recipient(o), "a law demands it")
	}
	admin.post("/v1/operator/users/"+me.ID+":erase", obj{}).problem(http.StatusConflict, "conflict")
	for _, o := range orders {
		ship := "/v1/shop-orders/" + o.ShopOrders[0].ID + ":ship"
		waittest.Until(t, func() bool { // the payment may still be being collected
			return seller.post(ship, obj{"carrier": "Correios"}).status == http.StatusOK
		}, "the order cannot be shipped")
	}
	erase(false, func() {})
	for _, o := range orders {
		require.Empty(t, recipient(o), "what is stored is still there, as in a backup, but cannot be read")
	}
	s.verify()
}

// keys returns how many keys there are of users' and guests' data.
func (s *souk) keys() (n int) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.access().Databases["keyring"])
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, conn.Close(s.t.Context())) }()
	err = conn.QueryRow(s.t.Context(), `
		select count(*) from data_key where owner like 'gst_%' or service in ('order', 'address', 'notification') and owner like 'usr_%'`).
		Scan(&n)
	require.NoError(s.t, err)
	return n
}

// nothingStored requires that the texts are in no file of a stopped souk: neither in the databases and their logs, nor
// in Redis and the event streams. The development sign-in provider, which is not souk's, may know its accounts. known
// is a text that is stored.
func (s *souk) nothingStored(texts canaries, known string) {
	s.t.Helper()
	found := false
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && entry.Name() == "oidc" {
			return filepath.SkipDir
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found = found || bytes.Contains(raw, []byte(known))
		for what, text := range texts {
			if bytes.Contains(raw, []byte(text)) {
				s.t.Errorf("%s is in %s", what, strings.TrimPrefix(path, s.dir))
			}
		}
		return nil
	})
	require.NoError(s.t, err)
	require.True(s.t, found, "the databases are elsewhere")
}
