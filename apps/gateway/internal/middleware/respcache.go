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

	"souk/pkg/clock"
	"souk/pkg/identity"
	"souk/pkg/jsonpb"
)

// Tags returns the current versions of answers' sources.
type Tags interface {
	// Watch returns a function that returns a tag's version. It is called on every hit, so it must answer
	// from memory, which client-side caching keeps coherent.
	Watch(tag string) func(context.Context) (string, error)
}

// ResponseCache answers public GETs with the bytes of an earlier answer.
//
// An entry is keyed by path and query, holds only the answer to an anonymous caller, lives a few seconds at
// most, and is dropped as soon as the version of its tag changes. Signed-in callers get it, too, once they
// are authenticated: they may see whatever an anonymous caller may see.
//
// An answer that is out of date is sent only if the service is unavailable or takes longer than staleWait, and says so.
type ResponseCache struct {
	tags     Tags
	clock    clock.Clock
	maxBytes int
	metrics  *Metrics
	staleFor time.Duration // the greatest age of an answer that is sent instead of an error
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
	version     string                                // at the time of the answer
	encoded     map[string]*variant                   // the body compressed, for each encoding; nil: the body is too small
	made        time.Time
	expires     time.Time
}

// NewResponseCache returns a cache of at most maxBytes; 0 turns it off. While a service is unavailable, its answers of
// the last staleFor are sent.
func NewResponseCache(
	tags Tags, maxBytes int, staleFor time.Duration, c clock.Clock, m *Metrics,
) *ResponseCache {
	rc := &ResponseCache{
		tags:     tags,
		clock:    c,
		metrics:  m,
		maxBytes: maxBytes,
		staleFor: staleFor,
		maxEntry: 1 << 20,
		seed:     maphash.MakeSeed(),
	}
	for i := range rc.shards {
		rc.shards[i].entries = map[cacheKey]*cached{}
	}
	return rc
}

// cacheKey identifies an answer. It is two strings and not one, because a path may hold an escaped "?".
type cacheKey struct{ path, query string }

func keyOf(r *http.Request) cacheKey { return cacheKey{r.URL.Path, r.URL.RawQuery} }

func (rc *ResponseCache) shard(key cacheKey) *cacheShard {
	return &rc.shards[maphash.String(rc.seed, key.path)%uint64(len(rc.shards))]
}

// entry returns what is kept for r, or nil.
func (rc *ResponseCache) entry(r *http.Request) *cached {
	key := keyOf(r)
	s := rc.shard(key)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.entries[key]
}

// find returns the entry for r that is valid at the time now, or nil.
func (rc *ResponseCache) find(ctx context.Context, r *http.Request, now time.Time) *cached {
	e := rc.entry(r)
	if e == nil || now.After(e.expires) {
		return nil
	}
	if version, err := e.current(ctx); err != nil || version != e.version {
		return nil
	}
	return e
}

// staleWait is how long a service may take to answer if an answer that is out of date can be sent instead.
const staleWait = 2 * time.Second

// stale returns the entry for r that may be sent while its service is unavailable, or nil.
func (rc *ResponseCache) stale(r *http.Request) *cached {
	e := rc.entry(r)
	if e == nil || rc.clock.Now().Sub(e.made) > rc.staleFor {
		return nil
	}
	return e
}

// writeStale sends e instead of an error that the handler has written to the header.
func (rc *ResponseCache) writeStale(w http.ResponseWriter, r *http.Request, e *cached, control []string) {
	rc.metrics.stale.Inc()
	From(r.Context()).Code = ""
	h := w.Header()
	h.Del("Content-Length")
	h.Del("Retry-After")
	h.Set("Age", strconv.Itoa(int(rc.clock.Now().Sub(e.made).Seconds())))
	h.Set("Warning", `110 - "Response is Stale"`)
	e.write(w, r, control)
}

// countedByServer is the size up to which net/http sets Content-Length itself, because the answer fits into
// its buffer. Such answers leave it to net/http: it would be the ninth header field, and a map of nine is
// more than twice the size of a map of eight. Each answer makes two such maps, because net/http copies the
// header.
const countedByServer = 2 << 10

// variant is a compressed body. It is made when a client first accepts it.
type variant struct {
	once sync.Once
	body []byte
}

// writeEncoded sends e compressed, if the client accepts that.
func (e *cached) writeEncoded(w http.ResponseWriter, r *http.Request) (sent bool) {
	h := w.Header()
	encoding := encodingFor(r, encodingBrotli)
	if encoding == "" {
		return false
	}
	v := e.encoded[encoding]
	v.once.Do(func() { v.body = encode(e.body, encoding) })
	h.Set("Content-Encoding", encoding)
	h.Set("Content-Length", strconv.Itoa(len(v.body)))
	h.Set("ETag", weak(e.etag[0]))
	h["Content-Type"] = e.contentType
	_, _ = w.Write(v.body) // an error means that the client is gone
	return true
}

