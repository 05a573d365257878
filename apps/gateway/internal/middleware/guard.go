package middleware

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"souk/pkg/errs"
)

// Body reads the request's body up to limit bytes (413 beyond). It refuses a URL that is not UTF-8 text without U+0000
// (400).
func Body(limit int64) Middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if err := wellFormed(r); err != nil {
				WriteProblem(w, r, err)
				return
			}
			if r.Body == nil || r.Body == http.NoBody {
				next.ServeHTTP(w, r)
				return
			}
			if r.ContentLength > limit {
				discard(r.Body)
				WriteProblem(w, r, tooLarge(limit))
				return
			}
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
			if err != nil {
				var large *http.MaxBytesError
				if errors.As(err, &large) {
					discard(r.Body)
					WriteProblem(w, r, tooLarge(limit))
				} else {
					WriteProblem(w, r, errs.Wrap(err, errs.Invalid, "the request's body could not be read"))
				}
				return
			}
			r.Body = &ReadBody{Reader: bytes.NewReader(body), Bytes: body}
			next.ServeHTTP(w, r)
		})
	}
}

// discardMost is how many bytes of a body that is too large are still read.
const discardMost = 8 << 20

// discard reads the rest of a refused body. Many clients send the whole body before they read the answer, and
// lose the answer if the connection is closed meanwhile.
func discard(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, discardMost) // the request is refused whether or not this fails
}

// wellFormed refuses a URL that is not UTF-8 text without U+0000: no service could accept it.
func wellFormed(r *http.Request) error {
	if problem := notText(r.URL.Path); problem != "" {
		return errs.New(errs.Invalid, "the request's path %s", problem)
	}
	if strings.IndexByte(r.URL.RawQuery, '%') < 0 && utf8.ValidString(r.URL.RawQuery) {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return errs.Wrap(err, errs.Invalid, "the request's query is malformed")
	}
	for name, values := range query {
		if problem := notText(name); problem != "" {
			return errs.New(errs.Invalid, "the name of a query parameter %s", problem)
		}
		for _, v := range values {
			if problem := notText(v); problem != "" {
				return errs.InvalidField(name, "%s", problem)
			}
		}
	}
	return nil
}

// notText says what keeps s from being text that every service accepts. It returns "" if nothing does.
func notText(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "must be UTF-8"
	case strings.IndexByte(s, 0) >= 0:
		return "must not contain the character U+0000"
	default:
		return ""
	}
}

// ReadBody is a request body that is completely in memory.
type ReadBody struct {
	*bytes.Reader
	// Bytes is the whole body.
	Bytes []byte
}

// Close does nothing.
func (b *ReadBody) Close() error { return nil }

// BytesOf returns the whole body of a request that passed Body.
func BytesOf(r *http.Request) []byte {
	if b, ok := r.Body.(*ReadBody); ok {
		return b.Bytes
	}
	return nil
}

func tooLarge(limit int64) error {
	return errs.New(errs.TooLarge, "the request's body is larger than %d bytes", limit)
}

// SecurityHeaders sets headers that restrict what browsers do with the answers.
func SecurityHeaders(https bool) Middleware {
	nosniff, deny, csp, referrer := []string{
		"nosniff",
	}, []string{
		"DENY",
	}, []string{
		"default-src 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
	}, []string{
		"no-referrer",
	}
	hsts := []string{"max-age=31536000; includeSubDomains"}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["X-Content-Type-Options"] = nosniff
			h["X-Frame-Options"] = deny
			h["Content-Security-Policy"] = csp
			h["Referrer-Policy"] = referrer
			if https {
				h["Strict-Transport-Security"] = hsts
			}
			next.ServeHTTP(w, r)
		})
	}
}
