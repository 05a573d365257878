package oidcserver

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// state is the part of the provider that survives a restart.
type state struct {
	file string
	key  *signingKey

	mu   sync.Mutex
	kept kept
}

type kept struct {
	Port  int             `json:"port"`
	Users map[string]User `json:"users"` // by subject
}

func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	key, err := loadKey(filepath.Join(dir, "signing-key.pem"))
	if err != nil {
		return nil, err
	}
	s := &state{file: filepath.Join(dir, "state.json"), key: key}
	content, err := os.ReadFile(s.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("state: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(content, &s.kept); err != nil {
			return nil, fmt.Errorf("state in %s: %w", s.file, err)
		}
	}
	if s.kept.Users == nil {
		s.kept.Users = map[string]User{}
	}
	return s, nil
}

func (s *state) port() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept.Port
}

func (s *state) setPort(port int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept.Port == port {
		return nil
	}
	s.kept.Port = port
	return s.saveLocked()
}

// user returns the user with the e-mail address. It creates the user on first use, and adds the roles to theirs.
func (s *state) user(email, name string, roles []string) (User, error) {
	email, err := validEmail(email)
	if err != nil {
		return User{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, known := s.kept.Users[subject(email)]
	if !known {
		u = User{Email: email, Name: nameOf(email)}
	}
	changed := !known
	if name != "" && u.Name != name {
		u.Name, changed = name, true
	}
	u.Roles = slices.Clone(u.Roles)
	for _, r := range roles {
		if !slices.Contains(u.Roles, r) {
			u.Roles, changed = append(u.Roles, r), true
		}
	}
	if !changed {
		return u, nil
	}
	s.kept.Users[u.subject()] = u
	return u, s.saveLocked()
}

func (s *state) bySubject(sub string) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.kept.Users[sub]
	return u, ok
}

func (s *state) saveLocked() error {
	content, err := json.MarshalIndent(s.kept, "", "  ")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return writeFile(s.file, content)
}

// writeFile replaces a private file atomically.
func writeFile(file string, content []byte) error {
	temporary := file + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(temporary, file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// subject returns the same subject for an e-mail address in every data directory.
func subject(email string) string {
	sum := sha256.Sum256([]byte(email))
	return "dev-" + hex.EncodeToString(sum[:12])
}

func (u User) subject() string { return subject(u.Email) }

func (u User) claims() map[string]any {
	roles := u.Roles
	if roles == nil {
		roles = []string{}
	}
	return map[string]any{"email": u.Email, "email_verified": true, "name": u.Name, "roles": roles}
}

// nameOf derives a name from an e-mail address: "Ana Maria" from ana.maria@example.com.
func nameOf(email string) string {
	local, _, _ := strings.Cut(email, "@")
	words := strings.FieldsFunc(local, func(r rune) bool { return strings.ContainsRune("._-+", r) })
	for i, w := range words {
		words[i] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, " ")
}

// signingKey is the key that op signs with. Its public part is in JWKS.
type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

func (k *signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k *signingKey) Key() any                                    { return k.private }
func (k *signingKey) ID() string                                  { return k.id }

type publicKey struct{ *signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.private.PublicKey }

func loadKey(file string) (*signingKey, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return newKey(file)
	}
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, fmt.Errorf("signing key: %s is not PEM", file)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("signing key in %s: %w", file, err)
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("signing key: %s is not an RSA key", file)
	}
	return withID(private), nil
}

func newKey(file string) (*signingKey, error) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	if err := writeFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return nil, err
	}
	return withID(private), nil
}

// withID gives the key an ID derived from its modulus.
func withID(private *rsa.PrivateKey) *signingKey {
	sum := sha256.Sum256(private.N.Bytes())
	return &signingKey{id: hex.EncodeToString(sum[:8]), private: private}
}
