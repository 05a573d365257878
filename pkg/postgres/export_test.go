package postgres

// Waiting tells how many callers no run has taken yet.
func Waiting[T, R any](g *Group[T, R]) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// Closed tells whether the group refuses callers.
func Closed[T, R any](g *Group[T, R]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

// Cohorts tells of how many cohorts the group knows.
func Cohorts[T, R any](g *Group[T, R]) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.cohorts.by)
}
