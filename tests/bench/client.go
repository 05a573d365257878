package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stats is the result of a load.
type stats struct {
	done    int
	failed  map[int]int // by status; 0 means no answer
	elapsed time.Duration
	latency []time.Duration // sorted
	p50     time.Duration
	p99     time.Duration
	example string // the error or body of one failure
	cpu     cpu    // processor time that souk used for the load
	effort  effort // PostgreSQL's work, for checkouts
}

// soukCPU and databaseCPU return the microseconds of processor time per request.
func (s stats) soukCPU() float64 { return float64(s.cpu.souk.Microseconds()) / float64(max(1, s.done)) }
func (s stats) databaseCPU() float64 {
	return float64(s.cpu.databases.Microseconds()) / float64(max(1, s.done))
}

func (s stats) rate() float64 {
	if s.elapsed <= 0 {
		return 0
	}
	return float64(s.done) / s.elapsed.Seconds()
}

func (s stats) failures() int {
	n := 0
	for _, c := range s.failed {
		n += c
	}
	return n
}

// failureNote describes the failures. It is empty if there were none.
func (s stats) failureNote() string {
	if s.failures() == 0 {
		return ""
	}
	var parts []string
	for status, n := range s.failed {
		parts = append(parts, fmt.Sprintf("%d × status %d", n, status))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ") + " " + strings.Join(strings.Fields(s.example), " ")
}

// add combines two runs of the same load.
func (s stats) add(o stats) stats {
	sum := stats{
		done:    s.done + o.done,
		elapsed: s.elapsed + o.elapsed,
		failed:  map[int]int{},
		latency: slices.Concat(s.latency, o.latency),
		example: s.example + o.example,
	}
	sum.cpu = s.cpu.add(cpu{}, o.cpu)
	for _, f := range []map[int]int{s.failed, o.failed} {
		for status, n := range f {
			sum.failed[status] += n
		}
	}
	if len(sum.latency) > 0 {
		sum.quantiles()
	} else { // wrk gives quantiles only: take the worse ones
		sum.p50, sum.p99 = max(s.p50, o.p50), max(s.p99, o.p99)
	}
	return sum
}

func (s *stats) quantiles() {
	slices.Sort(s.latency)
	s.p50, s.p99 = quantile(s.latency, 0.5), quantile(s.latency, 0.99)
}

// quantile returns a quantile of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// load sends requests over connections that stay open. Each connection has one request in flight.
type load struct {
	addr  string
	conns int
	// duration bounds the load. Zero means that it ends when next returns nil.
	duration time.Duration
	// rate is how many requests begin per second, at equal intervals. A request that finds no free connection
	// begins late, and its latency counts from when it was due. Zero means as many as possible.
	rate float64
	// next returns the nth request, or nil after the last. All connections may call it concurrently.
	next func(n int) []byte
	// follow, if not nil, makes a function for the nth request. The function gets the body of each 2xx response and
	// returns the request that follows, or nil after the last. All of them count as one request.
	follow func(n int) func(body []byte) []byte
	// answer, if not nil, receives the response to the nth request. It must not keep body.
	answer func(n, status int, body []byte)
}

// run sends requests until the time is over or the requests are used up.
func (l load) run(ctx context.Context) (stats, error) {
	if l.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.duration)
		defer cancel()
	}
	workers := make([]*worker, l.conns)
	for i := range workers {
		c, err := dial(l.addr)
		if err != nil {
			return stats{}, err
		}
		defer c.close()
		workers[i] = &worker{load: &l, conn: c, failed: map[int]int{}}
	}
	var n atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for _, w := range workers {
		wg.Go(func() { w.work(ctx, began, &n) })
	}
	wg.Wait()
	s := stats{elapsed: time.Since(began), failed: map[int]int{}}
	for _, w := range workers {
		s.done += w.done
		s.latency = append(s.latency, w.latency...)
		for status, n := range w.failed {
			s.failed[status] += n
		}
		if w.example != "" {
			s.example = w.example
		}
	}
	s.quantiles()
	return s, nil
}

