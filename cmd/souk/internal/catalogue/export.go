package catalogue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"google.golang.org/protobuf/encoding/protodelim"

	"souk/cmd/souk/internal/api"
	"souk/cmd/souk/internal/productcsv"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
)

const exportPage = 200 // products of one request

// Export writes all products, or those of a shop if that is not "", to a file, and a summary to out. The file is
// replaced once all products are there. With - as the path, the products go to out, and the summary to summary.
func Export(ctx context.Context, client *api.Client, shop, path string, out, summary io.Writer) error {
	n := 0
	export := func(w io.Writer) (err error) {
		n, err = exportProducts(ctx, client, shop, w)
		return err
	}
	var err error
	if path == "-" {
		err = export(out)
	} else {
		summary = out
		err = replaceFile(path, export)
	}
	if err != nil && ctx.Err() != nil {
		return errs.Wrap(err, errs.Timeout, "interrupted: not all products were exported")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(summary, "exported %d products\n", n)
	return nil
}

// exportProducts writes products as CSV and returns their number. The header names the further columns of all
// products, so a temporary file holds the products until the last one has come.
func exportProducts(ctx context.Context, client *api.Client, shop string, out io.Writer) (n int, err error) {
	spool, err := os.CreateTemp("", "souk-export-*") // only its owner may read it
	if err != nil {
		return 0, fmt.Errorf("the products can't be kept until all are there: %w", err)
	}
	defer func() { err = errors.Join(err, spool.Close(), os.Remove(spool.Name())) }()
	var further productcsv.FurtherColumns
	if n, err = fetchProducts(ctx, client, shop, spool, &further); err != nil {
		return n, err
	}
	if _, err := spool.Seek(0, io.SeekStart); err != nil {
		return n, err
	}
	newWriter := productcsv.NewWriter
	if shop != "" {
		newWriter = productcsv.NewShopWriter
	}
	w, err := newWriter(out, further.Names()...)
	if err != nil {
		return n, err
	}
	in := bufio.NewReader(spool)
	for range n {
		var p productv1.ImportedProduct
		if err := protodelim.UnmarshalFrom(in, &p); err != nil {
			return n, err
		}
		if err := w.Write(&p); err != nil {
			return n, err
		}
	}
	return n, w.Flush()
}

// fetchProducts writes products to spool and adds their further columns to further. It returns their number.
func fetchProducts(
	ctx context.Context, client *api.Client, shop string, spool io.Writer, further *productcsv.FurtherColumns,
) (n int, err error) {
	path := "/v1/operator/products:export"
	if shop != "" {
		path = "/v1/shops/" + url.PathEscape(shop) + "/products:export"
	}
	out := bufio.NewWriter(spool)
	for token := ""; ; {
		var page productv1.ExportProductsResponse
		q := url.Values{"pageSize": {strconv.Itoa(exportPage)}, "pageToken": {token}}
		if err := client.Call(ctx, http.MethodGet, path+"?"+q.Encode(), nil, &page); err != nil {
			return n, fmt.Errorf("export: %w", err)
		}
		for _, p := range page.GetProducts() {
			further.Add(p)
			if _, err := protodelim.MarshalTo(out, p); err != nil {
				return n, err
			}
			n++
		}
		if token = page.GetNextPageToken(); token == "" {
			return n, out.Flush()
		}
	}
}

// replaceFile replaces the file at path by what write writes. It writes a new file beside the old one and renames it
// once it is complete, so that a failure leaves the old file unchanged. It writes directly to anything but a
// regular file, such as a pipe.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	mode := os.FileMode(0o666)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode()
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	name := path
	if mode.IsRegular() {
		name = fmt.Sprintf("%s.%d.new", path, os.Getpid())
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode.Perm()) //nolint:gosec // the user names it
	if err != nil {
		return fmt.Errorf("%s can't be written: %w", path, errors.Unwrap(err))
	}
	err = errors.Join(write(file), file.Close())
	if name == path {
		return err
	}
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
