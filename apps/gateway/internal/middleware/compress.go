package middleware

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
)

const (
	// compressedSize is the size in bytes from which an answer is compressed: a smaller one fits into a packet anyway.
	compressedSize = 1400
	brotliLevel    = 4
	gzipLevel      = 5

	encodingBrotli = "br"
	encodingGzip   = "gzip"

	varyEncoding = "Accept-Encoding"
)

// encoder compresses into what Reset names.
type encoder interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// encoders are expensive to make: each holds its window and tables.
var encoders = map[string]*sync.Pool{
	encodingBrotli: {New: func() any { return brotli.NewWriterLevel(nil, brotliLevel) }},
	encodingGzip: {New: func() any {
		w, _ := gzip.NewWriterLevel(nil, gzipLevel) // the level is valid
		return w
	}},
}

// encode returns body in an encoding.
func encode(body []byte, encoding string) []byte {
	pool := encoders[encoding]
	e := pool.Get().(encoder) //nolint:forcetypeassert // nothing else is in the pools
	defer pool.Put(e)
	var b bytes.Buffer
	b.Grow(len(body) / 2)
	e.Reset(&b)
	_, _ = e.Write(body) // a buffer takes everything
	_ = e.Close()        // as above
	return b.Bytes()
}

// encodingFor returns the encoding in which the client gets a large answer: the one that it prefers, or else preferred.
// Brotli is smaller, gzip is faster. It returns "" if the client takes neither.
func encodingFor(r *http.Request, preferred string) string {
	found, best := "", 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, parameter, _ := strings.Cut(strings.TrimSpace(part), ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != encodingBrotli && name != encodingGzip {
			continue
		}
		if q := quality(parameter); q > best || q == best && q > 0 && name == preferred {
			found, best = name, q
		}
	}
	return found
}

// quality returns how much a client wants an encoding by a parameter such as "q=0.5"; 0 refuses it.
func quality(parameter string) float64 {
	value, ok := strings.CutPrefix(strings.ToLower(strings.ReplaceAll(parameter, " ", "")), "q=")
	if !ok {
		return 1
	}
	q, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 1
	}
	return q
}

// Compress compresses large answers of text for clients that accept that. The cache compresses its own.
//
// Only an answer that its handler writes at once, with its length, is compressed, as all answers of the contracts are.
// Others pass through: streams must not wait.
func Compress() Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := &compressor{ResponseWriter: w, encoding: encodingFor(r, encodingGzip)}
			next.ServeHTTP(c, r)
			c.begin()
		})
	}
}

// compressor holds the status back until it sees the body.
type compressor struct {
	http.ResponseWriter
	encoding string
	status   int
	begun    bool
}

// WriteHeader notes the status.
func (c *compressor) WriteHeader(status int) {
	if status < http.StatusOK { // it precedes the answer
		c.ResponseWriter.WriteHeader(status)
		return
	}
	if c.status == 0 {
		c.status = status
	}
}

// begin sends the header.
func (c *compressor) begin() {
	if c.begun {
		return
	}
	c.begun = true
	if c.status != 0 {
		c.ResponseWriter.WriteHeader(c.status)
	}
}

// Write sends b, compressed if it is the whole body and large enough.
func (c *compressor) Write(b []byte) (int, error) {
	if c.begun || !c.compressible(b) {
		c.begin()
		return c.ResponseWriter.Write(b)
	}
	h := c.Header()
	if !slices.Contains(h["Vary"], varyEncoding) {
		h.Add("Vary", varyEncoding)
	}
	if c.encoding == "" {
		c.begin()
		return c.ResponseWriter.Write(b)
	}
	encoded := encode(b, c.encoding)
	h.Set("Content-Encoding", c.encoding)
	h.Set("Content-Length", strconv.Itoa(len(encoded)))
	if etag := h.Get("ETag"); etag != "" {
		h.Set("ETag", weak(etag))
	}
	c.begin()
	if _, err := c.ResponseWriter.Write(encoded); err != nil {
		return 0, err
	}
	return len(b), nil
}

// compressible reports whether b is a whole answer that is worth it.
func (c *compressor) compressible(b []byte) bool {
	h := c.Header()
	return len(b) >= compressedSize && h.Get("Content-Encoding") == "" &&
		h.Get("Content-Length") == strconv.Itoa(len(b)) &&
		textType(h.Get("Content-Type"))
}

// FlushError sends what has been written. http.ResponseController calls it.
func (c *compressor) FlushError() error {
	c.begin()
	return http.NewResponseController(c.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (c *compressor) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// textType reports whether a content type is text, which becomes smaller.
func textType(contentType string) bool {
	name, _, _ := strings.Cut(contentType, ";")
	return strings.HasPrefix(name, "text/") || strings.HasSuffix(name, "json")
}

// weak returns an entity tag for a compressed answer: the same content in other bytes.
func weak(etag string) string {
	if strings.HasPrefix(etag, "W/") {
		return etag
	}
	return "W/" + etag
}
