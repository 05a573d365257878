package handler

import (
	"bytes"
	"hash/maphash"
	"sync/atomic"

	productv1 "souk/gen/go/souk/product/v1"
)

// decodedSlots is the most decoded products that are kept.
const decodedSlots = 1024

// decodedProducts caches responses beside the bytes that they were decoded from. The service's cache returns
// the same bytes until the product changes. Responses are shared, so callers must not modify them.
type decodedProducts struct {
	seed  maphash.Seed
	slots [decodedSlots]atomic.Pointer[decodedProduct]
}

type decodedProduct struct {
	doc []byte
	out *productv1.GetProductResponse
}

func newDecodedProducts() *decodedProducts { return &decodedProducts{seed: maphash.MakeSeed()} }

func (d *decodedProducts) response(productID string, doc []byte) (*productv1.GetProductResponse, error) {
	slot := &d.slots[maphash.String(d.seed, productID)%decodedSlots]
	if known := slot.Load(); known != nil && same(known.doc, doc) {
		return known.out, nil
	}
	p, err := decodeProduct(doc)
	if err != nil {
		return nil, err
	}
	out := &productv1.GetProductResponse{Product: p}
	slot.Store(&decodedProduct{doc: doc, out: out})
	return out, nil
}

// same is bytes.Equal with a fast path for slices of the same memory.
func same(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || bytes.Equal(a, b))
}
