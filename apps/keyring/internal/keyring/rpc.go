package keyring

import (
	"context"
	"maps"

	keyringv1 "souk/gen/go/souk/keyring/v1"
	"souk/pkg/clock"
	"souk/pkg/identity"
)

// RPC serves souk.keyring.v1.KeyringService. The contract says who may call which method.
type RPC struct {
	keyringv1.UnimplementedKeyringServiceServer
	store *Store
	clock clock.Clock
}

// NewRPC returns the server of a store.
func NewRPC(store *Store, c clock.Clock) *RPC { return &RPC{store: store, clock: c} }

// GetKeys returns keys of the calling service.
//
// Errors: unavailable.
func (r *RPC) GetKeys(ctx context.Context, req *keyringv1.GetKeysRequest) (*keyringv1.GetKeysResponse, error) {
	service, owners := identity.FromContext(ctx).ID, req.GetOwners()
	keys, err := r.store.Get(ctx, service, owners)
	if err != nil {
		return nil, err
	}
	if req.GetCreate() && len(keys) < len(owners) {
		var missing []string
		for _, owner := range owners {
			if _, ok := keys[owner]; !ok {
				missing = append(missing, owner)
			}
		}
		created, err := r.store.Create(ctx, service, missing, r.clock.Now())
		if err != nil {
			return nil, err
		}
		maps.Copy(keys, created)
	}
	res := &keyringv1.GetKeysResponse{}
	for _, owner := range owners {
		k := keys[owner]
		res.Keys = append(res.Keys, &keyringv1.DataKey{Owner: owner, Key: k.Key, Destroyed: k.Destroyed})
	}
	return res, nil
}

// MergeOwner says that a guest has become a user.
//
// Errors: unavailable.
func (r *RPC) MergeOwner(
	ctx context.Context, req *keyringv1.MergeOwnerRequest,
) (*keyringv1.MergeOwnerResponse, error) {
	return &keyringv1.MergeOwnerResponse{}, r.store.Merge(ctx, req.GetGuestId(), req.GetUserId())
}
