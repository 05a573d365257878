// Package catalogue imports and exports products over souk's API, as Shopify's product CSV.
package catalogue

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"souk/cmd/souk/internal/api"
	"souk/cmd/souk/internal/explain"
	"souk/cmd/souk/internal/productcsv"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
)

const (
	importBatch = 100       // products of a request, at most
	importBytes = 700 << 10 // size of a request, roughly and at most
)

// FileError is the error of a file that can't be read as a product CSV. Nothing was imported.
type FileError struct{ err error }

func (e *FileError) Error() string { return e.err.Error() }

// Unwrap returns why the file can't be read.
func (e *FileError) Unwrap() error { return e.err }

// ImportOptions are the options of [Import].
type ImportOptions struct {
	// Path is the product CSV. Rejected rows go to a file beside it.
	Path string
	// Currency is the ISO 4217 code of prices without one.
	Currency string
	// Shop is the handle or ID of the shop that all products go to. Empty: the Vendor of each product is its shop.
	Shop string
	// Categories is the path of a CSV that maps the file's categories to souk's. Categories that souk does not have are
	// added to it. Empty: there is no mapping.
	Categories string
	// CreateShops creates the shops that are missing.
	CreateShops bool
	// Replace deletes what a complete product of the file does not have: variants, images, texts.
	Replace bool
	// Progress shows a bar if it is a terminal.
	Progress io.Writer
}

// Import imports products over the API and prints a summary to out. It fails if a row was rejected.
//
// Errors: [FileError], not_found (there is no o.Shop), unavailable (the import broke off), and those of the API.
func Import(ctx context.Context, client *api.Client, out io.Writer, o ImportOptions) error {
	mapping, err := readCategories(o.Categories)
	if err != nil {
		return err
	}
	im := &importer{
		client:      client,
		oneShop:     o.Shop,
		createShops: o.CreateShops,
		replace:     o.Replace,
		categories:  mapping,
		currency:    o.Currency,
		path:        o.Path,
		shops:       map[string]*shopLookup{},
		seed:        maphash.MakeSeed(),
		lines:       map[uint64]int{},
		out:         out,
		progress:    newProgress(o.Progress),
	}
	return im.run(ctx)
}

type importer struct {
	client      *api.Client
	oneShop     string // the shop of all products; "": the Vendor is the shop
	createShops bool
	replace     bool
	categories  *categories
	currency    string
	path        string
	out         io.Writer
	progress    *progress

	mu       sync.Mutex
	shops    map[string]*shopLookup
	seed     maphash.Seed
	lines    map[uint64]int // of products, by a hash of shop and handle; only send uses it
	rejects  *rejectFile
	products map[string]int
	variants int
	rejected int
	kept     int    // products that Replace did not replace
	doubts   doubts // whose rows were rejected
	again    again
}

type shopLookup struct {
	once   sync.Once
	handle string
	err    error
}

func (im *importer) run(ctx context.Context) error {
	file, err := os.Open(im.path)
	if err != nil {
		return &FileError{fmt.Errorf("%s can't be read: %w", im.path, errors.Unwrap(err))}
	}
	defer func() { _ = file.Close() }() // the file is only read
	if file, err = seekable(file); err != nil {
		return &FileError{fmt.Errorf("%s can't be read: %w", im.path, err)}
	}
	defer func() { _ = file.Close() }() // the same
	reader, err := im.read(file)
	if err != nil {
		return err
	}
	if im.oneShop != "" {
		shop, err := im.getShop(ctx, im.oneShop)
		if errs.Is(err, errs.NotFound) {
			return errs.New(errs.NotFound, "there is no shop %q", im.oneShop)
		}
		if err != nil {
			return err
		}
		im.oneShop = shop.GetHandle()
	}
	if info, err := file.Stat(); err == nil {
		im.progress.total = info.Size()
	}
	im.products = map[string]int{}
	im.rejects = &rejectFile{path: rejectedPath(im.path), header: reader.Header(), separator: reader.Separator()}
	if im.replace {
		reader, err = im.findDoubts(ctx, reader, file)
	}
	if err == nil {
		err = im.stream(ctx, reader)
	}
	if err == nil {
		err = im.postAgain(ctx)
	}
	im.progress.clear()
	if err != nil {
		err = im.brokenOff(ctx, err)
	}
	if err := errors.Join(err, im.rejects.close(), im.categories.save()); err != nil {
		return err
	}
	notes := reader.Notes()
	if note := im.categories.note(); note != "" {
		notes = append(notes, note)
	}
	if im.kept > 0 {
		notes = append(
			notes,
			fmt.Sprintf("%d products keep what the file does not have: rejected rows are, or may be, theirs",
				im.kept),
		)
	}
	for _, note := range notes {
		fmt.Fprintf(im.out, "note: %s\n", note)
	}
	im.summarize("")
	if im.rejected > 0 {
		return fmt.Errorf("%d rows were rejected: see %s", im.rejected, im.rejects.path)
	}
	return nil
}

