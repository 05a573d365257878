package identity

import "sync"

// cache is a bounded map. When it is full it drops the stale entries, and if none is stale an arbitrary half.
// A missing entry is computed again.
type cache[K comparable, V any] struct {
	max int

	mu      sync.RWMutex
	entries map[K]V
}

func newCache[K comparable, V any](size int) *cache[K, V] {
	return &cache[K, V]{max: size, entries: map[K]V{}}
}

func (c *cache[K, V]) get(k K) (V, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	v, ok := c.entries[k]
	return v, ok
}

func (c *cache[K, V]) put(k K, v V, stale func(V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) >= c.max {
		for old, e := range c.entries {
			if stale(e) {
				delete(c.entries, old)
			}
		}
	}
	if len(c.entries) >= c.max {
		drop := c.max / 2
		for old := range c.entries {
			delete(c.entries, old)
			if drop--; drop <= 0 {
				break
			}
		}
	}
	c.entries[k] = v
}
