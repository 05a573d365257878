package tests

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"souk/apps/cart/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
)

// op is one call and its result.
type op struct {
	kind    string
	owner   string
	variant string
	n       int64
	order   string

	err   errs.Code
	carts map[string]domain.Cart // the returned carts, by owner
}

// model is the expected state of a cart.
type model struct {
	lines  []domain.Line
	orders map[string]bool
}

func (m *model) find(variant string) int {
	return slices.IndexFunc(m.lines, func(l domain.Line) bool { return l.VariantID == variant })
}

func (m *model) put(variant string, n int64) {
	i := m.find(variant)
	switch {
	case i < 0 && n > 0:
		m.lines = append(m.lines, domain.Line{VariantID: variant, Quantity: n})
	case i >= 0 && n > 0:
		m.lines[i].Quantity = n
	case i >= 0:
		m.lines = slices.Delete(m.lines, i, i+1)
	}
}

func (m *model) quantity(variant string) int64 {
	if i := m.find(variant); i >= 0 {
		return m.lines[i].Quantity
	}
	return 0
}

// TestConcurrentCallsAreLinearizable runs random calls concurrently. Each change increases its cart's version, so
// the versions show the order in which Redis ran them. The model must return the same results in that order. A merge is
// two changes: lines are taken out of the guest's cart, and later added to the user's.
func TestConcurrentCallsAreLinearizable(t *testing.T) {
	t.Parallel()
	h := setup(t)
	variants := []string{id.New(id.Variant), id.New(id.Variant), id.New(id.Variant)}
	rapid.Check(t, func(rt *rapid.T) {
		user, guest := id.New(id.User), id.New(id.Guest)
		orders := []string{id.New(id.Order), id.New(id.Order)}
		gen := rapid.Custom(func(rt *rapid.T) *op {
			return &op{
				kind: rapid.SampledFrom([]string{
					"add", "add", "set", "remove", "clear", "ordered", "merge", "write back", "get",
				}).Draw(rt, "kind"),
				owner:   rapid.SampledFrom([]string{user, guest}).Draw(rt, "owner"),
				variant: rapid.SampledFrom(variants).Draw(rt, "variant"),
				n:       rapid.SampledFrom([]int64{1, 2, 3, 5000, 9999}).Draw(rt, "n"),
				order:   rapid.SampledFrom(orders).Draw(rt, "order"),
			}
		})
		threads := rapid.SliceOfN(rapid.SliceOfN(gen, 1, 8), 2, 5).Draw(rt, "threads")
		var wg sync.WaitGroup
		for _, ops := range threads {
			wg.Go(func() {
				for _, o := range ops {
					h.call(o, user, guest)
				}
			})
		}
		wg.Wait()
		final := map[string]domain.Cart{}
		for _, owner := range []string{user, guest} {
			c, err := h.carts.Get(context.Background(), owner)
			require.NoError(rt, err)
			final[owner] = c
		}
		replay(rt, slices.Concat(threads...), user, guest, final)
		// The backup has the same carts.
		require.NoError(rt, h.carts.Save(context.Background(), user, guest))
		h.lose(t, user)
		h.lose(t, guest)
		for owner, want := range final {
			got, err := h.carts.Get(context.Background(), owner)
			require.NoError(rt, err)
			require.Equal(rt, shape(want.Lines), shape(got.Lines))
			require.Equal(rt, want.Version, got.Version)
		}
	})
}

// call runs o and stores its result in it.
func (h *harness) call(o *op, user, guest string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var c domain.Cart
	var err error
	switch o.kind {
	case "add":
		c, err = h.carts.Add(ctx, o.owner, o.variant, o.n, "BRL")
	case "set":
		c, err = h.carts.Set(ctx, o.owner, o.variant, o.n)
	case "remove":
		c, err = h.carts.Set(ctx, o.owner, o.variant, 0)
	case "clear":
		c, err = h.carts.Clear(ctx, o.owner)
	case "ordered":
		c, err = h.carts.RemoveOrdered(ctx, o.owner, o.order, math.MaxInt64,
			[]domain.Line{{VariantID: o.variant, Quantity: o.n}})
	case "merge":
		var g domain.Cart
		c, g, err = h.carts.Merge(ctx, guest, user)
		o.owner = user
		o.carts = map[string]domain.Cart{user: c, guest: g}
	case "write back":
		_, err = h.carts.WriteBack(ctx, true)
	case "get":
		c, err = h.carts.Get(ctx, o.owner)
	}
	o.err = errs.CodeOf(err)
	if o.carts == nil && err == nil && o.kind != "write back" {
		o.carts = map[string]domain.Cart{o.owner: c}
	}
}

// replay searches for an order of the changes in which the models return the same carts as Redis did.
func replay(t *rapid.T, ops []*op, user, guest string, final map[string]domain.Cart) {
	seen := map[string]map[int64]string{user: {0: "[]"}, guest: {0: "[]"}} // the lines of each version
	last := map[string]int64{}
	for _, o := range ops {
		require.Contains(t, []errs.Code{"", errs.Invalid, errs.NotFound}, o.err)
		for owner, c := range o.carts {
			if known, ok := seen[owner][c.Version]; ok {
				require.Equal(t, known, shape(c.Lines), "different lines of version %d", c.Version)
			}
			seen[owner][c.Version] = shape(c.Lines)
			last[owner] = max(last[owner], c.Version)
		}
	}
	for owner, c := range final {
		require.Equal(t, last[owner], c.Version)
		require.Equal(t, seen[owner][c.Version], shape(c.Lines))
	}
	s := search{ops: ops, user: user, guest: guest, seen: seen, last: last, dead: map[string]bool{}}
	if !s.from(
		position{
			models: map[string]*model{user: {orders: map[string]bool{}}, guest: {orders: map[string]bool{}}},
			at:     map[string]int64{},
		},
	) {
		t.Fatalf("no order of these calls explains their results:\n%s", describe(ops))
	}
}

