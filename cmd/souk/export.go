package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/api"
	"souk/cmd/souk/internal/productcsv"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
)

const exportPage = 200 // products of one request

func exportCommand(dev *devFlags) *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Export products", Example: "  souk export products catalogue.csv"}
	var target apiFlags
	products := &cobra.Command{
		Use:   "products FILE.csv",
		Short: "Export all products in the form that import reads: importing the file changes nothing",
		Long: `Export all products in the form that import reads: importing the file changes nothing.

The file is replaced when all products are there; until then, and after a failure, it is as it was. With - as the file
the products go to standard output.`,
		Example: "  souk export products catalogue.csv\n  souk export products - | gzip > catalogue.csv.gz",
		Args:    oneArg("the CSV file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := target.client(cmd.Context(), dev)
			if err != nil {
				return err
			}
			n, summary := 0, cmd.OutOrStdout()
			export := func(w io.Writer) (err error) {
				n, err = exportProducts(cmd.Context(), client, w)
				return err
			}
			if args[0] == "-" {
				summary = cmd.ErrOrStderr()
				err = export(cmd.OutOrStdout())
			} else {
				err = replaceFile(args[0], export)
			}
			if err != nil && cmd.Context().Err() != nil {
				return errs.Wrap(err, errs.Timeout, "interrupted: not all products were exported")
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(summary, "exported %d products\n", n)
			return nil
		},
	}
	target.register(products)
	return group(cmd, products)
}

// exportProducts writes all products as CSV and returns their number.
func exportProducts(ctx context.Context, client *api.Client, out io.Writer) (n int, err error) {
	w, err := productcsv.NewWriter(out)
	if err != nil {
		return 0, err
	}
	for token := ""; ; {
		var page productv1.ExportProductsResponse
		q := url.Values{"pageSize": {strconv.Itoa(exportPage)}, "pageToken": {token}}
		if err := client.Call(ctx, http.MethodGet, "/v1/operator/products:export?"+q.Encode(), nil, &page); err != nil {
			return n, fmt.Errorf("export: %w", err)
		}
		for _, p := range page.GetProducts() {
			if err := w.Write(p); err != nil {
				return n, err
			}
			n++
		}
		if token = page.GetNextPageToken(); token == "" {
			return n, w.Flush()
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
