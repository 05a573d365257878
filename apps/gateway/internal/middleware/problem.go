package middleware

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
	"unicode"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	"souk/pkg/errs"
	"souk/pkg/jsonpb"
)

// problem is an error in the format of RFC 9457.
type problem struct {
	Type    string         `json:"type"`
	Title   string         `json:"title"`
	Status  int            `json:"status"`
	Detail  string         `json:"detail"`
	Code    errs.Code      `json:"code"`
	TraceID string         `json:"traceId,omitempty"`
	Errors  []problemField `json:"errors,omitempty"`
	// detail is shown as a member that is named after its type.
	detail proto.Message
}

type problemField struct {
	Field   string `json:"field"`
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"`
}

// WriteProblem answers with err as application/problem+json. A timeout is shown as unavailable: a client
// cannot distinguish a slow service from one that is down, and reacts the same way.
func WriteProblem(w http.ResponseWriter, r *http.Request, err error) {
	e := errs.From(err)
	if e.Code == errs.Timeout {
		shown := *e
		shown.Code = errs.Unavailable
		e = &shown
	}
	status := e.Code.HTTPStatus()
	p := problem{
		Type:   "https://souk.dev/problems/" + string(e.Code),
		Title:  http.StatusText(status),
		Status: status,
		Detail: e.Message,
		Code:   e.Code,
		detail: e.Detail,
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, problemField{Field: f.Path, Message: f.Message, Reason: f.Reason})
	}
	if x := exchangeOf(w, r); x != nil && e.Code == errs.VoucherInvalid {
		for _, f := range e.Fields {
			x.NoteVoucher(f.Reason)
		}
	}
	h := w.Header()
	retry := e.RetryAfter
	if retry == 0 && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) {
		retry = time.Second
	}
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(retry.Seconds()))))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", challenge(e.Code, exchangeOf(w, r)))
	}
	p.write(w, r)
}

// challenge returns what a client needs to be accepted. For a sign-in that is too long ago it has the form of RFC 9470.
func challenge(code errs.Code, x *Exchange) string {
	c := `Bearer realm="souk"`
	if code != errs.SignInAgain {
		return c
	}
	c += `, error="insufficient_user_authentication", error_description="a recent sign-in is needed"`
	if x != nil && x.RecentSeconds > 0 {
		c += fmt.Sprintf(`, max_age="%d"`, x.RecentSeconds)
	}
	return c
}

// WriteStatus answers with an HTTP error for which souk has no code.
func WriteStatus(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	problem{
		Type:   "https://souk.dev/problems/" + code,
		Title:  http.StatusText(status),
		Status: status,
		Detail: detail,
		Code:   errs.Code(code),
	}.write(w, r)
}

// write sends p instead of the handler's answer.
func (p problem) write(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	if x := exchangeOf(w, r); x != nil {
		x.Code, ctx = string(p.Code), x.context()
	}
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		p.TraceID = sc.TraceID().String()
	}
	body, _ := json.Marshal(p) // only strings and integers: cannot fail
	if p.detail != nil {
		if detail, err := jsonpb.Append(nil, p.detail); err == nil {
			name := []rune(p.detail.ProtoReflect().Descriptor().Name())
			name[0] = unicode.ToLower(name[0])
			body = fmt.Appendf(body[:len(body)-1], ",%q:%s}", string(name), detail)
		}
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Del("ETag")
	h.Del("Location")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // an error means that the client is gone
}
