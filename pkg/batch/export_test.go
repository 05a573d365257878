package batch

// Waiting returns how many items no flush has taken yet.
func Waiting[T, R any](b *Batcher[T, R]) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// Closed reports whether the batcher refuses items.
func Closed[T, R any](b *Batcher[T, R]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}
