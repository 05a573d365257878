package middleware

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"souk/pkg/errs"
)

// problem is an error as RFC 9457 shows it.
type problem struct {
	Type    string         `json:"type"`
	Title   string         `json:"title"`
	Status  int            `json:"status"`
	Detail  string         `json:"detail"`
	Code    errs.Code      `json:"code"`
	TraceID string         `json:"traceId,omitempty"`
	Errors  []problemField `json:"errors,omitempty"`
}

type problemField struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// WriteProblem answers with err as application/problem+json.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	e := errs.From(err)
	status := e.Code.HTTPStatus()
	p := problem{
		Type:   "https://souk.dev/problems/" + string(e.Code),
		Title:  http.StatusText(status),
		Status: status,
		Detail: e.Message,
		Code:   e.Code,
	}
	if sc := trace.SpanContextFromContext(r.Context()); sc.HasTraceID() {
		p.TraceID = sc.TraceID().String()
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, problemField{Field: f.Path, Message: f.Message})
	}
	if x := From(r.Context()); x != nil {
		x.Code = string(e.Code)
	}
	h := w.Header()
	retry := e.RetryAfter
	if retry == 0 && status == http.StatusServiceUnavailable {
		retry = time.Second
	}
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Seconds()))))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="souk"`)
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Del("ETag")
	body, _ := json.Marshal(p) // strings and integers alone: cannot fail
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody to tell
}

// WriteStatus answers with an error of HTTP itself, for which souk has no code of its own.
func WriteStatus(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	if x := From(r.Context()); x != nil {
		x.Code = code
	}
	p := problem{Type: "https://souk.dev/problems/" + code, Title: http.StatusText(status), Status: status, Detail: detail, Code: errs.Code(code)}
	if sc := trace.SpanContextFromContext(r.Context()); sc.HasTraceID() {
		p.TraceID = sc.TraceID().String()
	}
	body, _ := json.Marshal(p) // strings and integers alone: cannot fail
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone: nobody to tell
}