// read returns a reader of the file, from its beginning.
func (im *importer) read(file *os.File) (*productcsv.Reader, error) {
	var options []productcsv.Option
	if im.oneShop != "" {
		options = append(options, productcsv.OneShop())
	}
	_, err := file.Seek(0, io.SeekStart)
	var reader *productcsv.Reader
	if err == nil {
		reader, err = productcsv.NewReader(file, im.currency, options...)
	}
	if err != nil {
		return nil, &FileError{fmt.Errorf("%s: %s", im.path, errs.From(err).Message)}
	}
	return reader, nil
}

// seekable returns the file, or a temporary copy of what can be read only once, such as a pipe. The copy is gone when
// it is closed.
func seekable(file *os.File) (*os.File, error) {
	if info, err := file.Stat(); err != nil || info.Mode().IsRegular() || info.IsDir() {
		return file, err
	}
	tmp, err := os.CreateTemp("", "souk-import-*.csv")
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(tmp, file)
	if err == nil {
		_, err = tmp.Seek(0, io.SeekStart)
	}
	if err = errors.Join(err, os.Remove(tmp.Name())); err != nil {
		return nil, errors.Join(err, tmp.Close())
	}
	return tmp, nil
}

func (im *importer) summarize(how string) {
	fmt.Fprintf(im.out, "%simported %d products (%d variants), updated %d, unchanged %d, rejected %d\n",
		how, im.products["created"], im.variants, im.products["updated"], im.products["unchanged"], im.rejected)
}

// brokenOff prints what was imported before err and returns an error that says how to continue.
func (im *importer) brokenOff(ctx context.Context, err error) error {
	why := explain.Error(err)
	switch {
	case ctx.Err() != nil:
		why = "interrupted"
	case len(im.products) == 0:
		return err
	}
	im.summarize("so far: ")
	return errs.Wrap(err, errs.Unavailable,
		"%s; run the same command again to import the rest: what is there already stays as it is", why)
}

// stream sends the file's products in batches. One request is in flight, as the server allows, while the next batch is
// read. Memory does not grow with the file's size.
func (im *importer) stream(ctx context.Context, reader *productcsv.Reader) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(1)
	var batch []*productcsv.Product
	size := 0
	send := func() {
		if len(batch) == 0 {
			return
		}
		b := batch
		batch, size = nil, 0
		group.Go(func() error { return im.send(gctx, b) })
	}
	for gctx.Err() == nil {
		p, refused, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		if err := im.reject(refused...); err != nil {
			return errors.Join(err, group.Wait())
		}
		if p != nil {
			n := productBytes(p)
			if size+n > importBytes {
				send()
			}
			batch = append(batch, p)
			size += n
			if len(batch) == importBatch {
				send()
			}
		}
		im.progress.show(reader.BytesRead())
	}
	send()
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err() // an interrupt between two batches ends the loop before the end of the file
}

// productBytes estimates a product's size in a request. The server bounds the request's size.
func productBytes(p *productcsv.Product) int {
	n := 512 + len(p.GetTitle()) + 2*len(p.GetDescription())
	for _, v := range p.GetVariants() {
		n += 256 + 2*len(v.GetSku())
		for name, value := range v.GetFurtherColumns() {
			n += 8 + len(name) + 2*len(value)
		}
	}
	for _, im := range p.GetImages() {
		n += 64 + len(im.GetUrl())
	}
	return n
}

// send imports a batch. It rejects products whose shop can't be found, and those that the file has already.
func (im *importer) send(ctx context.Context, batch []*productcsv.Product) error {
	var known []*productcsv.Product
	for _, p := range batch {
		handle, err := im.shop(ctx, p.Vendor)
		if err != nil {
			if !vendorsFault(err) {
				return fmt.Errorf("the shop %q: %w", p.Vendor, err)
			}
			if err := im.rejectProduct(p, errs.From(err).Message); err != nil {
				return err
			}
			continue
		}
		p.Shop = handle
		p.CategoryPath = im.categories.apply(p.FileCategory)
		p.Partial = p.Partial || im.doubts.about(p.GetHandle())
		if line, twice := im.first(p); twice {
			reason := fmt.Sprintf("its product stands in line %d, too, where the shop is written in another way", line)
			if err := im.rejectProduct(p, reason); err != nil {
				return err
			}
			continue
		}
		known = append(known, p)
	}
	return im.post(ctx, known)
}

