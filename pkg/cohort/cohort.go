// Package cohort lets requests that began together go on together. A request that is one of a cohort says so in its context,
// and every call that it makes says so too, to whatever process: where work of one moment shares a round trip
// (postgres.Group), the first of a cohort to arrive waits a moment for the others, and they share one run instead of the
// first few, the next few and the rest. That is a hint and no promise: who waits does so for milliseconds only, and a
// wrong or old number costs no more than that.
package cohort

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
)

// Cohort is requests of one moment that take the same way.
type Cohort struct {
	id   uint64
	left atomic.Int64
}

// New returns a cohort of nobody yet.
func New() *Cohort {
	return &Cohort{id: rand.Uint64()} //nolint:gosec // no secret: it tells cohorts from different processes apart
}

// Of returns the members of a new cohort of n.
func Of(n int) []*Member {
	members, c := make([]*Member, n), New()
	for i := range members {
		members[i] = c.Join()
	}
	return members
}

// Join makes the cohort one larger.
func (c *Cohort) Join() *Member {
	c.left.Add(1)
	return &Member{cohort: c}
}

// Member is one of a cohort; a nil *Member is one of none.
type Member struct {
	cohort *Cohort
	gone   atomic.Bool
}

// Leave says that this one goes another way, or no further: it waits for nobody any more, and nobody for it. It may be
// called again.
func (m *Member) Leave() {
	if m != nil && !m.gone.Swap(true) {
		m.cohort.left.Add(-1)
	}
}

// Hint is what one call knows of its cohort.
type Hint struct {
	// ID tells one cohort from another; it says nothing else.
	ID uint64
	// Size is how many were on their way when the call was made, itself among them. Below 2 there is nobody to wait for.
	Size int
}

type (
	memberKey struct{}
	hintKey   struct{}
)

// With returns a context whose calls are m's; ctx itself when that is nil.
func With(ctx context.Context, m *Member) context.Context {
	if m == nil {
		return ctx
	}
	return context.WithValue(ctx, memberKey{}, m)
}

// In returns the member that With put into the context, or nil.
func In(ctx context.Context) *Member {
	m, _ := ctx.Value(memberKey{}).(*Member)
	return m
}

// WithHint returns a context for a call that came from a member of a cohort.
func WithHint(ctx context.Context, h Hint) context.Context {
	if h.Size < 2 {
		return ctx
	}
	return context.WithValue(ctx, hintKey{}, h)
}

// Without returns a context whose calls wait for nobody: it is for a way that the others do not take.
func Without(ctx context.Context) context.Context {
	if From(ctx).Size < 2 {
		return ctx
	}
	return context.WithValue(context.WithValue(ctx, memberKey{}, (*Member)(nil)), hintKey{}, Hint{})
}

// From returns what the context knows of its cohort now: from With, else from WithHint. It is the zero Hint when there is none.
func From(ctx context.Context) Hint {
	if m := In(ctx); m != nil {
		if m.gone.Load() {
			return Hint{}
		}
		return Hint{ID: m.cohort.id, Size: int(m.cohort.left.Load())}
	}
	h, _ := ctx.Value(hintKey{}).(Hint)
	return h
}
