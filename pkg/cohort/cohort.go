// Package cohort lets requests that began together go on together. A request that is one of a cohort says so in its context,
// and every call that it makes says so too, to whatever process: where work of one moment shares a round trip
// (postgres.Group), the first of a cohort to arrive waits a moment for the others, and all of them share one run instead of the
// first few, the next few and the rest. That is a hint and no promise: who waits does so for milliseconds only, and a
// wrong or old number costs no more than that.
package cohort

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
)

// Cohort is requests of one moment that take the same way. A nil *Cohort is none.
type Cohort struct {
	id   uint64
	left atomic.Int64
}

// New returns a cohort of n requests, nil when that is fewer than two.
func New(n int) *Cohort {
	if n < 2 {
		return nil
	}
	c := Open()
	c.left.Store(int64(n))
	return c
}

// Open returns a cohort of nobody yet.
func Open() *Cohort {
	return &Cohort{id: rand.Uint64()} //nolint:gosec // no secret: it tells cohorts from different processes apart
}

// Join makes the cohort one larger.
func (c *Cohort) Join() { c.left.Add(1) }

// Leave says that one of the cohort goes no further: the others wait for it nowhere. Each may call it once.
func (c *Cohort) Leave() {
	if c != nil {
		c.left.Add(-1)
	}
}

// Member is what one call knows of its cohort.
type Member struct {
	// ID tells one cohort from another; it says nothing else.
	ID uint64
	// Size is how many were on their way when the call was made, itself among them. Below 2 there is no cohort.
	Size int
}

type (
	cohortKey struct{}
	memberKey struct{}
)

// With returns a context whose calls belong to c; ctx itself when that is nil.
func With(ctx context.Context, c *Cohort) context.Context {
	if c == nil {
		return ctx
	}
	return context.WithValue(ctx, cohortKey{}, c)
}

// Of returns the cohort that With put into the context, or nil.
func Of(ctx context.Context) *Cohort {
	c, _ := ctx.Value(cohortKey{}).(*Cohort)
	return c
}

// WithMember returns a context for a call that came from a member of a cohort.
func WithMember(ctx context.Context, m Member) context.Context {
	if m.Size < 2 {
		return ctx
	}
	return context.WithValue(ctx, memberKey{}, m)
}

// From returns what the context knows of its cohort now: from With, else from WithMember. Its Size is 0 when there is none.
func From(ctx context.Context) Member {
	if c := Of(ctx); c != nil {
		return Member{ID: c.id, Size: int(c.left.Load())}
	}
	m, _ := ctx.Value(memberKey{}).(Member)
	return m
}
