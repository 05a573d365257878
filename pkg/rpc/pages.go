package rpc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"souk/pkg/page"
)

// Fields by which a contract pages through a list.
const (
	fieldPageToken     = "page_token"
	fieldNextPageToken = "next_page_token"
)

// signatureSize is the length in bytes of a page token's signature.
const signatureSize = 16

// pages signs the page tokens of a method's answers and checks those of its requests. A handler therefore reads no
// position that the service itself has not written, whatever a client sends.
type pages struct {
	method        string
	key           []byte
	token, answer protoreflect.FieldDescriptor
}

// pagesOf returns nil if the method does not page, or if there is no key.
func pagesOf(m Method, key []byte) *pages {
	token, answer := m.input.Fields().ByName(fieldPageToken), m.output.Fields().ByName(fieldNextPageToken)
	if token == nil || answer == nil || key == nil {
		return nil
	}
	return &pages{method: m.FullMethod, key: key, token: token, answer: answer}
}

// open removes the signature from the token of a request.
//
// Errors: invalid_argument (field pageToken).
func (p *pages) open(request proto.Message) error {
	if p == nil {
		return nil
	}
	m := request.ProtoReflect()
	signed := m.Get(p.token).String()
	if signed == "" {
		return nil
	}
	cut := len(signed) - base64.RawURLEncoding.EncodedLen(signatureSize)
	if cut <= 0 || !hmac.Equal([]byte(signed[cut:]), []byte(p.signature(signed[:cut]))) {
		return page.Invalid()
	}
	m.Set(p.token, protoreflect.ValueOfString(signed[:cut]))
	return nil
}

// seal returns the reply with its token signed. It does not change the handler's message, which may be shared.
func (p *pages) seal(reply proto.Message) proto.Message {
	if p == nil {
		return reply
	}
	token := reply.ProtoReflect().Get(p.answer).String()
	if token == "" {
		return reply
	}
	sealed := reply.ProtoReflect().New().Interface()
	share(sealed, reply)
	sealed.ProtoReflect().Set(p.answer, protoreflect.ValueOfString(token+p.signature(token)))
	return sealed
}

func (p *pages) signature(token string) string {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte(p.method + "\x00" + token))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:signatureSize])
}
