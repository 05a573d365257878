// Package page holds what all lists have in common: the size of a page, and the token that marks
// where the next page begins.
//
// Lists are read by keyset. The token holds the sort keys of the last row, so that page 500 costs as
// much as page 1, and rows that are added or deleted meanwhile shift nothing. A token is opaque to
// clients and valid only for the query that it was issued for.
package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"

	"souk/pkg/errs"
)

const (
	// DefaultSize is the size of a page when the request gives none.
	DefaultSize = 20
	// MaxSize is the largest page. A request for more gets this size.
	MaxSize = 100

	sumLength = 9
	// maxToken is the longest token that is read, in bytes.
	maxToken = 4096
)

// Size returns the page size for a request: requested, within its bounds.
func Size(requested int32) int {
	switch {
	case requested <= 0:
		return DefaultSize
	case requested > MaxSize:
		return MaxSize
	default:
		return int(requested)
	}
}

// Encode returns the token for the page after cursor, the sort keys of the last row. The filter
// describes the list: everything that decides which rows it has, and in what order. A cursor that
// cannot be encoded as JSON gives an empty token.
func Encode(cursor any, filter ...string) string {
	body, err := json.Marshal(cursor)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(sum(body, filter), body...))
}

// Decode reads a token that Encode made for the same filter into cursor, a pointer. An empty token
// means the first page and leaves the cursor unchanged.
//
// Errors: invalid_argument (field pageToken).
func Decode(token string, cursor any, filter ...string) error {
	if token == "" {
		return nil
	}
	if len(token) > maxToken {
		return invalid()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sumLength {
		return invalid()
	}
	body := raw[sumLength:]
	if !bytes.Equal(raw[:sumLength], sum(body, filter)) {
		return invalid()
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if dec.Decode(cursor) != nil || dec.Decode(&struct{}{}) != io.EOF {
		return invalid()
	}
	return nil
}

func invalid() error {
	return errs.InvalidField("pageToken", "must be the nextPageToken of the same query, unchanged")
}

// sum is a checksum, not a signature: a cursor grants nothing, it only has to match its query.
func sum(body []byte, filter []string) []byte {
	h := sha256.New()
	for _, f := range filter {
		_ = binary.Write(h, binary.BigEndian, uint32(len(f))) //nolint:gosec // a filter is short; a hash never fails
		_, _ = io.WriteString(h, f)
	}
	_, _ = h.Write([]byte{0xff})
	_, _ = h.Write(body)
	return h.Sum(nil)[:sumLength]
}
