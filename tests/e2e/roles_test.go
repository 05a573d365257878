package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/permission"
	"souk/pkg/waittest"
)

// roleSetting returns the setting with the permissions of a role.
func roleSetting(c *client, role string) settingJSON {
	c.s.t.Helper()
	var all struct{ Settings []settingJSON }
	c.get("/v1/operator/settings").want(http.StatusOK).into(&all)
	i := slices.IndexFunc(all.Settings, func(s settingJSON) bool { return s.Key == "access.role."+role })
	require.GreaterOrEqual(c.s.t, i, 0)
	return all.Settings[i]
}

// setRole tries to set the permissions of a role.
func setRole(c *client, role string, version int, names []string) *answer {
	c.s.t.Helper()
	return c.send(http.MethodPut, "/v1/operator/settings/access.role."+role,
		obj{"value": names, "expectedVersion": version})
}

// testRoles changes what a role may do, which takes effect within a second, without a restart.
func testRoles(t *testing.T, s *souk) {
	admin, operator := s.user(email("roles-admin"), "admin"), s.user(email("roles-operator"), "operator")
	auditor := s.user(email("roles-auditor"), "auditor")
	mayListUsers := func() bool { return auditor.get("/v1/operator/users").status == http.StatusOK }
	require.False(t, mayListUsers())

	now := roleSetting(admin, "auditor").Version
	more := append(permission.Default("auditor"), "user.read")
	setRole(operator, "auditor", now, more).problem(http.StatusForbidden, "forbidden")
	setRole(operator, "operator", 0, permission.Names()).problem(http.StatusForbidden, "forbidden")
	fields := setRole(
		admin,
		"auditor",
		now,
		append(more, "user.steal"),
	).problem(http.StatusBadRequest, "invalid_argument")
	require.Equal(t, []string{"value"}, fields)
	setRole(admin, "admin", 0, nil).problem(http.StatusNotFound, "not_found")

	setRole(admin, "auditor", now, more).want(http.StatusOK)
	within(t, mayListUsers, "the auditor may not list users")
	auditor.post("/v1/operator/settings/order.cash.guests:rollback", obj{"version": 0}).
		problem(http.StatusForbidden, "forbidden")
	admin.post("/v1/operator/settings/access.role.auditor:rollback", obj{"version": 0}).want(http.StatusOK)
	within(t, func() bool { return !mayListUsers() }, "the auditor still lists users")
}

// testMasking shows people's data to those who may see it, and to others masked.
func testMasking(t *testing.T, s *souk) {
	shop := handle("masked")
	seller := s.seller(shop)
	c := s.user(email("masked"), "customer")
	c.add(seller.sell(shop, "Atlas", "10.00", 5).Variants[0].ID, 1).want(http.StatusOK)
	o := c.checkout("tok_ok").order()
	recipient := func(c *client) string {
		var part struct{ Buyer struct{ Name, Email string } }
		c.get("/v1/shop-orders/" + o.ShopOrders[0].ID).want(http.StatusOK).into(&part)
		return part.Buyer.Name
	}
	for role, want := range map[string]string{
		"support": "A*** S***", "auditor": "A*** S***", "operator": "Ana Souza", "admin": "Ana Souza",
	} {
		require.Equal(t, want, recipient(s.user(email("masking"), role)), role)
	}
	require.Equal(t, "Ana Souza", recipient(seller), "the shop sends it there")
	support := s.user(email("masking"), "support")
	var own orderJSON
	c.get("/v1/orders/" + o.ID).want(http.StatusOK).into(&own)
	require.Equal(t, "Ana Souza", own.ShippingAddress["name"])
	var found struct{ Users []struct{ ID, Email string } }
	var me struct{ ID, Email string }
	c.get("/v1/me").want(http.StatusOK).into(&me)
	support.get("/v1/operator/users?query=" + me.Email).want(http.StatusOK).into(&found)
	require.Len(t, found.Users, 1)
	require.Equal(t, me.ID, found.Users[0].ID)
	require.Equal(t, me.Email[:1]+"***@example.com", found.Users[0].Email)
}

