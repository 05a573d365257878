// Package page holds what all lists have in common: the size of a page, and the token that marks
// where the next page begins.
//
// Lists are read by keyset. The token holds the sort keys of the last row, so that page 500 costs as
// much as page 1, and rows that are added or deleted meanwhile shift nothing. A token is opaque to
// clients and valid only for the query that it was issued for.
package page

import (
	"bytes"
	"context"
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

// Request asks for one page of a list.
type Request struct {
	Size  int
	Token string
	// Filter describes the list: everything that decides which rows it has, and in what order.
	Filter []string
}

// Of returns the request that a contract's message makes.
func Of(in interface {
	GetPageSize() int32
	GetPageToken() string
}, filter ...string) Request {
	return Request{Size: Size(in.GetPageSize()), Token: in.GetPageToken(), Filter: filter}
}

// List reads one page and returns its rows and the next page's token, which is empty on the last page. It calls read
// for the rows after a position, at most limit of them. First is the position of the first page, and position that of
// a row.
//
// Errors: invalid_argument (field pageToken), those of read.
func List[T, P any](
	ctx context.Context, r Request, first P, read func(ctx context.Context, after P, limit int) ([]T, error),
	position func(T) P,
) (rows []T, next string, err error) {
	if err := Decode(r.Token, &first, r.Filter...); err != nil {
		return nil, "", err
	}
	rows, err = read(ctx, first, r.Size+1) // one more shows whether there is a next page
	if err == nil && len(rows) > r.Size {
		rows = rows[:r.Size]
		next = Encode(position(rows[r.Size-1]), r.Filter...)
	}
	return rows, next, err
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
		return Invalid()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < sumLength {
		return Invalid()
	}
	body := raw[sumLength:]
	if !bytes.Equal(raw[:sumLength], sum(body, filter)) {
		return Invalid()
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if dec.Decode(cursor) != nil || dec.Decode(&struct{}{}) != io.EOF {
		return Invalid()
	}
	return nil
}

// Invalid is the error for a token that no page of the list had.
func Invalid() error {
	return errs.InvalidField("pageToken", "must be the nextPageToken of the same query, unchanged")
}

// sum is a checksum, not a signature: it binds a cursor to its query. The server of package rpc signs tokens, so that
// clients cannot make them up.
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
