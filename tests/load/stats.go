package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	longest = time.Minute // the histograms' highest value; slower requests count as this
	digits  = 3           // significant digits of the histograms
)

// objectives are what a plan must meet.
type objectives struct {
	p95, p99 time.Duration
	errors   float64 // share of the requests
}

// objective is what the project's plan demands.
var objective = objectives{p95: 200 * time.Millisecond, p99: 500 * time.Millisecond, errors: 0.001}

// outcome is how a request ended.
type outcome struct {
	failure   string // "" if it succeeded
	retryable bool   // the client may send it again: it changes nothing, or it has an idempotency key
}

// recorder collects the outcomes of requests.
type recorder struct {
	mu   sync.Mutex
	seen *result
}

func newRecorder() *recorder { return &recorder{seen: newResult()} }

// record adds a request. Its latency counts from when it was due.
func (r *recorder) record(name string, latency time.Duration, o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.of(name).add(latency, o)
}

// drop counts a visitor who was turned away by this program, because too many were there.
func (r *recorder) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.dropped++
}

// take returns what was recorded since the last take.
func (r *recorder) take() *result {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.seen
	r.seen = newResult()
	return taken
}

// result is what was recorded in a time.
type result struct {
	series  map[string]*series // by the request's name
	dropped int
}

func newResult() *result { return &result{series: map[string]*series{}} }

func (r *result) of(name string) *series {
	if r.series[name] == nil {
		r.series[name] = newSeries()
	}
	return r.series[name]
}

// series are the requests of one name.
type series struct {
	latency  *hdrhistogram.Histogram // in microseconds
	failures map[string]int
	failed   int
	lost     int // failed, and not to be sent again
}

func newSeries() *series {
	return &series{
		latency:  hdrhistogram.New(1, longest.Microseconds(), digits),
		failures: map[string]int{},
	}
}

func (s *series) add(latency time.Duration, o outcome) {
	_ = s.latency.RecordValue(max(1, min(latency, longest).Microseconds())) // within the histogram's bounds
	if o.failure == "" {
		return
	}
	s.failed++
	s.failures[o.failure]++
	if !o.retryable {
		s.lost++
	}
}

func (s *series) quantile(q float64) time.Duration {
	return time.Duration(s.latency.ValueAtQuantile(q)) * time.Microsecond
}

// merge adds what another series has.
func (s *series) merge(o *series) {
	s.latency.Merge(o.latency)
	s.failed += o.failed
	s.lost += o.lost
	for failure, n := range o.failures {
		s.failures[failure] += n
	}
}

// all returns the requests of all names as one series.
func (r *result) all() *series {
	sum := newSeries()
	for _, s := range r.series {
		sum.merge(s)
	}
	return sum
}

// names returns the names of the requests, in the order of the alphabet.
func (r *result) names() []string { return slices.Sorted(maps.Keys(r.series)) }

// failures describes the failures, the most frequent first. It is empty if there were none.
func (r *result) failures() []string {
	type line struct {
		text string
		n    int
	}
	var lines []line
	for name, s := range r.series {
		for failure, n := range s.failures {
			lines = append(lines, line{fmt.Sprintf("%d × %s: %s", n, name, failure), n})
		}
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(b.n, a.n), strings.Compare(a.text, b.text))
	})
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.text
	}
	return out
}

// broken returns which objectives the requests don't meet, all of them together and those of the names alone.
func (r *result) broken(o objectives, alone ...string) []string {
	out := r.all().broken("all requests", o)
	for _, name := range alone {
		if s := r.series[name]; s != nil {
			out = append(out, s.broken(name, o)...)
		} else {
			out = append(out, name+": there was none")
		}
	}
	if r.dropped > 0 {
		out = append(out, fmt.Sprintf("%d visitors were turned away: too many were there at once", r.dropped))
	}
	return out
}

func (s *series) broken(name string, o objectives) (out []string) {
	if p := s.quantile(95); o.p95 > 0 && p >= o.p95 {
		out = append(out, fmt.Sprintf("%s: P95 is %s, not under %s", name, millis(p), millis(o.p95)))
	}
	if p := s.quantile(99); p >= o.p99 {
		out = append(out, fmt.Sprintf("%s: P99 is %s, not under %s", name, millis(p), millis(o.p99)))
	}
	if share := s.errors(); share >= o.errors {
		out = append(out, fmt.Sprintf("%s: %.2f %% of %d failed, not under %.1f %%", name, share*100,
			s.latency.TotalCount(), o.errors*100))
	}
	return out
}

// errors returns which share of the requests failed.
func (s *series) errors() float64 {
	return float64(s.failed) / float64(max(1, s.latency.TotalCount()))
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond))
}
