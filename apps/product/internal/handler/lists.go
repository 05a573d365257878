package handler

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	"google.golang.org/protobuf/proto"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/clock"
)

// maxLists is the most responses that are kept, and maxKept the most products in one of them.
const (
	maxLists = 512
	maxKept  = 50
)

// Generations returns the catalogue's version, which every change of the catalogue changes, or false if it is
// unknown.
type Generations interface {
	Generation(ctx context.Context) (string, bool)
}

// Lists caches responses to searches until the catalogue changes. To get the version costs no round trip. Responses
// are shared, so callers must not modify them.
type Lists struct {
	generations Generations
	ttl         time.Duration
	clock       clock.Clock

	flights singleflight.Group
	mu      sync.RWMutex
	kept    map[string]answer
}

type answer struct {
	out        *productv1.SearchProductsResponse
	generation string
	until      time.Time
}

// NewLists returns a cache that keeps a response for at most ttl.
func NewLists(generations Generations, ttl time.Duration, c clock.Clock) *Lists {
	return &Lists{generations: generations, ttl: ttl, clock: c, kept: map[string]answer{}}
}

type searchFunc func(context.Context, *productv1.SearchProductsRequest) (*productv1.SearchProductsResponse, error)

// loadTimeout bounds a search that several callers may wait for.
const loadTimeout = 5 * time.Second

func (l *Lists) get(
	ctx context.Context, in *productv1.SearchProductsRequest, search searchFunc,
) (*productv1.SearchProductsResponse, error) {
	generation, known := l.generations.Generation(ctx)
	if !known {
		return search(ctx, in)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(in)
	if err != nil {
		return nil, err
	}
	key := string(raw)
	now := l.clock.Now()
	l.mu.RLock()
	a, ok := l.kept[key]
	l.mu.RUnlock()
	if ok && a.generation == generation && now.Before(a.until) {
		return a.out, nil
	}
	result := l.flights.DoChan(generation+"\x00"+key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		out, err := search(ctx, in)
		if err == nil && len(out.GetProducts()) <= maxKept {
			l.keep(key, answer{out: out, generation: generation, until: now.Add(l.ttl)})
		}
		return out, err
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-result:
		out, _ := r.Val.(*productv1.SearchProductsResponse)
		return out, r.Err
	}
}

// keep adds a response. If the cache is full, it drops the oldest of eight random ones.
func (l *Lists) keep(key string, a answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, there := l.kept[key]; !there && len(l.kept) >= maxLists {
		victim, n := "", 0
		for k, old := range l.kept { // in random order
			if victim == "" || old.until.Before(l.kept[victim].until) {
				victim = k
			}
			if n++; n == 8 {
				break
			}
		}
		delete(l.kept, victim)
	}
	l.kept[key] = a
}