// testAPIKeys uses an API key as a shop's system does, rotates it and deletes it.
func testAPIKeys(t *testing.T, s *souk) {
	shop := handle("keys")
	owner := s.seller(shop)
	p := owner.sell(shop, "Keys", "10.00", 5)
	k := newKey(owner, shop, "product.read", "stock.write")
	system := &client{s: s, token: k.Secret}
	stock := "/v1/variants/" + p.Variants[0].ID + "/stock"
	system.send(http.MethodPut, stock, obj{"onHand": 9}).want(http.StatusOK)
	system.get("/v1/shops/" + shop + "/products").want(http.StatusOK)
	system.get("/v1/shops/"+shop+"/orders").problem(http.StatusForbidden, "forbidden")
	system.get("/v1/me").problem(http.StatusForbidden, "forbidden")
	waittest.Until(t, func() bool {
		var list struct{ APIKeys []keyJSON }
		owner.get("/v1/shops/" + shop + "/api-keys").want(http.StatusOK).into(&list)
		require.Empty(t, list.APIKeys[0].Secret)
		return list.APIKeys[0].LastUsedAt != nil
	}, "the key's use is not noted")

	var rotated keyJSON
	path := "/v1/shops/" + shop + "/api-keys/" + k.ID
	owner.post(path+":rotate", obj{"overlapSeconds": 3600}).want(http.StatusOK).into(&rotated)
	system.get("/v1/shops/" + shop + "/products").want(http.StatusOK)
	renewed := &client{s: s, token: rotated.Secret}
	renewed.get("/v1/shops/" + shop + "/products").want(http.StatusOK)
	owner.send(http.MethodDelete, path, nil).want(http.StatusOK)
	for _, c := range []*client{system, renewed} {
		within(t, func() bool {
			return c.get("/v1/shops/"+shop+"/products").status == http.StatusUnauthorized
		}, "a deleted key is still used")
	}
}

// testSecondOperator makes one permission need the approval of a second operator.
func testSecondOperator(t *testing.T, s *souk) {
	admin, first := s.user(email("second-admin"), "admin"), s.user(email("first"), "operator")
	second := s.user(email("second"), "operator")
	const setting = "/v1/operator/settings/access.second_operator"
	first.send(http.MethodPut, setting, obj{"value": []string{}, "expectedVersion": 0}).
		problem(http.StatusForbidden, "forbidden")
	admin.send(http.MethodPut, setting, obj{"value": []string{"category.write"}, "expectedVersion": 0}).
		want(http.StatusOK)
	name := handle("category")
	add := func(name string) *answer { return first.post("/v1/operator/categories", obj{"name": name}) }
	within(
		t,
		func() bool { return add(handle("probe")).status == http.StatusForbidden },
		"no second operator is needed",
	)
	add(name).problem(http.StatusForbidden, "approval_required")

	var list struct {
		Approvals []struct{ ID, Request, Status string }
	}
	second.get("/v1/operator/approvals?status=pending").want(http.StatusOK).into(&list)
	i := slices.IndexFunc(list.Approvals, func(a struct{ ID, Request, Status string }) bool {
		return strings.Contains(a.Request, name)
	})
	require.GreaterOrEqual(t, i, 0)
	approve := "/v1/operator/approvals/" + list.Approvals[i].ID + ":approve"
	first.post(approve, obj{}).problem(http.StatusForbidden, "forbidden")
	second.post(approve, obj{}).want(http.StatusOK)
	add(name+"-other").problem(http.StatusForbidden, "approval_required")
	add(name).want(http.StatusCreated)
	add(name).problem(http.StatusForbidden, "approval_required")
	admin.post(setting+":rollback", obj{"version": 0}).want(http.StatusOK)
	within(t, func() bool { return add(name+"-free").status == http.StatusCreated }, "a second operator is needed")
}
