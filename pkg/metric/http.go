package metric

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxSeries is the largest number of (method, route, status) series that an HTTP caches.
const maxSeries = 10000

// HTTP holds the metrics of a server: http_request_total and http_request_duration_seconds by method,
// route and status, and http_request_size_bytes and http_response_size_bytes by method and route.
type HTTP struct {
	total        *prometheus.CounterVec
	duration     *prometheus.HistogramVec
	requestSize  *prometheus.HistogramVec
	responseSize *prometheus.HistogramVec

	series sync.Map // seriesKey -> *series: saves four label look-ups per request
	mu     sync.Mutex
	n      int
}

type seriesKey struct {
	method, route string
	status        int
}

type series struct {
	total                               prometheus.Counter
	duration, requestSize, responseSize prometheus.Observer
}

// NewHTTP registers the metrics with r.
func NewHTTP(r prometheus.Registerer) (*HTTP, error) {
	var h HTTP
	var err error
	if h.total, err = Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "http_request_total",
		Help: "HTTP requests that were answered.",
	}, []string{"method", "route", "status"})); err != nil {
		return nil, err
	}
	if h.duration, err = Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "http_request_duration_seconds",
		Help:    "Time from the request's headers to the answer's end.",
		Buckets: DurationBuckets(),
	},
		[]string{"method", "route", "status"})); err != nil {
		return nil, err
	}
	if h.requestSize, err = Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_size_bytes", Help: "Bytes of the request's body that were read.", Buckets: SizeBuckets()},
		[]string{"method", "route"})); err != nil {
		return nil, err
	}
	if h.responseSize, err = Register(r, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_response_size_bytes", Help: "Bytes of the answer's body.", Buckets: SizeBuckets()},
		[]string{"method", "route"})); err != nil {
		return nil, err
	}
	return &h, nil
}

// Request is what is measured of one request.
type Request struct {
	Method string
	// Route is a pattern such as "/v1/products/{id}", or empty if no route matched.
	Route    string
	Status   int
	Duration time.Duration
	// RequestBytes and ResponseBytes are the sizes of the bodies.
	RequestBytes, ResponseBytes int64
	// TraceID is the ID of a sampled trace, or empty.
	TraceID string
}

// Observe counts one request.
func (h *HTTP) Observe(r Request) {
	if r.Route == "" {
		r.Route = "unmatched"
	}
	s := h.get(seriesKey{method: Method(r.Method), route: r.Route, status: r.Status})
	s.total.Inc()
	Observe(s.duration, r.Duration, r.TraceID)
	s.requestSize.Observe(float64(r.RequestBytes))
	s.responseSize.Observe(float64(r.ResponseBytes))
}

func (h *HTTP) get(k seriesKey) *series {
	if s, ok := h.series.Load(k); ok {
		return s.(*series) //nolint:forcetypeassert // nothing else is stored
	}
	status := strconv.Itoa(k.status)
	s := &series{
		total:        h.total.WithLabelValues(k.method, k.route, status),
		duration:     h.duration.WithLabelValues(k.method, k.route, status),
		requestSize:  h.requestSize.WithLabelValues(k.method, k.route),
		responseSize: h.responseSize.WithLabelValues(k.method, k.route),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n < maxSeries {
		h.n++
		h.series.Store(k, s)
	}
	return s
}

// Middleware counts the requests that pass through it. After the response is written it calls route for the
// pattern that the request matched. If route is nil, it uses r.Pattern, which a net/http mux sets on the
// request that it serves.
func (h *HTTP) Middleware(route func(*http.Request) string) func(http.Handler) http.Handler {
	if route == nil {
		route = func(r *http.Request) string { return r.Pattern }
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := time.Now()
			rec := &recorder{ResponseWriter: w, status: http.StatusOK}
			var body *countingBody
			if r.Body != nil && r.Body != http.NoBody {
				body = &countingBody{ReadCloser: r.Body}
				r.Body = body
			}
			done := false
			defer func() {
				if !done && !rec.wrote {
					rec.status = http.StatusInternalServerError // the handler panicked
				}
				var read int64
				if body != nil {
					read = body.n
				}
				h.Observe(Request{
					Method: r.Method, Route: route(r), Status: rec.status, Duration: time.Since(start),
					RequestBytes: read, ResponseBytes: rec.bytes,
				})
			}()
			next.ServeHTTP(rec, r)
			done = true
		})
	}
}

// Method returns the method, or "other" for an unknown one, since the values of a label must be bounded.
func Method(m string) string {
	switch m {
	case http.MethodGet,
		http.MethodHead,
		http.MethodPost,
		http.MethodPut,
		http.MethodPatch,
		http.MethodDelete,
		http.MethodOptions:
		return m
	default:
		return "other"
	}
}

// recorder records the status and size of a response. Hijack and deadlines work through Unwrap.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	wrote  bool
}

func (r *recorder) WriteHeader(status int) {
	if !r.wrote && status >= http.StatusOK { // 1xx come before the response
		r.status, r.wrote = status, true
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.wrote = true
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// ReadFrom keeps sendfile working.
func (r *recorder) ReadFrom(src io.Reader) (int64, error) {
	r.wrote = true
	n, err := io.Copy(r.ResponseWriter, src)
	r.bytes += n
	return n, err
}

func (r *recorder) Flush() {
	r.wrote = true
	_ = http.NewResponseController(r.ResponseWriter).Flush() // a writer that cannot flush needs no flush
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

type countingBody struct {
	io.ReadCloser
	n int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}
