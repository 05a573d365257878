package user

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/personal"
)

// stored is a user as documents hold it: the fields of private are encrypted, and unset in User.
type stored struct {
	User
	Private []byte `json:"private,omitempty"`
	// EmailDigest and NameDigest find the user by the whole e-mail address or name, in any case.
	EmailDigest string `json:"emailDigest,omitempty"`
	NameDigest  string `json:"nameDigest,omitempty"`
}

// private is what a user's document says about the person.
type private struct {
	Email        string `json:"email,omitempty"`
	FormerEmail  string `json:"formerEmail,omitempty"`
	Name         string `json:"name,omitempty"`
	OwnName      string `json:"ownName,omitempty"`
	ProviderName string `json:"providerName,omitempty"`
	Phone        string `json:"phone,omitempty"`
}

func place(userID string) string { return "user/" + userID }

// encrypt returns a user as it is stored.
//
// Errors: unavailable.
func (s *Store) encrypt(ctx context.Context, u User) (stored, error) {
	p := private{u.Email, u.FormerEmail, u.Name, u.OwnName, u.ProviderName, u.Phone}
	u.Email, u.FormerEmail, u.Name, u.OwnName, u.ProviderName, u.Phone = "", "", "", "", "", ""
	out := stored{User: u}
	var err error
	if out.Private, err = s.cipher.EncryptJSON(ctx, u.ID, place(u.ID), p); err != nil {
		return stored{}, err
	}
	if out.EmailDigest, err = s.digest(ctx, byEmail, p.Email); err != nil {
		return stored{}, err
	}
	out.NameDigest, err = s.digest(ctx, byName, p.Name)
	return out, err
}

// decrypt returns a stored user.
//
// Errors: unavailable, internal (it was altered).
func (s *Store) decrypt(ctx context.Context, v stored) (User, error) {
	u := v.User
	if len(v.Private) == 0 {
		return u, nil // written before souk encrypted users
	}
	var p private
	if err := s.cipher.DecryptJSON(ctx, place(u.ID), v.Private, &p); err != nil {
		return User{}, err
	}
	u.Email, u.FormerEmail, u.Name, u.OwnName, u.ProviderName, u.Phone = p.Email, p.FormerEmail, p.Name, p.OwnName,
		p.ProviderName, p.Phone
	return u, nil
}

// decryptAll returns stored users.
//
// Errors: those of decrypt.
func (s *Store) decryptAll(ctx context.Context, docs []document.Doc[stored]) ([]User, error) {
	sealed := make([][]byte, len(docs))
	for i, d := range docs {
		sealed[i] = d.Value.Private
	}
	s.cipher.Prefetch(ctx, sealed...)
	out := make([]User, len(docs))
	for i, d := range docs {
		var err error
		if out[i], err = s.decrypt(ctx, d.Value); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// digest returns the digest of an e-mail address or a name, in any case; "" of none.
func (s *Store) digest(ctx context.Context, purpose, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	sum, err := s.cipher.Digest(ctx, purpose, strings.ToLower(strings.Join(strings.Fields(text), " ")))
	return base64.RawStdEncoding.EncodeToString(sum), err
}

// EncryptPlain encrypts users that souk has stored before it encrypted them, and returns how many.
//
// Errors: conflict, unavailable.
func (s *Store) EncryptPlain(ctx context.Context, _ time.Time) (n int, err error) {
	for _, index := range []string{plainEmail, plainName, plainPhone} {
		p, err := s.users.Find(ctx, document.Query{Index: index})
		if err != nil {
			return n, err
		}
		for _, d := range p.Docs {
			_, err := s.users.Update(ctx, d.Value.ID, func(v *stored) (_ []event.Event, err error) {
				if len(v.Private) == 0 {
					*v, err = s.encrypt(ctx, v.User)
				}
				return nil, err
			})
			if errors.Is(err, personal.ErrErased) { // a backup from before the erasure was restored
				err = s.users.Delete(ctx, d.Value.ID)
			}
			if err != nil && !errs.Is(err, errs.NotFound) { // it was erased meanwhile
				return n, err
			}
			n++
		}
	}
	return n, nil
}
