package catalogue

import (
	"context"
	"errors"
	"io"
	"os"

	"souk/cmd/souk/internal/productcsv"
)

// maxDoubts is how many products may be in doubt before all of them are.
const maxDoubts = 100_000

// doubts are the products of a file of which rows were, or may have been, rejected. A product is known by its handle as
// [plain] returns it, because a rejected row may spell the handle, or the Vendor, in another way.
type doubts struct {
	all     bool // a rejected row may be of any product
	handles map[string]bool
}

// add notes a rejected row of the product with the handle; "": it may be of any product. If the whole product was
// rejected, it may as well be of those beside it: its handle may be wrong.
func (d *doubts) add(handle string, beside []string) {
	for _, h := range beside {
		if h != "" {
			d.add(h, nil)
		}
	}
	if d.all = d.all || handle == "" || len(d.handles) == maxDoubts; d.all {
		return
	}
	if d.handles == nil {
		d.handles = map[string]bool{}
	}
	d.handles[plain(handle)] = true
}

// about reports whether a row of the product with the handle may have been rejected.
func (d *doubts) about(handle string) bool { return d.all || d.handles[plain(handle)] }

// findDoubts reads the whole file before anything of it is replaced, and returns a reader from its beginning. It
// creates missing shops as the import does.
func (im *importer) findDoubts(
	ctx context.Context, reader *productcsv.Reader, file *os.File,
) (*productcsv.Reader, error) {
	for ctx.Err() == nil {
		p, refused, err := reader.Next()
		if errors.Is(err, io.EOF) {
			clear(im.lines)
			return im.read(file)
		}
		if err != nil {
			return nil, err
		}
		for _, row := range refused {
			im.doubts.add(row.Handle, row.Beside)
		}
		if p == nil {
			continue
		}
		shop, err := im.shop(ctx, p.Vendor)
		if err != nil && !vendorsFault(err) {
			return nil, err
		}
		p.Shop = shop
		if _, twice := im.first(p); twice || err != nil {
			im.doubts.add(p.GetHandle(), p.Beside)
		}
	}
	return nil, ctx.Err()
}
