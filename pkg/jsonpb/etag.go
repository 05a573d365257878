package jsonpb

import (
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"
)

// ETag returns the entity tag of an answer's JSON. It depends on the content only, so all gateways return the same. No
// secret depends on it: it is a fast hash with the length appended.
func ETag(body []byte) string {
	const hexadecimal = 16
	var room [40]byte
	tag := strconv.AppendUint(append(room[:0], '"'), xxhash.Sum64(body), hexadecimal)
	tag = strconv.AppendUint(append(tag, '-'), uint64(len(body)), hexadecimal)
	return string(append(tag, '"'))
}

// Matches reports whether m, as the gateway answers it, has one of the entity tags of an If-Match header. "*" matches
// everything. A weak tag matches, although RFC 9110, 13.1.1 requires strong comparison: in souk, the W/ of a compressed
// answer says only that the same content has other bytes.
func Matches(ifMatch string, m proto.Message) (bool, error) {
	body, err := Append(nil, m)
	if err != nil {
		return false, err
	}
	etag := ETag(body)
	for part := range strings.SplitSeq(ifMatch, ",") {
		if part = strings.TrimPrefix(strings.TrimSpace(part), "W/"); part == etag || part == "*" {
			return true, nil
		}
	}
	return false, nil
}
