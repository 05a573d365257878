package auth_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/apikey"
	"souk/pkg/errs"
)

// keys fakes the shop service: it knows API keys by the hash of their secrets.
type keys struct {
	shopv1.UnimplementedShopServiceServer
	mu    sync.Mutex
	known map[string]*shopv1.APIKey
	calls int
}

func (k *keys) FindAPIKey(_ context.Context, in *shopv1.FindAPIKeyRequest) (*shopv1.FindAPIKeyResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if found := k.known[string(in.GetHash())]; found != nil {
		return &shopv1.FindAPIKeyResponse{ApiKey: found}, nil
	}
	return nil, errs.New(errs.NotFound, "there is no such API key")
}

func TestAPIKeysAreCallersOfTheirShop(t *testing.T) {
	t.Parallel()
	h := setup(t)
	secret := apikey.New()
	h.keys.known[string(apikey.Hash(secret))] = &shopv1.APIKey{
		Id: "key_1", ShopId: "shp_1", Scopes: []string{"order.read"}, AllowedAddresses: []string{"203.0.113.0/24"},
		RatePerMinute: 60,
	}
	who, err := h.bearer(secret)
	require.NoError(t, err)
	require.Equal(t, "key", who.GetKind())
	require.Equal(t, "key_1", who.GetSubjectId())
	require.Empty(t, who.GetRoles())
	require.Equal(t, "shp_1", who.GetShopId())
	require.Equal(t, []string{"order.read"}, who.GetPermissions())
	require.Equal(t, []string{"203.0.113.0/24"}, who.GetAllowedAddresses())
	require.EqualValues(t, 60, who.GetRatePerMinute())
	require.LessOrEqual(t, who.GetReusableUntil().AsTime().Sub(h.clock.Now()), time.Second, "it stops within a second")
	require.NotContains(t, h.Logs(), secret)
}

// A guess is refused by its checksum, and never by the database.
func TestGuessedAPIKeysCostNoLookUp(t *testing.T) {
	t.Parallel()
	h := setup(t)
	secret := apikey.New()
	for _, guess := range []string{apikey.Prefix, secret[:len(secret)-1] + "!", secret + "0", "souk_sk_guess"} {
		_, err := h.bearer(guess)
		requireCode(t, errs.Unauthenticated, err)
	}
	require.Zero(t, h.keys.calls)
	_, err := h.bearer(secret)
	requireCode(t, errs.Unauthenticated, err)
	require.Equal(t, 1, h.keys.calls, "an unknown key has the right checksum")
}
