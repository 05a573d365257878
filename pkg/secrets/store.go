package secrets

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Store resolves the references of a process. It is safe for concurrent use.
type Store struct {
	environ []string
	log     atomic.Pointer[zap.Logger]

	mu      sync.Mutex
	vault   *vault            // nil until a reference leads to Vault
	sources map[string]source // by the reference, without the key
}

// NewStore returns a store. environ has the form of os.Environ.
func NewStore(environ []string) *Store {
	s := &Store{environ: environ, sources: map[string]source{}}
	s.LogTo(zap.NewNop())
	return s
}

// LogTo makes the store log to log. Before, it does not log: a process has its logger when its configuration is read.
func (s *Store) LogTo(log *zap.Logger) { s.log.Store(log) }

func (s *Store) logger() *zap.Logger { return s.log.Load() }

// Resolve returns a value that is read from where its reference leads. A value that is unset or plain is returned as it
// is. setting is the value's name for messages. The function config returns the configuration of Vault; it is called if
// the reference is the first one that leads there.
//
// Errors: the reference leads nowhere. They name what is missing, and never a secret.
func (s *Store) Resolve(setting string, v Value, config func() (VaultConfig, error)) (Value, error) {
	ref := v.Reference()
	if ref == "" {
		return v, nil
	}
	kind := kindOf(ref)
	at, key := strings.TrimPrefix(ref, kind), ""
	if kind == kindVault {
		var ok bool
		if at, key, ok = strings.Cut(at, "#"); !ok || at == "" || key == "" {
			return Value{}, errors.New("must be vault:PATH#KEY")
		}
	}
	if at == "" {
		return Value{}, fmt.Errorf("names nothing after %s", kind)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from, ok := s.sources[kind+at]
	if !ok {
		var err error
		if from, err = s.open(kind, at, config); err != nil {
			return Value{}, err
		}
		s.sources[kind+at] = from
	}
	now, ok := from.current()[key]
	if !ok {
		return Value{}, fmt.Errorf("Vault has no text %q at %s", key, at) //nolint:staticcheck // a name
	}
	if now == "" {
		return Value{}, errors.New("is empty")
	}
	return newValue(&value{text: ref, setting: setting, from: from, key: key}), nil
}

func (s *Store) open(kind, at string, config func() (VaultConfig, error)) (source, error) {
	switch kind {
	case kindFile:
		return openFile(at, s.logger)
	case kindEnv:
		for _, kv := range s.environ {
			if name, text, _ := strings.Cut(kv, "="); name == at {
				return fixed{text}, nil
			}
		}
		return nil, errors.New("the variable is not set")
	}
	if s.vault == nil {
		c, err := config()
		if err != nil {
			return nil, err
		}
		if s.vault, err = openVault(c, s.logger); err != nil {
			return nil, err
		}
	}
	return s.vault.open(at)
}

// closeTimeout bounds how long a store takes to give its leases back.
const closeTimeout = 3 * time.Second

// Close ends the leases that Vault gave. Values keep what they are.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vault != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		s.vault.close(ctx)
		s.vault = nil
	}
}

// fixed is a value that does not change.
type fixed struct{ text string }

func (f fixed) current() map[string]string { return map[string]string{"": f.text} }
func (fixed) warn(string, string, error)   {}