// first returns the line in which the file had p's shop and handle first, and whether p is a repetition of it. The
// reader has joined the rows with one Vendor, but several may name one shop.
func (im *importer) first(p *productcsv.Product) (line int, twice bool) {
	key := maphash.String(im.seed, p.GetShop()+"\x00"+p.GetHandle())
	if line, twice = im.lines[key]; !twice {
		im.lines[key] = p.Rows[0].Line
	}
	return line, twice
}

// post sends products in a request.
func (im *importer) post(ctx context.Context, sent []*productcsv.Product) error {
	if len(sent) == 0 {
		return nil
	}
	req := &productv1.ImportProductsRequest{Replace: im.replace}
	for _, p := range sent {
		req.Products = append(req.Products, p.ImportedProduct)
	}
	var res productv1.ImportProductsResponse
	err := im.client.Call(ctx, http.MethodPost, "/v1/products:import", req, &res)
	switch {
	case errs.Is(err, errs.TooLarge), errs.Is(err, errs.Invalid):
		// One bad product fails the whole request. Halve the batch until it is found.
		if len(sent) == 1 {
			return im.rejectProduct(sent[0], errs.From(err).Message)
		}
		half := len(sent) / 2
		return errors.Join(im.post(ctx, sent[:half]), im.post(ctx, sent[half:]))
	case err != nil:
		return fmt.Errorf("import: %w", err)
	case len(res.GetResults()) != len(sent):
		return fmt.Errorf("import: sent %d products, got %d results", len(sent), len(res.GetResults()))
	}
	for i, r := range res.GetResults() {
		if r.GetOutcome() == "rejected" {
			if im.replace && im.again.add(sent[i]) {
				continue
			}
			if err := im.rejectProduct(sent[i], r.GetReason()); err != nil {
				return err
			}
			continue
		}
		if len(r.GetUnknownCategory()) > 0 {
			im.categories.addUnknown(sent[i].FileCategory)
		}
		im.mu.Lock()
		im.products[r.GetOutcome()]++
		if im.replace && sent[i].GetPartial() && r.GetOutcome() != "created" {
			im.kept++
		}
		if r.GetOutcome() == "created" {
			im.variants += len(sent[i].GetVariants())
		}
		im.mu.Unlock()
	}
	return nil
}

// vendorsFault reports whether an error concerns one vendor's shop alone. Then the other vendors' products are still
// imported.
func vendorsFault(err error) bool {
	switch errs.CodeOf(err) {
	case errs.NotFound, errs.Invalid, errs.Forbidden, errs.Conflict, errs.Unprocessable, errs.CardNumberRefused:
		return true
	}
	return false
}

// shop returns the handle of a vendor's shop, or that of the shop of all products. It looks each vendor up once.
func (im *importer) shop(ctx context.Context, vendor string) (string, error) {
	if im.oneShop != "" {
		return im.oneShop, nil
	}
	im.mu.Lock()
	l := im.shops[vendor]
	if l == nil {
		l = &shopLookup{}
		im.shops[vendor] = l
	}
	im.mu.Unlock()
	l.once.Do(func() { l.handle, l.err = im.findShop(ctx, vendor) })
	return l.handle, l.err
}

func (im *importer) rejectProduct(p *productcsv.Product, reason string) error {
	refused := make([]productcsv.Rejection, 0, len(p.Rows))
	for _, row := range p.Rows {
		refused = append(refused, productcsv.Rejection{Row: row, Reason: reason})
	}
	return im.reject(refused...)
}

func (im *importer) reject(rows ...productcsv.Rejection) error {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.rejected += len(rows)
	return im.rejects.write(rows)
}

// progress shows a bar on a terminal, and nothing elsewhere.
type progress struct {
	w     io.Writer
	total int64
	last  time.Time
	on    bool
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{}
	}
	info, err := f.Stat()
	return &progress{w: w, on: err == nil && info.Mode()&os.ModeCharDevice != 0}
}

func (p *progress) show(done int64) {
	if !p.on || p.total == 0 || time.Since(p.last) < 100*time.Millisecond {
		return
	}
	p.last = time.Now()
	const width = 40
	filled := int(min(done, p.total) * width / p.total)
	bar := make([]byte, width)
	for i := range bar {
		bar[i] = '.'
		if i < filled {
			bar[i] = '#'
		}
	}
	fmt.Fprintf(p.w, "\r[%s] %3d %%", bar, min(done, p.total)*100/p.total)
}

func (p *progress) clear() {
	if p.on {
		fmt.Fprint(p.w, "\r\033[K")
	}
}
