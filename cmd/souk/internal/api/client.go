// Package api is a client of souk's REST API for the commands.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"souk/pkg/errs"
	"souk/pkg/retry"
)

// Client calls the API of one souk with one token.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// New returns a client of the API at base, e.g. "http://127.0.0.1:8080". An empty token sends no credentials.
func New(base, token string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Timeout: time.Minute}}
}

// Environment returns what the souk says it is for: production, staging or development. "": it does not say so.
func (c *Client) Environment(ctx context.Context) (string, error) {
	var live structpb.Struct
	if err := c.Call(ctx, http.MethodGet, "/health/live", nil, &live); err != nil {
		return "", err
	}
	return live.GetFields()["environment"].GetStringValue(), nil
}

// problem is the body of an application/problem+json response.
type problem struct {
	Detail string    `json:"detail"`
	Code   errs.Code `json:"code"`
	Errors []struct {
		Field   string `json:"field"`
		Message string `json:"message"`
	} `json:"errors"`
}

// Call sends in and decodes the response into out. A nil in sends no body; a nil out drops the response. A refusal is
// an *errs.Error with the API's code. Call retries passing failures (429, 502 to 504, no connection) up to seven
// times, so use it only for requests that can be repeated.
func (c *Client) Call(ctx context.Context, method, path string, in, out proto.Message) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = protojson.Marshal(in); err != nil {
			return errs.Wrap(err, errs.Invalid, "the request can't be written as JSON: a text is not valid UTF-8")
		}
	}
	policy := retry.Policy{Attempts: 8, Base: 100 * time.Millisecond, Max: 3 * time.Second}
	passing := func(err error) bool {
		switch errs.CodeOf(err) {
		case errs.Unavailable, errs.RateLimited, errs.Overloaded, errs.Timeout:
			return ctx.Err() == nil
		}
		return false
	}
	return retry.Do(ctx, policy, passing,
		func(ctx context.Context) error { return c.once(ctx, method, path, body, out) })
}

func (c *Client) once(ctx context.Context, method, path string, body []byte, out proto.Message) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) && ctx.Err() == nil {
			return errs.Wrap(err, errs.Unavailable, "souk can't be reached at %s: is it running? (%v)", c.base, u.Err)
		}
		return err
	}
	defer func() { _ = res.Body.Close() }() // the body is only read
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<20))
	if err != nil {
		return errs.Wrap(err, errs.Unavailable, "the answer broke off")
	}
	if res.StatusCode >= http.StatusBadRequest {
		return refusal(res, answer)
	}
	if out == nil {
		return nil
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the answer of %s is not what was expected: is this souk? %w", c.base, err)
	}
	return nil
}

func refusal(res *http.Response, answer []byte) error {
	var p problem
	if err := json.Unmarshal(answer, &p); err != nil || p.Code == "" {
		switch res.StatusCode {
		case http.StatusTooManyRequests,
			http.StatusBadGateway,
			http.StatusServiceUnavailable,
			http.StatusGatewayTimeout:
			// It is a proxy's response, because souk's have a code.
			return errs.New(errs.Unavailable, "%s answered %s", res.Request.URL.Host, res.Status)
		}
		return fmt.Errorf("%s answered %s: is this souk?", res.Request.URL.Host, res.Status)
	}
	e := errs.New(p.Code, "%s", p.Detail)
	for _, f := range p.Errors {
		e.Fields = append(e.Fields, errs.Field{Path: f.Field, Message: f.Message})
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}
