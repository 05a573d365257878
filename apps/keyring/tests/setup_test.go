package tests

import (
	"crypto/rand"
	"encoding/base64"
	"testing"

	"go.uber.org/goleak"

	"souk/apps/keyring"
	keyringv1 "souk/gen/go/souk/keyring/v1"
	"souk/pkg/moduletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is the keyring service.
type harness struct{ *moduletest.Service }

func setup(t *testing.T, key string, opts ...moduletest.Option) *harness {
	t.Helper()
	config := moduletest.Config(map[string]any{"key": key, "rewrap_every": "1s"})
	return &harness{moduletest.Start(t, keyring.Module, append([]moduletest.Option{config}, opts...)...)}
}

// randomKey returns a wrapping key.
func randomKey() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// keys returns keys of owners, as a service gets them.
func (h *harness) keys(t *testing.T, service string, create bool, owners ...string) ([]*keyringv1.DataKey, error) {
	t.Helper()
	ctx := t.Context()
	res, err := keyringv1.NewKeyringServiceClient(h.Client(service)).GetKeys(ctx,
		&keyringv1.GetKeysRequest{Owners: owners, Create: create})
	return res.GetKeys(), err
}
