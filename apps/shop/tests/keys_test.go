package tests

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/apikey"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
	"souk/pkg/waittest"
)

func (h *harness) createKey(ctx context.Context, r *shopv1.CreateAPIKeyRequest) (*shopv1.APIKey, error) {
	if r.Name == "" {
		r.Name = "Warehouse"
	}
	res, err := h.shops.CreateAPIKey(ctx, r)
	return res.GetApiKey(), err
}

// find finds the key of a secret, as the auth service does.
func (h *harness) find(secret string) (*shopv1.APIKey, error) {
	res, err := shopv1.NewShopServiceClient(h.Client("auth")).FindAPIKey(h.t.Context(),
		&shopv1.FindAPIKeyRequest{Hash: apikey.Hash(secret)})
	return res.GetApiKey(), err
}

func (h *harness) keys(ctx context.Context, shopID string) []*shopv1.APIKey {
	h.t.Helper()
	res, err := h.shops.ListAPIKeys(ctx, &shopv1.ListAPIKeysRequest{ShopId: shopID})
	require.NoError(h.t, err)
	return res.GetApiKeys()
}

func TestOwnersCreateKeysWhoseSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, aliceID := h.user(1)
	sh := h.create(t, alice, "Alice")
	k, err := h.createKey(alice, &shopv1.CreateAPIKeyRequest{
		ShopId: sh.GetHandle(), Scopes: []string{"stock.write", "order.read", "order.read"}, RatePerMinute: 600,
		AllowedAddresses: []string{"203.0.113.77/24", "198.51.100.1", "2001:db8::1"},
	})
	require.NoError(t, err)
	secret := k.GetSecret()
	require.True(t, apikey.Valid(secret))
	require.Equal(t, apikey.Shown(secret), k.GetPrefix())
	require.Equal(t, []string{"order.read", "stock.write"}, k.GetScopes())
	require.Equal(t, []string{"198.51.100.1/32", "2001:db8::1/128", "203.0.113.0/24"}, k.GetAllowedAddresses())
	require.Equal(t, aliceID, k.GetCreatedBy())
	stored := moduletest.Value[string](h.Service, `select k::text from api_key k`)
	require.NotContains(t, stored, secret)
	require.NotContains(t, h.Logs(), secret)

	listed := h.keys(alice, sh.GetId())
	require.Len(t, listed, 1)
	require.Empty(t, listed[0].GetSecret())
	require.Nil(t, listed[0].LastUsedAt)
	for range 3 {
		found, err := h.find(secret)
		require.NoError(t, err)
		require.Equal(t, k.GetId(), found.GetId())
		require.Equal(t, sh.GetId(), found.GetShopId())
		require.EqualValues(t, 600, found.GetRatePerMinute())
		require.Empty(t, found.GetSecret())
	}
	waittest.Until(t, func() bool { return h.keys(alice, sh.GetId())[0].LastUsedAt != nil }, "the use is not noted")
	_, err = h.find(apikey.New())
	require.True(t, errs.Is(err, errs.NotFound), err)
}

func TestKeysThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	staff, staffID := h.user(2)
	stranger, _ := h.user(3)
	sh := h.create(t, alice, "Alice")
	h.join(alice, staff, staffID, sh.GetId(), "staff")
	ok := []string{"order.read"}
	for field, r := range map[string]*shopv1.CreateAPIKeyRequest{
		"name":             {Name: " ", Scopes: ok},
		"scopes":           {Scopes: []string{"order.read", permission.MemberManage}},
		"allowedAddresses": {Scopes: ok, AllowedAddresses: []string{"203.0.113.0/24", "everywhere"}},
		"expiresAt":        {Scopes: ok, ExpiresAt: timestamppb.New(h.clock.Now())},
	} {
		r.ShopId = sh.GetId()
		_, err := h.createKey(alice, r)
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", field, err)
		require.Equal(t, field, errs.From(err).Fields[0].Path)
	}
	for _, name := range []string{permission.KeyManage, permission.ShopWrite, permission.AccessManage, "x"} {
		_, err := h.createKey(alice, &shopv1.CreateAPIKeyRequest{ShopId: sh.GetId(), Scopes: []string{name}})
		require.True(t, errs.Is(err, errs.Invalid), "%s: %v", name, err)
	}
	k, err := h.createKey(alice, &shopv1.CreateAPIKeyRequest{ShopId: sh.GetId(), Scopes: ok})
	require.NoError(t, err)
	for code, ctx := range map[errs.Code]context.Context{errs.Forbidden: staff, errs.NotFound: stranger} {
		_, err := h.createKey(ctx, &shopv1.CreateAPIKeyRequest{ShopId: sh.GetId(), Scopes: ok})
		require.True(t, errs.Is(err, code), err)
		_, err = h.shops.ListAPIKeys(ctx, &shopv1.ListAPIKeysRequest{ShopId: sh.GetId()})
		require.True(t, errs.Is(err, code), err)
		_, err = h.shops.RotateAPIKey(ctx, &shopv1.RotateAPIKeyRequest{ShopId: sh.GetId(), Id: k.GetId()})
		require.True(t, errs.Is(err, code), err)
		_, err = h.shops.DeleteAPIKey(ctx, &shopv1.DeleteAPIKeyRequest{ShopId: sh.GetId(), Id: k.GetId()})
		require.True(t, errs.Is(err, code), err)
	}
	// An operator is no member, so a key of an operator could do nothing. But operators end keys that leaked.
	_, err = h.createKey(h.operator(), &shopv1.CreateAPIKeyRequest{ShopId: sh.GetId(), Scopes: ok})
	require.True(t, errs.Is(err, errs.NotFound), err)
	other := h.create(t, alice, "Other")
	_, err = h.shops.DeleteAPIKey(alice, &shopv1.DeleteAPIKeyRequest{ShopId: other.GetId(), Id: k.GetId()})
	require.True(t, errs.Is(err, errs.NotFound), "of another shop")
	require.Len(t, h.keys(h.operator(), sh.GetId()), 1)
	_, err = h.shops.DeleteAPIKey(h.operator(), &shopv1.DeleteAPIKeyRequest{ShopId: sh.GetId(), Id: k.GetId()})
	require.NoError(t, err)
	_, err = h.find(k.GetSecret())
	require.True(t, errs.Is(err, errs.NotFound), err)
}