type search struct {
	ops         []*op
	user, guest string
	seen        map[string]map[int64]string
	last        map[string]int64
	dead        map[string]bool // positions that lead nowhere
}

type position struct {
	models map[string]*model
	at     map[string]int64
	// moving are the lines that a merge has taken out of the guest's cart and that are not in the user's cart yet.
	moving []domain.Line
	// unseen reports that no call has returned this version of the user's cart, to which lines were added.
	unseen bool
}

// from reports whether the remaining changes can follow p.
func (s *search) from(p position) bool {
	if p.at[s.user] == s.last[s.user] && p.at[s.guest] == s.last[s.guest] && !p.unseen && len(p.moving) == 0 {
		return true
	}
	key := fmt.Sprint(p.at[s.user], p.at[s.guest], p.models[s.user], p.models[s.guest], p.moving, p.unseen)
	if s.dead[key] {
		return false
	}
	for _, o := range s.ops {
		if next, ok := s.step(p, o); ok && s.from(next) {
			return true
		}
	}
	for _, unseen := range []bool{false, true} {
		if next, ok := s.give(p, unseen); ok && s.from(next) {
			return true
		}
	}
	s.dead[key] = true
	return false
}

func (p position) clone() position {
	next := position{models: map[string]*model{}, at: maps.Clone(p.at), moving: p.moving, unseen: p.unseen}
	for owner, m := range p.models {
		next.models[owner] = &model{lines: slices.Clone(m.lines), orders: maps.Clone(m.orders)}
	}
	return next
}

// step applies o to the models. It returns false unless o returned the next version of a cart and the models then
// have the lines of that version. Of a merge, it is the change of the guest's cart.
func (s *search) step(p position, o *op) (position, bool) {
	changes := o.owner
	if o.kind == "merge" {
		changes = s.guest
	}
	c, ok := o.carts[changes]
	if v := s.after(changes, p.at[changes]); !ok || o.kind == "get" || v == 0 || c.Version != v {
		return p, false
	}
	next := p.clone()
	next.apply(o, changes)
	next.at[changes] = c.Version
	next.unseen = next.unseen && changes != s.user
	return next, s.fits(next)
}

// give adds the moving lines to the user's cart: the call that took them, or another one, or a write-back.
func (s *search) give(p position, unseen bool) (position, bool) {
	v := s.after(s.user, p.at[s.user])
	if len(p.moving) == 0 || v == 0 {
		return p, false
	}
	next := p.clone()
	m := next.models[s.user]
	for _, l := range p.moving {
		m.put(l.VariantID, min(domain.MaxQuantity, m.quantity(l.VariantID)+l.Quantity))
	}
	next.moving, next.unseen = nil, unseen
	if !unseen {
		next.at[s.user] = v
	}
	return next, s.fits(next)
}

// fits reports whether the models have the lines of the carts' versions.
func (s *search) fits(p position) bool {
	for owner, m := range p.models {
		if (owner != s.user || !p.unseen) && s.seen[owner][p.at[owner]] != shape(m.lines) {
			return false
		}
	}
	return true
}

// after returns the version of a cart that follows at, or 0 if at is the last one.
func (s *search) after(owner string, at int64) int64 {
	next := int64(0)
	for v := range s.seen[owner] {
		if v > at && (next == 0 || v < next) {
			next = v
		}
	}
	return next
}

func (p *position) apply(o *op, owner string) {
	m := p.models[owner]
	switch o.kind {
	case "add":
		m.put(o.variant, m.quantity(o.variant)+o.n)
	case "set":
		m.put(o.variant, o.n)
	case "remove":
		m.put(o.variant, 0)
	case "clear":
		m.lines = nil
	case "ordered":
		if !m.orders[o.order] {
			m.orders[o.order] = true
			m.put(o.variant, max(0, m.quantity(o.variant)-o.n))
		}
	case "merge":
		p.moving, m.lines = m.lines, nil
	}
}

// String shows a model in the keys of positions.
func (m *model) String() string { return fmt.Sprint(shape(m.lines), m.orders) }

func shape(lines []domain.Line) string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = fmt.Sprintf("%s=%d", l.VariantID[len(l.VariantID)-4:], l.Quantity)
	}
	return fmt.Sprint(out)
}

// describe lists the calls and their results.
func describe(ops []*op) string {
	var b strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&b, "%s %s %s %d %s %s:", o.kind, o.owner[:3], o.variant[len(o.variant)-4:], o.n,
			o.order[len(o.order)-4:], o.err)
		for owner, c := range o.carts {
			fmt.Fprintf(&b, " %s@%d%s", owner[:3], c.Version%1000, shape(c.Lines))
		}
		b.WriteByte('\n')
	}
	return b.String()
}
