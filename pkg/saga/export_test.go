package saga

import "time"

// ExpireDeadline makes the deadline of a saga pass that r holds. Only the saga's own steps and failpoints may call
// it: they run on the goroutine that reads the deadline.
func ExpireDeadline(r *Runner, id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.held[id]; x != nil {
		x.deadline = time.Now().Add(-time.Second)
	}
}