// due returns when the nth request is due, after the load's begin.
func (l load) due(n int) time.Duration {
	return time.Duration(float64(n) / l.rate * float64(time.Second))
}

type worker struct {
	load    *load
	conn    *conn
	done    int
	latency []time.Duration
	failed  map[int]int
	example string
}

func (w *worker) work(ctx context.Context, began time.Time, n *atomic.Int64) {
	for ctx.Err() == nil {
		i := int(n.Add(1) - 1)
		request := w.load.next(i)
		if request == nil {
			return
		}
		if w.load.rate > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(began.Add(w.load.due(i)))):
			}
		}
		sent := time.Now()
		if w.load.rate > 0 {
			sent = began.Add(w.load.due(i))
		}
		status, body, err := w.steps(i, request)
		if err != nil {
			w.failed[0]++
			w.example = err.Error()
			w.conn.close()
			if w.conn, err = dial(w.load.addr); err != nil {
				w.conn = &conn{c: noConn{}}
				return
			}
			continue
		}
		w.latency = append(w.latency, time.Since(sent))
		if status < 200 || status > 299 {
			w.failed[status]++
			w.example = string(body[:min(len(body), 300)])
		} else {
			w.done++
		}
		if w.load.answer != nil {
			w.load.answer(i, status, body)
		}
	}
}

// steps sends the nth request and the requests that follow it. It returns the last response.
func (w *worker) steps(n int, request []byte) (status int, body []byte, err error) {
	if w.load.follow == nil {
		return w.conn.do(request)
	}
	for follow := w.load.follow(n); request != nil; request = follow(body) {
		if status, body, err = w.conn.do(request); err != nil || status < 200 || status > 299 {
			break
		}
	}
	return status, body, err
}

// noConn replaces a connection that could not be opened again.
type noConn struct{ net.Conn }

// Close does nothing.
func (noConn) Close() error { return nil }

// conn is an HTTP/1.1 connection that does as little as possible, since client and server share the processors.
type conn struct {
	c    net.Conn
	r    *bufio.Reader
	body []byte
}

func dial(addr string) (*conn, error) {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &conn{c: c, r: bufio.NewReaderSize(c, 32<<10)}, nil
}

func (c *conn) close() { _ = c.c.Close() } // an error loses nothing, since all is sent

var (
	contentLength = []byte("content-length:")
	chunkedCoding = []byte("transfer-encoding: chunked")
	errProtocol   = errors.New("not an HTTP answer")
)

// do sends a request and returns the status and the body, which is valid until the next call.
func (c *conn) do(request []byte) (int, []byte, error) {
	if err := c.c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, nil, err
	}
	if _, err := c.c.Write(request); err != nil {
		return 0, nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return 0, nil, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, nil, errProtocol
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0, nil, errProtocol
	}
	length, chunked := 0, false
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return 0, nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return 0, nil, errProtocol
			}
		}
		chunked = chunked || bytes.EqualFold(line, chunkedCoding)
	}
	c.body = c.body[:0]
	if chunked {
		err := c.readChunks()
		return status, c.body, err
	}
	err = c.read(length)
	return status, c.body, err
}

func (c *conn) read(n int) error {
	at := len(c.body)
	c.body = slices.Grow(c.body, n)[:at+n]
	_, err := io.ReadFull(c.r, c.body[at:])
	return err
}

func (c *conn) readChunks() error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 32)
		if err != nil {
			return errProtocol
		}
		if err := c.read(int(n)); err != nil {
			return err
		}
		if _, err := c.r.Discard(2); err != nil || n == 0 {
			return err
		}
	}
}

// request returns a request in its wire form. headers alternate between name and value.
func request(addr, method, path, token, body string, headers ...string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, addr)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if method != "GET" {
		fmt.Fprintf(&b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}
