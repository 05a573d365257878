package secrets_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/secrets"
	"souk/pkg/waittest"
)

// fakeVault answers the part of Vault's HTTP API that the package uses, as its documentation describes it: KV version
// 2, dynamic credentials with leases, their renewal and revocation, and sign-in of service accounts.
type fakeVault struct {
	*httptest.Server

	mu       sync.Mutex
	tokens   map[string]time.Time // valid ones, and their end
	kv       map[string]map[string]string
	ttl      time.Duration // of leases and of tokens that sign-in gives
	renewals int           // that each lease may have
	made     int
	leases   map[string]int // renewals of each valid lease
	down     bool
}

func newVault(t *testing.T) *fakeVault {
	t.Helper()
	f := &fakeVault{
		tokens: map[string]time.Time{"root": time.Now().Add(time.Hour)}, kv: map[string]map[string]string{},
		ttl: time.Hour, leases: map[string]int{},
	}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

// change changes the server's state.
func (f *fakeVault) change(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeVault) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	answer := func(status int, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}
	refuse := func(status int, why string) { answer(status, map[string]any{"errors": []string{why}}) }
	var in map[string]any
	_ = json.NewDecoder(r.Body).Decode(&in)
	seconds := f.ttl.Seconds()
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	if f.down {
		refuse(http.StatusBadRequest, "sealed")
		return
	}
	if path == "auth/kubernetes/login" {
		if in["role"] != "order" || in["jwt"] != "service account" {
			refuse(http.StatusForbidden, "permission denied")
			return
		}
		f.made++
		token := fmt.Sprintf("token-%d", f.made)
		f.tokens[token] = time.Now().Add(f.ttl)
		answer(http.StatusOK, map[string]any{"auth": map[string]any{
			"client_token": token, "lease_duration": seconds, "renewable": true,
		}})
		return
	}
	token := r.Header.Get("X-Vault-Token")
	if end, ok := f.tokens[token]; !ok || time.Now().After(end) {
		refuse(http.StatusForbidden, "permission denied")
		return
	}
	switch {
	case strings.HasPrefix(path, "secret/data/"):
		data, ok := f.kv[path]
		if !ok {
			refuse(http.StatusNotFound, "")
			return
		}
		answer(
			http.StatusOK,
			map[string]any{"data": map[string]any{"data": data, "metadata": map[string]any{"version": 1}}},
		)
	case path == "database/creds/order":
		f.made++
		lease := fmt.Sprintf("database/creds/order/%d", f.made)
		f.leases[lease] = 0
		answer(http.StatusOK, map[string]any{
			"lease_id":       lease,
			"lease_duration": seconds,
			"renewable":      true,
			"data": map[string]any{
				"username": fmt.Sprintf("v-order-%d", f.made),
				"password": fmt.Sprintf("p-%d", f.made),
			},
		})
	case path == "sys/leases/renew":
		lease, _ := in["lease_id"].(string)
		if n, ok := f.leases[lease]; !ok || n >= f.renewals {
			refuse(http.StatusBadRequest, "lease is not renewable")
			return
		}
		f.leases[lease]++
		answer(http.StatusOK, map[string]any{"lease_id": lease, "lease_duration": seconds, "renewable": true})
	case path == "sys/leases/revoke":
		lease, _ := in["lease_id"].(string)
		delete(f.leases, lease)
		w.WriteHeader(http.StatusNoContent)
	case path == "auth/token/renew-self":
		refuse(http.StatusBadRequest, "token cannot be renewed any further")
	case path == "auth/token/revoke-self":
		delete(f.tokens, token)
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(http.StatusNotFound, "no handler for "+path)
	}
}

func (f *fakeVault) validLeases() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.leases)
}

// config signs in with a token in a file.
func (f *fakeVault) config(t *testing.T) secrets.VaultConfig {
	t.Helper()
	c := secrets.DefaultVault()
	c.Addr, c.Refresh = f.URL, time.Second
	c.TokenFile = filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(c.TokenFile, []byte("root\n"), 0o600))
	require.NoError(t, c.Validate())
	return c
}

// storeOf returns a store for a configuration, and what it logs.
func storeOf(t *testing.T) (*secrets.Store, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s := secrets.NewStore(nil)
	s.LogTo(zap.New(core))
	t.Cleanup(s.Close)
	return s, logs
}

func resolve(t *testing.T, s *secrets.Store, c secrets.VaultConfig, text string) secrets.Value {
	t.Helper()
	v, err := s.Resolve("x.y", reference(t, text), func() (secrets.VaultConfig, error) { return c, nil })
	require.NoError(t, err)
	return v
}

