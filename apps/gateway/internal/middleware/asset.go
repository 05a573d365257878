package middleware

import (
	"net/http"
	"strconv"
	"time"

	"souk/pkg/jsonpb"
)

// Asset answers GETs with a fixed text. It has an ETag, and is compressed once.
type Asset struct{ answer cached }

// NewAsset returns an Asset that clients may keep for some time.
func NewAsset(contentType string, keep time.Duration, text []byte) *Asset {
	a := &Asset{answer: cached{
		body:        text,
		contentType: []string{contentType},
		etag:        []string{jsonpb.ETag(text)},
		control:     []string{"public, max-age=" + strconv.Itoa(int(keep.Seconds()))},
		length:      []string{strconv.Itoa(len(text))},
	}}
	if len(text) >= compressedSize {
		a.answer.encoded = map[string]*variant{encodingBrotli: {}, encodingGzip: {}}
	}
	return a
}

// ServeHTTP answers with the text.
func (a *Asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.answer.write(w, r, a.answer.control)
}
