package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	requestTimeout = 30 * time.Second
	probeInterval  = 200 * time.Millisecond
	probeTimeout   = time.Second
	largestBody    = 4 << 20
)

// request is a call of the REST API.
type request struct {
	method, path string
	name         string // the path as the OpenAPI document has it, for the statistics; default: path
	token, key   string
	body         any
	accept       []int // statuses that are no failures, beside those below 300
}

// client sends requests to the gateways that are ready, in turn.
type client struct {
	http     *http.Client
	gateways *gateways
	recorder *recorder
}

func newClient(urls ...string) *client {
	return &client{
		http: &http.Client{
			Timeout: requestTimeout,
			Transport: &http.Transport{
				DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
				MaxIdleConnsPerHost: 512,
				IdleConnTimeout:     time.Minute,
				DisableCompression:  true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		gateways: newGateways(urls...),
		recorder: newRecorder(),
	}
}

func (c *client) close() {
	c.gateways.stop()
	c.http.CloseIdleConnections()
}

// send sends a request that was due at a time, records its outcome, and decodes a successful answer. It reports whether
// the request succeeded. A status of accept is recorded as a success, but is none to the caller.
func (c *client) send(ctx context.Context, due time.Time, r request, into any) bool {
	status, body, err := c.exchange(ctx, r)
	if ctx.Err() != nil {
		return false // the program ends; souk is not to blame
	}
	o := outcome{retryable: r.method == http.MethodGet || r.key != ""}
	ok := err == nil && status < http.StatusMultipleChoices
	switch {
	case err != nil:
		o.failure = reason(err)
	case !ok && !slices.Contains(r.accept, status):
		o.failure = fmt.Sprintf("%d %s", status, problemCode(body))
	case ok && into != nil:
		if err := json.Unmarshal(body, into); err != nil {
			o.failure, ok = "the answer can't be read: "+err.Error(), false
		}
	}
	name := r.name
	if name == "" {
		name = r.path
	}
	c.recorder.record(r.method+" "+name, time.Since(due), o)
	return ok
}

func (c *client) exchange(ctx context.Context, r request) (int, []byte, error) {
	var body io.Reader
	if r.body != nil {
		raw, err := json.Marshal(r.body)
		if err != nil {
			return 0, nil, err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, c.gateways.next()+r.path, body)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	answer, err := io.ReadAll(io.LimitReader(res.Body, largestBody))
	return res.StatusCode, answer, err
}

// reason shortens an error, so that failures of one kind have one name: without addresses and ports.
func reason(err error) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "no answer in time"
	}
	for deeper := errors.Unwrap(err); deeper != nil; deeper = errors.Unwrap(err) {
		err = deeper
	}
	return "no answer: " + err.Error()
}

func problemCode(body []byte) string {
	var problem struct{ Code, Detail string }
	if json.Unmarshal(body, &problem) != nil {
		return strings.TrimSpace(string(body[:min(len(body), 80)]))
	}
	return problem.Code + ": " + problem.Detail
}

// gateways chooses a gateway for each request, as a load balancer does: it asks each one every 200 ms whether it is ready.
type gateways struct {
	http *http.Client
	turn atomic.Uint64

	mu    sync.Mutex
	all   []string
	ready []string // a new slice for each change

	quit chan struct{}
	done sync.WaitGroup
	once sync.Once
}

func newGateways(urls ...string) *gateways {
	g := &gateways{
		http: &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
		all:  urls, ready: urls, quit: make(chan struct{}),
	}
	g.done.Go(func() {
		for {
			select {
			case <-g.quit:
				return
			case <-time.After(probeInterval):
				g.probe()
			}
		}
	})
	return g
}

func (g *gateways) stop() {
	g.once.Do(func() { close(g.quit) })
	g.done.Wait()
}

// add adds a gateway, which gets requests once it is ready.
func (g *gateways) add(url string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all = append(slices.Clone(g.all), url)
}

// remove forgets a gateway.
func (g *gateways) remove(url string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	other := func(u string) bool { return u == url }
	g.all = slices.DeleteFunc(slices.Clone(g.all), other)
	g.ready = slices.DeleteFunc(slices.Clone(g.ready), other)
}

// next returns the gateway for the next request. If none is ready, it is any of them.
func (g *gateways) next() string {
	g.mu.Lock()
	urls := g.ready
	if len(urls) == 0 {
		urls = g.all
	}
	g.mu.Unlock()
	return urls[g.turn.Add(1)%uint64(len(urls))]
}

func (g *gateways) probe() {
	g.mu.Lock()
	all := g.all
	g.mu.Unlock()
	ready := make([]bool, len(all))
	var wg sync.WaitGroup
	for i, url := range all {
		wg.Go(func() { ready[i] = isReady(context.Background(), g.http, url) })
	}
	wg.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ready = nil
	for i, url := range all {
		if ready[i] && slices.Contains(g.all, url) {
			g.ready = append(g.ready, url)
		}
	}
}

// isReady asks a gateway or an admin listener whether it is ready.
func isReady(ctx context.Context, c *http.Client, url string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health/ready", nil)
	if err != nil {
		return false
	}
	res, err := c.Do(req)
	return err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
}
