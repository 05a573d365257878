package productcsv

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
)

// maxHeld is the most bytes of rows that a Reader holds until the end of the file, because their products stand apart.
const maxHeld = 256 << 20

// findApart reads a file to its end and returns the handles of the products whose rows do not stand together, or may
// belong to rows elsewhere because they lack their Vendor. It remembers 8 bytes of each product.
func findApart(r *Reader) (map[string]bool, error) {
	seed := maphash.MakeSeed()
	seen, apart := map[uint64]bool{}, map[string]bool{}
	var g *group
	for {
		row, bad, err := r.read()
		if errors.Is(err, io.EOF) {
			return apart, nil
		}
		if err != nil {
			return nil, err
		}
		if bad != nil {
			continue
		}
		handle, vendor := r.trimmed(row, colHandle), r.vendor(row)
		if g.has(handle, vendor) {
			continue
		}
		g = &group{handle: handle, vendor: vendor}
		key := maphash.String(seed, handle+"\x00"+vendor)
		if seen[key] || vendor == "" && !r.oneShop {
			apart[handle] = true
		}
		seen[key] = true
	}
}

// hold keeps the rows of a product that stands apart until the end of the file.
func (r *Reader) hold(g *group) []Rejection {
	const overhead = 64 // bytes of a row and of a cell, at least
	size := g.size + overhead*len(g.rows)*(1+len(r.header)/4)
	if r.heldSize+size <= maxHeld {
		r.heldSize += size
	} else {
		reason := fmt.Sprintf("its product's rows stand apart, and the file has more than %d bytes of such rows: "+
			"sort it by %s", maxHeld, r.label(colHandle))
		refused := make([]Rejection, len(g.rows))
		for i, row := range g.rows {
			refused[i] = Rejection{Row: *row, Reason: reason, Handle: g.handle}
		}
		r.held = append(r.held, &group{handle: g.handle, vendor: g.vendor, partial: true})
		return refused
	}
	r.held = append(r.held, g)
	return nil
}

// join makes products of the held groups: one for each handle and vendor, in the order of the file. Rows without a
// Vendor belong to the only vendor whose product has their handle.
func (r *Reader) join() []*group {
	vendors := map[string]map[string]bool{} // by handle
	for _, g := range r.held {
		if vendors[g.handle] == nil {
			vendors[g.handle] = map[string]bool{}
		}
		if g.vendor != "" {
			vendors[g.handle][g.vendor] = true
		}
	}
	var joined []*group
	known := map[[2]string]*group{}
	for _, g := range r.held {
		vendor := g.vendor
		if len(vendors[g.handle]) == 1 {
			for vendor = range vendors[g.handle] {
			}
		}
		key := [2]string{g.handle, vendor}
		if known[key] == nil {
			known[key] = &group{handle: g.handle, vendor: vendor}
			joined = append(joined, known[key])
		}
		known[key].rows = append(known[key].rows, g.rows...)
		known[key].partial = known[key].partial || g.partial
		known[key].beside = append(known[key].beside, g.beside...)
	}
	r.held, r.heldSize = nil, 0
	return joined
}

// nextJoined returns the next product that was joined, with its refused rows. After the last one it returns io.EOF.
func (r *Reader) nextJoined() (*Product, []Rejection, error) {
	if len(r.held) > 0 {
		r.joined = r.join()
	}
	for len(r.joined) > 0 {
		all := r.joined[0]
		r.joined = r.joined[1:]
		g := &group{handle: all.handle, vendor: all.vendor, partial: all.partial, beside: all.beside}
		var refused []Rejection
		for _, row := range all.rows {
			if reason := g.add(row); reason != "" {
				refused = append(refused, Rejection{Row: *row, Reason: reason, Handle: g.handle})
			}
		}
		if len(g.rows) == 0 { // all were refused when they were read
			continue
		}
		p, bad := r.product(g)
		return p, append(refused, bad...), nil
	}
	return nil, nil, io.EOF
}
