package middleware

import (
	"bytes"
	"context"
	"hash/maphash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"souk/pkg/clock"
	"souk/pkg/identity"
)

// Tags tells the current version of what an answer was made from.
type Tags interface {
	// Watch returns what tells a tag's version. It is asked on every hit, so it must answer from memory: client-side caching
	// keeps it coherent.
	Watch(tag string) func(context.Context) (string, error)
}

// ResponseCache answers public GETs as the bytes they were answered with before.
//
// An entry is keyed by the path and the query, holds only what an anonymous caller gets, lives a few
// seconds at most, and is dropped as soon as the version of its tag moves on. Signed-in callers are
// answered from it too, once it is known who they are: what anybody may see, they may see.
type ResponseCache struct {
	tags     Tags
	clock    clock.Clock
	maxBytes int
	maxEntry int
	seed     maphash.Seed
	shards   [64]cacheShard
}

type cacheShard struct {
	mu      sync.RWMutex
	entries map[cacheKey]*cached
	bytes   int
}

type cached struct {
	body        []byte
	contentType []string
	etag        []string
	control     []string
	length      []string
	route       string
	method      string
	current     func(context.Context) (string, error) // the version of its tag
	version     string                                // the one that it was made with
	expires     time.Time
}

// NewResponseCache makes a cache of at most maxBytes; 0 turns it off.
func NewResponseCache(tags Tags, maxBytes int, c clock.Clock) *ResponseCache {
	rc := &ResponseCache{tags: tags, clock: c, maxBytes: maxBytes, maxEntry: 1 << 20, seed: maphash.MakeSeed()}
	for i := range rc.shards {
		rc.shards[i].entries = map[cacheKey]*cached{}
	}
	return rc
}

// cacheKey is what an answer depends on. Two strings, not one: a path may hold an escaped "?".
type cacheKey struct{ path, query string }

func keyOf(r *http.Request) cacheKey { return cacheKey{r.URL.Path, r.URL.RawQuery} }

func (rc *ResponseCache) shard(key cacheKey) *cacheShard {
	return &rc.shards[maphash.String(rc.seed, key.path)%uint64(len(rc.shards))]
}

// find returns what is in the cache for r, which came at the time now, and held then; nil when there is nothing.
func (rc *ResponseCache) find(ctx context.Context, r *http.Request, now time.Time) *cached {
	key := keyOf(r)
	s := rc.shard(key)
	s.mu.RLock()
	e := s.entries[key]
	s.mu.RUnlock()
	if e == nil || now.After(e.expires) {
		return nil
	}
	if version, err := e.current(ctx); err != nil || version != e.version {
		return nil
	}
	return e
}

// countedByServer is how many bytes net/http counts itself, since they fit into its buffer. Their Content-Length is left to it:
// it would be the ninth field of the header, and a map of nine is more than twice the size of one of eight, made
// twice for each answer, since net/http copies it.
const countedByServer = 2 << 10

// write answers with e.
func (e *cached) write(w http.ResponseWriter, r *http.Request, control []string) {
	h := w.Header()
	h["Etag"], h["Cache-Control"] = e.etag, control
	if match := r.Header["If-None-Match"]; len(match) > 0 && etagMatches(match[0], e.etag[0]) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Content-Type"] = e.contentType
	if len(e.body) > countedByServer {
		h["Content-Length"] = e.length
	}
	_, _ = w.Write(e.body) // the client is gone: nobody to tell
}

// credentials reports whether a request says who sends it.
func credentials(r *http.Request) bool {
	return len(r.Header["Authorization"]) > 0 || len(r.Header["Cookie"]) > 0
}

// Lookup answers what is in the cache and passes on what is not. It stands before all that costs.
// Who sends a credential passes, so that a wrong one is refused; Public answers from the cache then.
func (rc *ResponseCache) Lookup() Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rc.maxBytes == 0 || r.Method != http.MethodGet && r.Method != http.MethodHead || credentials(r) {
				next.ServeHTTP(w, r)
				return
			}
			x := exchangeOf(w, r)
			e := rc.find(x.ctx, r, x.start)
			if e == nil {
				next.ServeHTTP(w, r)
				return
			}
			x.Route, x.Method = e.route, e.method
			e.write(w, r, e.control)
		})
	}
}

var privately = []string{"private, no-cache"}

