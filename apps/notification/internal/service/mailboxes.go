package service

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"
	"sync"

	"souk/apps/notification/internal/domain"
	"souk/pkg/id"
)

// Keys keeps keys that all processes share.
type Keys interface {
	// Key returns the key for a purpose. Fresh becomes the key if the purpose has no key.
	Key(ctx context.Context, purpose string, fresh []byte) ([]byte, error)
}

// signer signs with a key that all processes share.
type signer struct {
	keys    Keys
	purpose string

	mu  sync.Mutex
	key []byte // nil until it is needed
}

func (s *signer) sign(ctx context.Context, text string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key == nil {
		fresh := make([]byte, sha256.Size)
		_, _ = rand.Read(fresh) // it never fails
		key, err := s.keys.Key(ctx, s.purpose, fresh)
		if err != nil {
			return nil, err
		}
		s.key = key
	}
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(text))
	return mac.Sum(nil), nil
}

// Mailboxes names mailboxes on the suppression list. A name is a keyed digest, so that a reader of the list cannot try
// addresses.
type Mailboxes struct{ signer signer }

// NewMailboxes returns Mailboxes with a shared key.
func NewMailboxes(keys Keys) *Mailboxes {
	return &Mailboxes{signer{keys: keys, purpose: "suppression"}}
}

// Name returns the name of a mailbox. Unlike mailbox.Digest it makes one only of spellings that differ in case: a
// stranger who types "ana+x@example.com", which does not exist, must not suppress "ana@example.com".
func (m *Mailboxes) Name(ctx context.Context, address string) ([]byte, error) {
	return m.signer.sign(ctx, strings.ToLower(address))
}

// bounced suppresses the mailbox of a mail that it refused.
func (s *Service) bounced(ctx context.Context, msg domain.Message, reason string) error {
	now := s.Clock.Now()
	_, err := s.Store.Suppress(ctx, msg.Mailbox, domain.Suppression{
		ID: id.New(id.Suppression), Source: domain.Bounce, Reason: reason, CreatedAt: now,
		ExpiresAt: now.Add(domain.SuppressFor),
	})
	return err
}
