package moduletest

import (
	"context"
	"crypto/sha256"
	"sync"

	"google.golang.org/grpc"

	keyringv1 "souk/gen/go/souk/keyring/v1"
)

// keyring is the keyring service of the processes of a test, unless the test fakes another one. Everybody has a key from
// the start.
type keyring struct {
	keyringv1.UnimplementedKeyringServiceServer
	mu        sync.Mutex
	destroyed map[string]bool
}

func newKeyring() *keyring { return &keyring{destroyed: map[string]bool{}} }

func (k *keyring) register(r grpc.ServiceRegistrar) { keyringv1.RegisterKeyringServiceServer(r, k) }

// GetKeys implements keyringv1.KeyringServiceServer.
func (k *keyring) GetKeys(_ context.Context, r *keyringv1.GetKeysRequest) (*keyringv1.GetKeysResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	res := &keyringv1.GetKeysResponse{}
	for _, owner := range r.GetOwners() {
		key := &keyringv1.DataKey{Owner: owner, Destroyed: k.destroyed[owner]}
		if !key.GetDestroyed() {
			sum := sha256.Sum256([]byte("key of " + owner))
			key.Key = sum[:]
		}
		res.Keys = append(res.Keys, key)
	}
	return res, nil
}

// MergeOwner implements keyringv1.KeyringServiceServer.
func (k *keyring) MergeOwner(
	context.Context, *keyringv1.MergeOwnerRequest,
) (*keyringv1.MergeOwnerResponse, error) {
	return &keyringv1.MergeOwnerResponse{}, nil
}

// DestroyKeys destroys the keys of a person, as an erasure does. Processes that have a key keep it for personal.KeyTTL.
func (s *Service) DestroyKeys(owner string) {
	s.keyring.mu.Lock()
	defer s.keyring.mu.Unlock()
	s.keyring.destroyed[owner] = true
}