func TestKeysOfVaultAreReadAgain(t *testing.T) {
	t.Parallel()
	f := newVault(t)
	f.kv["secret/data/souk/order"] = map[string]string{"identity_key": "one", "other": "o"}
	s, logs := storeOf(t)
	c := f.config(t)
	v := resolve(t, s, c, "vault:secret/data/souk/order#identity_key")
	require.Equal(t, "one", v.Get())
	f.change(func() { f.kv["secret/data/souk/order"] = map[string]string{"identity_key": "two"} })
	waittest.Until(t, func() bool { return v.Get() == "two" }, "the key is not read again")

	f.change(func() { f.down = true })
	waittest.Until(t, func() bool { return logs.FilterMessageSnippet("the last values stay").Len() > 0 }, "no warning")
	require.Equal(t, "two", v.Get())
	f.change(func() { f.down, f.kv["secret/data/souk/order"] = false, map[string]string{"identity_key": "three"} })
	waittest.Until(t, func() bool { return v.Get() == "three" }, "the key is not read after the outage")

	for text, want := range map[string]string{
		"vault:secret/data/souk/order#none": `has no text "none"`,
		"vault:secret/data/souk/none#k":     "has nothing there",
		"vault:elsewhere/x#k":               "has nothing there",
	} {
		_, err := s.Resolve("x.y", reference(t, text), nil)
		require.ErrorContains(t, err, want)
	}
}

func TestLeaseIsRenewedAndThenReplacedBeforeItEnds(t *testing.T) {
	t.Parallel()
	f := newVault(t)
	f.ttl, f.renewals = 3*time.Second, 1
	s, _ := storeOf(t)
	c := f.config(t)
	user := resolve(t, s, c, "vault:database/creds/order#username")
	password := resolve(t, s, c, "vault:database/creds/order#password")
	first := secrets.Read(user, password)
	require.Equal(t, []string{"v-order-1", "p-1"}, first)
	waittest.Until(t, func() bool {
		now := secrets.Read(user, password)
		require.Equal(t, strings.TrimPrefix(now[0], "v-order-"), strings.TrimPrefix(now[1], "p-"), "of two leases")
		return now[0] != first[0]
	}, "the credentials are not replaced")
	f.change(func() { require.Equal(t, 1, f.leases["database/creds/order/1"], "the lease was not renewed") })
	s.Close()
	require.Equal(t, "p-", password.Get()[:2], "values stay")
	require.Less(t, f.validLeases(), f.made, "the last lease is not given back")
}

func TestLeasesAreReplacedWithTheirToken(t *testing.T) {
	t.Parallel()
	f := newVault(t)
	s, _ := storeOf(t)
	c := f.config(t)
	user := resolve(t, s, c, "vault:database/creds/order#username")
	f.change(func() { f.tokens["next"] = time.Now().Add(time.Hour) })
	replace(t, c.TokenFile, "next")
	waittest.Until(t, func() bool { return user.Get() == "v-order-2" }, "the lease ends with the former token")
}

func TestServiceAccountSignsInAgainBeforeItsTokenEnds(t *testing.T) {
	t.Parallel()
	f := newVault(t)
	f.ttl = 3 * time.Second
	f.kv["secret/data/x"] = map[string]string{"k": "one"}
	s, _ := storeOf(t)
	c := f.config(t)
	c.TokenFile, c.Role, c.JWTFile = "", "order", filepath.Join(t.TempDir(), "jwt")
	require.NoError(t, os.WriteFile(c.JWTFile, []byte("service account"), 0o600))
	v := resolve(t, s, c, "vault:secret/data/x#k")
	waittest.Until(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.made >= 2
	}, "it does not sign in again")
	f.change(func() { f.kv["secret/data/x"] = map[string]string{"k": "two"} })
	waittest.Until(t, func() bool { return v.Get() == "two" }, "the second token is not used")
	s.Close()
	f.change(func() {
		require.NotContains(t, f.tokens, fmt.Sprintf("token-%d", f.made), "the token is not given back")
	})

	s, _ = storeOf(t)
	c.Role = "other"
	_, err := s.Resolve("x.y", reference(t, "vault:secret/data/x#k"),
		func() (secrets.VaultConfig, error) { return c, nil })
	require.ErrorContains(t, err, "sign in with vault.role: Vault answers 403: permission denied")
}

func TestVaultConfigRejectsInvalidValues(t *testing.T) {
	t.Parallel()
	for path, change := range map[string]func(*secrets.VaultConfig){
		"addr":       func(c *secrets.VaultConfig) { c.Addr = "vault:8200" },
		"token_file": func(c *secrets.VaultConfig) { c.Addr = "https://vault:8200" },
		"refresh":    func(c *secrets.VaultConfig) { c.Refresh = 0 },
		"timeout":    func(c *secrets.VaultConfig) { c.Timeout = 0 },
	} {
		c := secrets.DefaultVault()
		require.NoError(t, c.Validate())
		change(&c)
		require.ErrorContains(t, c.Validate(), path)
	}
}
