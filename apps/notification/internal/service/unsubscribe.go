package service

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"strings"

	"souk/apps/notification/internal/domain"
	"souk/pkg/errs"
)

// UnsubscribePath is the path of the gateway's page that ends mails of a kind.
const UnsubscribePath = "/v1/unsubscribe"

// Links makes the links in mails that end mails of their kind. A link is the proof that its bearer got the mail. It
// holds no address, and is valid for ever.
type Links struct {
	signer    signer
	publicURL string
}

// NewLinks returns Links with a shared key; an empty publicURL: no links.
func NewLinks(keys Keys, publicURL string) *Links {
	return &Links{signer: signer{keys: keys, purpose: "unsubscribe"}, publicURL: strings.TrimRight(publicURL, "/")}
}

// link returns the link for an owner of preferences and a kind; "" if mails have no such link.
func (l *Links) link(ctx context.Context, owner string, kind domain.Kind) (string, error) {
	if l.publicURL == "" || kind.Rule().Required {
		return "", nil
	}
	claim := base64.RawURLEncoding.EncodeToString([]byte(owner + " " + string(kind)))
	sum, err := l.sign(ctx, claim)
	return l.publicURL + UnsubscribePath + "?token=" + claim + "." + sum, err
}

func (l *Links) sign(ctx context.Context, claim string) (string, error) {
	sum, err := l.signer.sign(ctx, claim)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// Parse returns the owner and the kind of a token.
//
// Errors: not_found.
func (l *Links) Parse(ctx context.Context, token string) (owner string, kind domain.Kind, err error) {
	claim, sum, _ := strings.Cut(token, ".")
	want, err := l.sign(ctx, claim)
	if err != nil {
		return "", "", err
	}
	raw, err := base64.RawURLEncoding.DecodeString(claim)
	if err != nil || !hmac.Equal([]byte(sum), []byte(want)) {
		return "", "", errs.New(errs.NotFound, "this link is not one of ours, or it is incomplete")
	}
	owner, name, _ := strings.Cut(string(raw), " ")
	return owner, domain.Kind(name), nil
}