func TestAShopHasABoundedNumberOfKeys(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"max_api_keys": 2}))
	alice, _ := h.user(1)
	sh := h.create(t, alice, "Alice")
	failures := moduletest.Concurrently(5, func(int) error {
		_, err := h.createKey(alice, &shopv1.CreateAPIKeyRequest{ShopId: sh.GetId(), Scopes: []string{"order.read"}})
		return err
	})
	refused := 0
	for _, err := range failures {
		if err != nil {
			require.True(t, errs.Is(err, errs.Conflict), err)
			refused++
		}
	}
	require.Equal(t, 3, refused)
}

func TestRotatedKeysOverlap(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, _ := h.user(1)
	sh := h.create(t, alice, "Alice")
	k, err := h.createKey(alice, &shopv1.CreateAPIKeyRequest{ShopId: sh.GetId(), Scopes: []string{"order.read"}})
	require.NoError(t, err)
	rotate := func(overlap int32) *shopv1.APIKey {
		res, err := h.shops.RotateAPIKey(alice,
			&shopv1.RotateAPIKeyRequest{ShopId: sh.GetId(), Id: k.GetId(), OverlapSeconds: overlap})
		require.NoError(t, err)
		return res.GetApiKey()
	}
	valid := func(secret string) bool {
		found, err := h.find(secret)
		require.True(t, err == nil || errs.Is(err, errs.NotFound), err)
		return found.GetId() == k.GetId()
	}
	second := rotate(60)
	require.Equal(t, h.clock.Now().Add(time.Minute), second.GetPreviousValidUntil().AsTime())
	require.True(t, valid(k.GetSecret()) && valid(second.GetSecret()))
	h.clock.Advance(time.Minute)
	require.False(t, valid(k.GetSecret()), "the overlap has ended")
	require.True(t, valid(second.GetSecret()))
	third := rotate(3600)
	fourth := rotate(3600)
	require.False(t, valid(second.GetSecret()), "only the last secret overlaps")
	require.True(t, valid(third.GetSecret()) && valid(fourth.GetSecret()))
	fifth := rotate(0)
	require.False(t, valid(third.GetSecret()) || valid(fourth.GetSecret()))
	require.True(t, valid(fifth.GetSecret()))
	require.Nil(t, fifth.PreviousValidUntil)
}

// A key ends at its time, and can do no more than its creator in the shop.
func TestKeysEndAndFollowTheirCreator(t *testing.T) {
	t.Parallel()
	h := setup(t)
	alice, aliceID := h.user(1)
	bob, bobID := h.user(2)
	sh := h.create(t, alice, "Alice")
	h.join(alice, bob, bobID, sh.GetId(), "owner")
	scopes := []string{"order.read", "stock.write"}
	short, err := h.createKey(alice, &shopv1.CreateAPIKeyRequest{
		ShopId: sh.GetId(), Scopes: scopes, ExpiresAt: timestamppb.New(h.clock.Now().Add(time.Minute)),
	})
	require.NoError(t, err)
	k, err := h.createKey(alice, &shopv1.CreateAPIKeyRequest{ShopId: sh.GetId(), Scopes: scopes})
	require.NoError(t, err)
	may := func(secret string) []string {
		found, err := h.find(secret)
		require.True(t, err == nil || errs.Is(err, errs.NotFound), err)
		return found.GetScopes()
	}
	require.Equal(t, scopes, may(short.GetSecret()))
	h.clock.Advance(time.Minute)
	require.Empty(t, may(short.GetSecret()), "expired")

	demote := func(names ...string) {
		_, err := h.shops.AddMember(bob,
			&shopv1.AddMemberRequest{ShopId: sh.GetId(), UserId: aliceID, Role: "staff", Permissions: names})
		require.NoError(t, err)
	}
	demote("order.read", "product.write")
	require.Equal(t, []string{"order.read"}, may(k.GetSecret()))
	demote("product.write")
	require.Empty(t, may(k.GetSecret()))
	_, err = h.shops.RemoveMember(alice, &shopv1.RemoveMemberRequest{ShopId: sh.GetId(), UserId: aliceID})
	require.NoError(t, err)
	require.Empty(t, may(k.GetSecret()))
	res, err := h.shops.RotateAPIKey(bob, &shopv1.RotateAPIKeyRequest{ShopId: sh.GetId(), Id: k.GetId()})
	require.NoError(t, err)
	require.Equal(t, bobID, res.GetApiKey().GetCreatedBy(), "another owner takes it over")
	require.Equal(t, scopes, may(res.GetApiKey().GetSecret()))
}
