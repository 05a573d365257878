package shop

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/apikey"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/page"
)

// CreateAPIKey creates an API key. Its creator must be a member of the shop, because the key can do no more.
//
// Errors: invalid_argument, not_found, forbidden (the caller is no owner, or the shop is suspended), conflict (the shop
// has too many).
func (r *RPC) CreateAPIKey(ctx context.Context, req *shopv1.CreateAPIKeyRequest) (*shopv1.CreateAPIKeyResponse, error) {
	now := r.clock.Now()
	k := Key{
		ID: id.New(id.Key), Name: req.GetName(), Scopes: req.GetScopes(), Addresses: req.GetAllowedAddresses(),
		RatePerMinute: int(req.GetRatePerMinute()), CreatedBy: identity.FromContext(ctx).ID, CreatedAt: now,
	}
	if req.ExpiresAt != nil {
		k.ExpiresAt = req.GetExpiresAt().AsTime()
	}
	k, err := checkKey(k, now)
	if err != nil {
		return nil, err
	}
	secret := apikey.New()
	k.Prefix = apikey.Shown(secret)
	if k, err = r.store.CreateKey(ctx, req.GetShopId(), k, secret); err != nil {
		return nil, err
	}
	return &shopv1.CreateAPIKeyResponse{ApiKey: k.toProto(now, secret)}, nil
}

// ListAPIKeys lists a shop's API keys.
//
// Errors: not_found, forbidden, invalid_argument (a made-up page token).
func (r *RPC) ListAPIKeys(ctx context.Context, req *shopv1.ListAPIKeysRequest) (*shopv1.ListAPIKeysResponse, error) {
	sh, err := r.store.Permitted(ctx, req.GetShopId(), memberID(ctx))
	if err != nil {
		return nil, err
	}
	read := func(ctx context.Context, before moment, limit int) ([]Key, error) {
		return r.store.KeysOfShop(ctx, sh.ID, before, limit)
	}
	created := func(k Key) moment { return moment{k.CreatedAt, k.ID} }
	found, next, err := page.List(ctx, page.Of(req, "api-keys", sh.ID), newest(), read, created)
	if err != nil {
		return nil, err
	}
	res := &shopv1.ListAPIKeysResponse{NextPageToken: next}
	for _, k := range found {
		res.ApiKeys = append(res.ApiKeys, k.toProto(r.clock.Now(), ""))
	}
	return res, nil
}

// RotateAPIKey gives an API key a new secret.
//
// Errors: not_found, forbidden (the caller is no owner, or the shop is suspended).
func (r *RPC) RotateAPIKey(ctx context.Context, req *shopv1.RotateAPIKeyRequest) (*shopv1.RotateAPIKeyResponse, error) {
	now := r.clock.Now()
	var oldUntil time.Time
	if overlap := time.Duration(req.GetOverlapSeconds()) * time.Second; overlap > 0 {
		oldUntil = now.Add(overlap)
	}
	secret := apikey.New()
	caller := identity.FromContext(ctx).ID
	k, err := r.store.RotateKey(ctx, req.GetShopId(), caller, req.GetId(), secret, oldUntil)
	if err != nil {
		return nil, err
	}
	return &shopv1.RotateAPIKeyResponse{ApiKey: k.toProto(now, secret)}, nil
}

// DeleteAPIKey deletes an API key.
//
// Errors: not_found, forbidden.
func (r *RPC) DeleteAPIKey(ctx context.Context, req *shopv1.DeleteAPIKeyRequest) (*shopv1.DeleteAPIKeyResponse, error) {
	return &shopv1.DeleteAPIKeyResponse{}, r.store.DeleteKey(ctx, req.GetShopId(), memberID(ctx), req.GetId())
}

// FindAPIKey finds the API key of a secret, for the auth service.
//
// Errors: not_found (also if the key may not be used now).
func (r *RPC) FindAPIKey(ctx context.Context, req *shopv1.FindAPIKeyRequest) (*shopv1.FindAPIKeyResponse, error) {
	now := r.clock.Now()
	k, err := r.store.FindKey(ctx, req.GetHash(), now)
	if err != nil {
		return nil, err
	}
	r.uses.Add(k, now)
	return &shopv1.FindAPIKeyResponse{ApiKey: k.toProto(now, "")}, nil
}

// toProto returns the key with its secret, if that is to be shown.
func (k Key) toProto(now time.Time, secret string) *shopv1.APIKey {
	out := &shopv1.APIKey{
		Id:               k.ID,
		ShopId:           k.ShopID,
		Name:             k.Name,
		Prefix:           k.Prefix,
		Scopes:           k.Scopes,
		AllowedAddresses: k.Addresses,
		RatePerMinute: int32(
			k.RatePerMinute,
		),
		CreatedBy: k.CreatedBy,
		CreatedAt: timestamppb.New(k.CreatedAt), //nolint:gosec // by the contract
		Secret:    secret,
	}
	if !k.ExpiresAt.IsZero() {
		out.ExpiresAt = timestamppb.New(k.ExpiresAt)
	}
	if !k.LastUsedAt.IsZero() {
		out.LastUsedAt = timestamppb.New(k.LastUsedAt)
	}
	if k.OldUntil.After(now) {
		out.PreviousValidUntil = timestamppb.New(k.OldUntil)
	}
	return out
}