// Public gives a public GET's answer its ETag and Cache-Control, answers If-None-Match, and keeps what an
// anonymous caller got. It wraps a route whose contract allows it; tag names what the answer is made from.
func (rc *ResponseCache) Public(w http.ResponseWriter, r *http.Request, seconds int32, tag string, next func(http.ResponseWriter)) {
	x := From(r.Context())
	anonymous := x.Actor.Kind == identity.KindAnonymous
	control := privately
	if anonymous {
		control = []string{"public, max-age=" + strconv.Itoa(int(seconds))}
	}
	var current func(context.Context) (string, error)
	version, versionErr := "", error(nil)
	if rc.maxBytes > 0 {
		if credentials(r) {
			if e := rc.find(r.Context(), r, x.start); e != nil {
				e.write(w, r, control)
				return
			}
		}
		if anonymous {
			current = rc.tags.Watch(tag)
			version, versionErr = current(r.Context()) // before the answer is made: a write meanwhile outdates it
		}
	}
	rec := newRecorder(w)
	defer rec.release()
	next(rec)
	if rec.status != http.StatusOK {
		rec.flush()
		return
	}
	h := w.Header()
	e := &cached{
		body: rec.body, contentType: h["Content-Type"], etag: []string{etagOf(rec.body)}, control: control,
		length: []string{strconv.Itoa(len(rec.body))}, route: x.Route, method: x.Method, current: current, version: version,
		expires: rc.clock.Now().Add(time.Duration(seconds) * time.Second),
	}
	if anonymous && rc.maxBytes > 0 && versionErr == nil {
		kept := *e
		kept.body = bytes.Clone(rec.body)
		rc.put(keyOf(r), &kept)
	}
	h.Del("Content-Type")
	h.Del("Content-Length")
	e.write(w, r, control)
}

// recorder holds a response back until it is whole.
type recorder struct {
	w      http.ResponseWriter
	status int
	body   []byte
}

// maxRecorder is the size in bytes above which a recorder is left to the garbage collector.
const maxRecorder = 1 << 20

var recorders = sync.Pool{New: func() any { return new(recorder) }}

func newRecorder(w http.ResponseWriter) *recorder {
	rec := recorders.Get().(*recorder) //nolint:forcetypeassert // nothing else is in the pool
	rec.w, rec.status, rec.body = w, http.StatusOK, rec.body[:0]
	return rec
}

// release ends the use of rec.
func (rec *recorder) release() {
	rec.w = nil
	if cap(rec.body) <= maxRecorder {
		recorders.Put(rec)
	}
}

// Header returns the header of the response that is held back.
func (rec *recorder) Header() http.Header { return rec.w.Header() }

// WriteHeader notes the status.
func (rec *recorder) WriteHeader(status int) { rec.status = status }

// Write appends to the body.
func (rec *recorder) Write(b []byte) (int, error) {
	rec.body = append(rec.body, b...)
	return len(b), nil
}

// flush sends what was held back.
func (rec *recorder) flush() {
	rec.w.Header()["Content-Length"] = []string{strconv.Itoa(len(rec.body))}
	rec.w.WriteHeader(rec.status)
	_, _ = rec.w.Write(rec.body) // the client is gone: nobody to tell
}

// put keeps an answer, making room by dropping what else is in its shard.
func (rc *ResponseCache) put(key cacheKey, e *cached) {
	if len(e.body) > rc.maxEntry {
		return
	}
	now := rc.clock.Now()
	s := rc.shard(key)
	budget := rc.maxBytes / len(rc.shards)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.entries[key]; old != nil {
		s.drop(key, old)
	}
	size := entrySize(key, e)
	if s.bytes+size > budget {
		for k, v := range s.entries {
			if now.After(v.expires) {
				s.drop(k, v)
			}
		}
	}
	for k, v := range s.entries {
		if s.bytes+size <= budget {
			break
		}
		s.drop(k, v)
	}
	if s.bytes+size <= budget {
		s.entries[key] = e
		s.bytes += size
	}
}

func (s *cacheShard) drop(key cacheKey, e *cached) {
	delete(s.entries, key)
	s.bytes -= entrySize(key, e)
}

func entrySize(key cacheKey, e *cached) int {
	return len(key.path) + len(key.query) + len(e.body) + 512
}

// etagOf names a body by its content, so that every gateway gives it the same name. No secret depends on it: the hash
// is a fast one, with the length beside it.
func etagOf(body []byte) string {
	const hexadecimal = 16
	var room [40]byte
	tag := strconv.AppendUint(append(room[:0], '"'), xxhash.Sum64(body), hexadecimal)
	tag = strconv.AppendUint(append(tag, '-'), uint64(len(body)), hexadecimal)
	return string(append(tag, '"'))
}

// etagMatches compares an If-None-Match header with an entity tag (RFC 9110, 13.1.2: weak comparison).
func etagMatches(header, etag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == etag || part == "*" {
			return true
		}
	}
	return false
}
