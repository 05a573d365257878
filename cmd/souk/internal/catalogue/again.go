package catalogue

import (
	"context"
	"slices"

	"souk/cmd/souk/internal/productcsv"
)

// maxAgain is the most bytes of products that are held, roughly.
const maxAgain = 32 << 20

// again holds products that the API has rejected until the end of the file, because a variant of theirs may have been
// one of a product further down in the file, which gives it up.
type again struct {
	products []*productcsv.Product
	size     int
	closed   bool
}

// add reports whether it holds the product.
func (a *again) add(p *productcsv.Product) bool {
	n := productBytes(p)
	if a.closed || a.size+n > maxAgain {
		return false
	}
	a.products, a.size = append(a.products, p), a.size+n
	return true
}

// postAgain sends the held products again. Those that are rejected then are.
func (im *importer) postAgain(ctx context.Context) error {
	im.again.closed = true
	for batch := range slices.Chunk(im.again.products, importBatch) {
		if err := im.post(ctx, batch); err != nil {
			return err
		}
	}
	return nil
}
