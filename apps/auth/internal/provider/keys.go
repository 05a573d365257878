package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"go.uber.org/zap"

	"souk/pkg/clock"
	"souk/pkg/errs"
)

const (
	// refreshEvery is the shortest time between two fetches of the keys, whatever tokens name.
	refreshEvery = 2 * time.Second
	// keysFresh is the age at which the keys are fetched stale, so that a withdrawn key is dropped.
	keysFresh = 15 * time.Minute
	// keysKept is how long keys remain valid while the provider does not answer.
	keysKept = 24 * time.Hour

	fetchTimeout = 5 * time.Second
	maxKeySet    = 1 << 20
)

// keySet holds the provider's signing keys. They are fetched when they are first needed, when they are no
// longer fresh, and when a token names an unknown key.
type keySet struct {
	url    string
	http   *http.Client
	clock  clock.Clock
	logger *zap.Logger

	asking chan struct{} // a lock, held during a fetch

	mu      sync.RWMutex
	keys    []jose.JSONWebKey
	fetched time.Time
	tried   time.Time
	failed  error // of the last attempt
}

func newKeySet(url string, client *http.Client, c clock.Clock, logger *zap.Logger) *keySet {
	return &keySet{url: url, http: client, clock: c, logger: logger, asking: make(chan struct{}, 1)}
}

// VerifySignature returns the payload if one of the provider's keys signed it.
//
// Errors: unavailable (the keys cannot be fetched); any other error means that the signature is invalid.
func (s *keySet) VerifySignature(ctx context.Context, jws *jose.JSONWebSignature) ([]byte, error) {
	keyID, alg := oidc.GetKeyIDAndAlg(jws)
	s.mu.RLock()
	keys, age := s.keys, s.clock.Now().Sub(s.fetched)
	s.mu.RUnlock()
	if len(keys) > 0 && age < keysFresh {
		payload, stale := verify(jws, keyID, alg, keys)
		if !stale {
			if payload == nil {
				return nil, oidc.ErrSignatureInvalid
			}
			return payload, nil
		}
	}
	keys, err := s.refresh(ctx)
	if err != nil {
		return nil, err
	}
	payload, stale := verify(jws, keyID, alg, keys)
	if payload != nil {
		return payload, nil
	}
	if stale {
		s.mu.RLock()
		defer s.mu.RUnlock()
		if s.failed != nil { // the provider may have the key
			return nil, s.failed
		}
	}
	return nil, oidc.ErrSignatureInvalid
}

// verify returns the payload, or nil; stale means that newer keys may give another result.
func verify(jws *jose.JSONWebSignature, keyID, alg string, keys []jose.JSONWebKey) (payload []byte, stale bool) {
	key, err := oidc.FindMatchingKey(keyID, oidc.KeyUseSignature, alg, keys...)
	if err != nil || key.Algorithm != "" && key.Algorithm != alg {
		return nil, true
	}
	payload, err = jws.Verify(&key)
	if err != nil {
		return nil, keyID == "" || key.KeyID != keyID
	}
	return payload, false
}

// refresh fetches the keys, unless that was done a moment ago, and returns the known keys.
func (s *keySet) refresh(ctx context.Context) ([]jose.JSONWebKey, error) {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return nil, errs.Wrap(ctx.Err(), errs.Timeout, "the sign-in provider did not answer in time")
	}
	now := s.clock.Now()
	s.mu.RLock()
	recent := !s.tried.IsZero() && now.Sub(s.tried) < refreshEvery
	s.mu.RUnlock()
	if !recent {
		// The fetch outlives its caller: other callers wait for it.
		fetchCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
		keys, err := s.fetch(fetchCtx)
		cancel()
		s.mu.Lock()
		s.tried, s.failed = now, nil
		if err == nil {
			s.keys, s.fetched = keys, now
		} else {
			s.failed = unavailable(err)
			s.logger.Warn("the sign-in provider's keys cannot be had", zap.Error(err))
		}
		s.mu.Unlock()
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.keys) > 0 && now.Sub(s.fetched) < keysKept {
		return s.keys, nil
	}
	if s.failed != nil {
		return nil, s.failed
	}
	return nil, nil
}

func (s *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d", s.url, res.StatusCode)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxKeySet)).Decode(&set); err != nil {
		return nil, fmt.Errorf("%s: %w", s.url, err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) == nil && k.IsPublic() { // a key of an unknown kind is not for us
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func unavailable(cause error) error {
	return errs.Wrap(cause, errs.Unavailable, "the sign-in provider does not answer, please try again").
		WithRetryAfter(refreshEvery)
}
