package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"souk/apps/product"
)

// warmUpTime is how long a load runs before it is measured.
const warmUpTime = time.Second

// alternate measures a limit and souk alternately, twice each, so that other load of the machine affects both.
func alternate(d time.Duration, limit, ours func(time.Duration) (stats, error)) (stats, stats, error) {
	var l, o stats
	for range 2 {
		for _, side := range []struct {
			sum *stats
			run func(time.Duration) (stats, error)
		}{{&l, limit}, {&o, ours}} {
			s, err := side.run(d / 2)
			if err != nil {
				return l, o, err
			}
			*side.sum = side.sum.add(s)
		}
	}
	return l, o, nil
}

// compareWithBare measures requests to souk. The limit is a bare handler that gives souk's answer.
func (b *bench) compareWithBare(
	ctx context.Context, name string, a answer, d time.Duration,
	run func(addr string, d time.Duration) (stats, error),
) (r row, err error) {
	handler, err := startBare(a)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, handler.stop()) }()
	for _, addr := range []string{handler.addr, b.souk.addr} {
		if _, err := run(addr, warmUpTime); err != nil {
			return row{}, err
		}
	}
	limit, ours, err := alternate(d,
		func(d time.Duration) (stats, error) {
			return timed(handler.cmd.Process.Pid, func() (stats, error) { return run(handler.addr, d) })
		},
		func(d time.Duration) (stats, error) {
			return b.watch(ctx, name, d, func() (stats, error) { return run(b.souk.addr, d) })
		})
	if err != nil {
		return row{}, err
	}
	return row{
		Value:       ours.rate(),
		Unit:        "/s",
		P50:         ms(ours.p50),
		P99:         ms(ours.p99),
		SoukCPU:     ours.soukCPU(),
		DatabaseCPU: ours.databaseCPU(),
		Limit:       limit.rate(),
		LimitName:   fmt.Sprintf("bare handler (%s µs)", number(limit.soukCPU())),
		Errors:      ours.failures(),
		Note:        ours.failureNote(),
	}, nil
}

// measureRepeated measures repetitions of one GET.
func (b *bench) measureRepeated(
	ctx context.Context, file, name, path string, conns int, required float64,
) ([]row, error) {
	a, err := capture(ctx, "GET", b.souk.url+path, "", "")
	if err != nil {
		return nil, err
	}
	r, err := b.compareWithBare(
		ctx,
		fmt.Sprintf("%s-%d", file, conns),
		a,
		b.duration,
		func(addr string, d time.Duration) (stats, error) {
			return repeat(ctx, addr, path, conns, d)
		},
	)
	r.Name = fmt.Sprintf("%s, %d at once", name, conns)
	r.Required = required
	if r.Note == "" {
		r.Note = fmt.Sprintf("%d bytes", len(a.Body))
	}
	return []row{r}, err
}

func measureGetCached(ctx context.Context, b *bench) ([]row, error) {
	var rows []row
	for _, conns := range []int{16, 64} {
		r, err := b.measureRepeated(ctx, "get-cached", "GET product from the response cache",
			"/v1/products/"+b.catalogue.product, conns, 0.80)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r...)
	}
	return rows, nil
}

func measureGet(ctx context.Context, b *bench) ([]row, error) {
	required := 0.35
	if b.souk.split {
		required = 0.18
	}
	return b.measureRepeated(ctx, "get", "GET product, response cache off", "/v1/products/"+b.catalogue.product, 16,
		required)
}

func measureList(ctx context.Context, b *bench) ([]row, error) {
	required := 0.25
	if b.souk.split {
		required = 0
	}
	return b.measureRepeated(ctx, "list", "list of 20, response cache off", "/v1/products?pageSize=20", 16, required)
}

// settled is the time after an import in which the database has put everything in its place.
const settled = time.Minute

// measureSearch measures searches right after the import.
func measureSearch(ctx context.Context, b *bench) ([]row, error) {
	return b.measureSearches(ctx, "search, response cache and list cache off")
}

// measureSettledSearch measures searches a minute after the import.
func measureSettledSearch(ctx context.Context, b *bench) ([]row, error) {
	select {
	case <-time.After(time.Until(b.catalogue.importedAt.Add(settled))):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return b.measureSearches(ctx, "the same search, a minute after the import")
}

// measureSearches measures searches over HTTP. The limit is the same statements through pgx alone. Both run 16
// at once and without a cache.
func (b *bench) measureSearches(ctx context.Context, name string) ([]row, error) {
	const conns = 16
	searcher, err := product.OpenSearcher(ctx, b.souk.state.Databases["product"], conns)
	if err != nil {
		return nil, err
	}
	defer searcher.Close()
	requests := make([][]byte, len(b.queries))
	for i, q := range b.queries {
		requests[i] = request(b.souk.addr, "GET", "/v1/products?query="+url.QueryEscape(q), "", "")
	}
	overHTTP := func(d time.Duration) (stats, error) {
		return load{
			addr:     b.souk.addr,
			conns:    conns,
			duration: d,
			next:     func(n int) []byte { return requests[n%len(requests)] },
		}.run(ctx)
	}
	profiled := func(d time.Duration) (stats, error) {
		return b.watch(ctx, "search", d, func() (stats, error) { return overHTTP(d) })
	}
	alone := func(d time.Duration) (stats, error) {
		return hammer(ctx, conns, d, func(ctx context.Context, _, n int) error {
			_, err := searcher.Search(ctx, b.queries[n%len(b.queries)])
			return err
		})
	}
	for _, run := range []func(time.Duration) (stats, error){alone, overHTTP} {
		// Each connection prepares the long statements once, which must not be measured.
		if _, err := run(max(warmUpTime, b.duration)); err != nil {
			return nil, err
		}
	}
	limit, ours, err := alternate(b.duration, alone, profiled)
	if err != nil {
		return nil, err
	}
	r := row{
		Name:        name,
		Value:       ours.rate(),
		Unit:        "/s",
		P50:         ms(ours.p50),
		P99:         ms(ours.p99),
		SoukCPU:     ours.soukCPU(),
		DatabaseCPU: ours.databaseCPU(),
		Limit:       limit.rate(),
		LimitName:   "the same SQL",
		Required:    0.60,
		Errors:      ours.failures(),
		Note:        ours.failureNote(),
	}
	if b.souk.split {
		r.Required = 0
	}
	if r.Note == "" {
		r.Note = fmt.Sprintf("%d queries, 16 at once; SQL alone p50/p99 %s / %s ms", len(b.queries),
			millis(ms(limit.p50)), millis(ms(limit.p99)))
	}
	return []row{r}, nil
}

// hammer calls f concurrently by the given number of workers until the time is over.
func hammer(
	ctx context.Context, workers int, d time.Duration, f func(ctx context.Context, worker, n int) error,
) (stats, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var n atomic.Int64
	s := stats{failed: map[int]int{}}
	var failure error
	began := time.Now()
	for w := range workers {
		wg.Go(func() {
			var latency []time.Duration
			for time.Since(began) < d && ctx.Err() == nil {
				sent := time.Now()
				if err := f(ctx, w, int(n.Add(1)-1)); err != nil {
					mu.Lock()
					failure = err
					mu.Unlock()
					return
				}
				latency = append(latency, time.Since(sent))
			}
			mu.Lock()
			defer mu.Unlock()
			s.latency = append(s.latency, latency...)
		})
	}
	wg.Wait()
	s.elapsed = time.Since(began)
	s.done = len(s.latency)
	s.quantiles()
	return s, errors.Join(failure, ctx.Err())
}
