package catalogue

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"souk/cmd/souk/internal/api"
	"souk/cmd/souk/internal/explain"
)

// export exports to a file and returns what Export prints on standard output.
func (f *fakeAPI) export(ctx context.Context, token, path string) (out string, err error) {
	var b bytes.Buffer
	err = Export(ctx, api.New(f.url, token), "", path, &b, io.Discard)
	return b.String(), err
}

func TestExportThenImportChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	file := csvFile(t, "a,\"A \"\"quoted\"\"\nand broken\",Casa,A,1\na,,,A2,2.50\nb,B,Loja Ω,B,3\nc,C,Casa,C,4\n")
	_, err := f.importFile(t, file, createShops)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "export.csv")
	out, err := f.export(t.Context(), "good", path)
	require.NoError(t, err)
	require.Equal(t, "exported 3 products\n", out)

	for _, p := range f.products { // the export writes the pieces on hand, which the imported file did not set
		for _, v := range p.GetVariants() {
			v.OnHand = proto.Int64(0)
		}
	}
	out, err = f.importFile(t, path)
	require.NoError(t, err)
	require.Equal(t, "imported 0 products (0 variants), updated 0, unchanged 3, rejected 0\n", out)
}

// A seller imports his own file, whose Vendors are brands, and gets the same back.
func TestExportOfOneShopHasTheBrandAsVendor(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa", "loja")
	dir := t.TempDir()
	path, other, own := filepath.Join(dir, "in.csv"), filepath.Join(dir, "other.csv"), filepath.Join(dir, "own.csv")
	header := "Handle,Title,Vendor,Variant SKU,Variant Price,Variant Inventory Qty\n"
	require.NoError(t, os.WriteFile(path, []byte(header+"a,A,Nike,A,1,0\nb,B,,B,1,0\n"), 0o600))
	require.NoError(t, os.WriteFile(other, []byte(header+"c,C,loja,C,1,0\n"), 0o600))
	intoCasa := func(o *ImportOptions) { o.Shop = "casa" }
	_, err := f.importFile(t, path, intoCasa)
	require.NoError(t, err)
	require.Equal(t, "Nike", f.products["casa/a"].GetBrand())
	_, err = f.importFile(t, other)
	require.NoError(t, err)

	var out bytes.Buffer
	require.NoError(t, Export(t.Context(), api.New(f.url, "good"), "casa", own, &out, io.Discard))
	require.Equal(t, "exported 2 products\n", out.String())
	raw, err := os.ReadFile(own)
	require.NoError(t, err)
	require.Contains(t, string(raw), "\na,A,,Nike,Nike,")
	summary, err := f.importFile(t, own, intoCasa)
	require.NoError(t, err)
	require.Equal(t, "imported 0 products (0 variants), updated 0, unchanged 2, rejected 0\n", summary)
}

// Each product of the file may have other further columns. The header names them all.
func TestFurtherColumnsOfAllProductsAreExported(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	dir := t.TempDir()
	for i, file := range []string{
		"Handle,Title,Vendor,Variant Price,Season,Cost per item\na,A,casa,1,Winter,0.50\n",
		"Handle,Title,Vendor,Variant Price,season,=1+1\nb,B,casa,1,Summer,x\nc,C,casa,1,,y\n",
	} {
		path := filepath.Join(dir, fmt.Sprint(i, ".csv"))
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
		_, err := f.importFile(t, path)
		require.NoError(t, err)
	}
	path := filepath.Join(dir, "export.csv")
	_, err := f.export(t.Context(), "good", path)
	require.NoError(t, err)
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	require.NoError(t, err)
	n := len(rows[0])
	require.Equal(t, [][]string{{"Season", "'=1+1"}, {"Winter", ""}, {"Summer", "x"}, {"", "y"}},
		[][]string{rows[0][n-2:], rows[1][n-2:], rows[2][n-2:], rows[3][n-2:]})
	require.Contains(t, rows[1], "0.50")
}

func TestFailedExportLeavesTheFileUnchanged(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	_, err := f.importFile(t, csvFile(t, "a,A,Casa,A,1\nb,B,Casa,B,3\nc,C,Casa,C,4\n"), createShops)
	require.NoError(t, err)
	dir := t.TempDir()
	path := filepath.Join(dir, "keep.csv")
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.onExport = cancel
	for want, run := range map[string]func() error{
		"the token is not valid": func() error {
			_, err := f.export(t.Context(), "bad", path)
			return err
		},
		"interrupted": func() error {
			_, err := f.export(ctx, "good", path)
			return err
		},
	} {
		require.Contains(t, explain.Error(run()), want)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, "precious", string(raw))
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1)
	}
}

func TestExportWritesThroughLinksAndToStandardOutput(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	_, err := f.importFile(t, csvFile(t, "a,A,Casa,A,1\n"), createShops)
	require.NoError(t, err)
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file.csv"), filepath.Join(dir, "link.csv")
	require.NoError(t, os.WriteFile(file, []byte("old"), 0o600))
	require.NoError(t, os.Symlink(file, link))
	export := func(path string) string {
		out, err := f.export(t.Context(), "good", path)
		require.NoError(t, err)
		return out
	}
	require.Equal(t, "exported 1 products\n", export(link))
	require.Equal(t, "exported 1 products\n", export(os.DevNull))
	info, err := os.Stat(os.DevNull)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeDevice)
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(raw), export("-"))
	require.Contains(t, string(raw), "a,A,,casa,")
}