// write sends e.
func (e *cached) write(w http.ResponseWriter, r *http.Request, control []string) {
	h := w.Header()
	h["Etag"], h["Cache-Control"] = e.etag, control
	if exchangeOf(w, r).byOrigin {
		h.Add("Vary", "Origin")
	}
	if e.encoded != nil {
		h.Add("Vary", varyEncoding)
	}
	if match := r.Header["If-None-Match"]; len(match) > 0 && etagMatches(match[0], e.etag[0]) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if e.encoded != nil && e.writeEncoded(w, r) {
		return
	}
	h["Content-Type"] = e.contentType
	if len(e.body) > countedByServer {
		h["Content-Length"] = e.length
	}
	_, _ = w.Write(e.body) // an error means that the client is gone
}

// credentials reports whether a request holds a credential.
func credentials(r *http.Request) bool {
	return len(r.Header["Authorization"]) > 0 || len(r.Header["Cookie"]) > 0
}

// Lookup answers from the cache, and passes all other requests on. It stands before all expensive steps. A
// request with a credential passes, so that an invalid credential is refused; Public then answers it from the
// cache.
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

// Public sets the ETag and Cache-Control of a public GET's answer, answers If-None-Match, and caches the
// answer to an anonymous caller. It wraps routes whose contract allows caching; tag names the answer's
// source.
func (rc *ResponseCache) Public(
	w http.ResponseWriter, r *http.Request, seconds int32, tag string, next http.HandlerFunc,
) {
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
			// Before the handler runs: a write meanwhile makes the entry stale.
			version, versionErr = current(r.Context())
		}
	}
	rec := newRecorder(w)
	defer rec.release()
	stale := rc.stale(r)
	if stale != nil {
		ctx, cancel := context.WithTimeout(r.Context(), staleWait)
		defer cancel()
		next(rec, r.WithContext(ctx))
	} else {
		next(rec, r)
	}
	if rec.status == http.StatusServiceUnavailable && stale != nil {
		rc.writeStale(w, r, stale, control)
		return
	}
	if rec.status != http.StatusOK {
		rec.flush()
		return
	}
	h := w.Header()
	now := rc.clock.Now()
	e := &cached{
		body:        rec.body,
		contentType: h["Content-Type"],
		etag:        []string{jsonpb.ETag(rec.body)},
		control:     control,
		length: []string{
			strconv.Itoa(len(rec.body)),
		},
		route:   x.Route,
		method:  x.Method,
		current: current,
		version: version,
		made:    now,
		expires: now.Add(time.Duration(seconds) * time.Second),
	}
	if len(e.body) >= compressedSize {
		e.encoded = map[string]*variant{encodingBrotli: {}, encodingGzip: {}}
	}
	if anonymous && rc.maxBytes > 0 && versionErr == nil {
		e.body = bytes.Clone(rec.body)
		rc.put(keyOf(r), e)
	}
	h.Del("Content-Type")
	h.Del("Content-Length")
	e.write(w, r, control)
}

// recorder buffers a response until it is complete.
type recorder struct {
	w      http.ResponseWriter
	status int
	body   []byte
}

// maxRecorder is the capacity in bytes above which a recorder is left to the garbage collector.
const maxRecorder = 1 << 20

var recorders = sync.Pool{New: func() any { return new(recorder) }}

func newRecorder(w http.ResponseWriter) *recorder {
	rec := recorders.Get().(*recorder) //nolint:forcetypeassert // nothing else is in the pool
	rec.w, rec.status, rec.body = w, http.StatusOK, rec.body[:0]
	return rec
}

// release returns rec to the pool.
func (rec *recorder) release() {
	rec.w = nil
	if cap(rec.body) <= maxRecorder {
		recorders.Put(rec)
	}
}

// Header returns the header of the buffered response.
func (rec *recorder) Header() http.Header { return rec.w.Header() }

// WriteHeader records the status.
func (rec *recorder) WriteHeader(status int) { rec.status = status }

// Write appends to the body.
func (rec *recorder) Write(b []byte) (int, error) {
	rec.body = append(rec.body, b...)
	return len(b), nil
}

// flush sends the buffered response.
func (rec *recorder) flush() {
	rec.w.Header()["Content-Length"] = []string{strconv.Itoa(len(rec.body))}
	rec.w.WriteHeader(rec.status)
	_, _ = rec.w.Write(rec.body) // an error means that the client is gone
}

// put stores an entry. It drops other entries of the shard to make room.
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
	size := len(key.path) + len(key.query) + len(e.body) + 512
	if e.encoded != nil {
		size += len(e.body) // its variants take less
	}
	return size
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
