package catalogue

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
)

func TestRejectedRowsAreCorrectedAndImportedSeveralTimes(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	path := csvFile(t, "a,A,Casa,A-S,1\na,,,A-M,free\na,,,A-L,gratis\n")
	for _, step := range []struct{ wrong, right string }{{"free", "2"}, {"gratis", "3"}} {
		_, err := f.importFile(t, path)
		require.ErrorContains(t, err, "rejected")
		path = rejectedPath(path)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(raw, []byte(step.wrong), []byte(step.right)), 0o600))
	}
	_, err := f.importFile(t, path)
	require.NoError(t, err)
	p := f.products["casa/a"]
	require.Equal(t, "A", p.GetTitle())
	require.Equal(t, "A-L", p.GetVariants()[0].GetSku())
	require.Equal(t, "3.00", p.GetVariants()[0].GetPrice().GetAmount())
}

func TestReplaceConcernsOnlyCompleteProducts(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	replace := map[string]bool{}
	f.refuse = func(_ http.ResponseWriter, req *productv1.ImportProductsRequest) bool {
		for _, p := range req.GetProducts() {
			replace[p.GetHandle()] = req.GetReplace() && !p.GetPartial()
		}
		return false
	}
	path := csvFile(t, "a,A,Casa,A-S,1\na,,,A-M,2\nb,B,Casa,B-S,1\nb,,,B-M,free\n")
	_, err := f.importFile(t, path)
	require.Error(t, err)
	require.Equal(t, map[string]bool{"a": false, "b": false}, replace)
	_, err = f.importFile(t, path, func(o *ImportOptions) { o.Replace = true })
	require.Error(t, err)
	require.Equal(t, map[string]bool{"a": true, "b": false}, replace)
}

func TestProductThatTwoVendorsOfOneShopHaveIsImportedOnce(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	var rows strings.Builder
	rows.WriteString("p,P,casa,S,1\n")
	for i := range 150 {
		fmt.Fprintf(&rows, "p%d,P,casa,S%d,1\n", i, i)
	}
	rows.WriteString("p,P,Casa,T,1\n")
	path := csvFile(t, rows.String())
	out, err := f.importFile(t, path)
	require.Error(t, err)
	require.Equal(t, "imported 151 products (151 variants), updated 0, unchanged 0, rejected 1\n", out)
	require.Equal(t, [][]string{
		{
			"153",
			"its product stands in line 2, too, where the shop is written in another way",
			"p",
			"P",
			"Casa",
			"T",
			"1",
		},
	}, rejectedRows(t, path))
}

// The rows that were accepted before are not in the file of rejected rows.
func TestRejectedRowsReplaceNothing(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	f.refuse = func(_ http.ResponseWriter, req *productv1.ImportProductsRequest) bool {
		for _, p := range req.GetProducts() {
			require.True(t, p.GetPartial())
		}
		return false
	}
	path := filepath.Join(t.TempDir(), "m.rejected.csv")
	require.NoError(t, os.WriteFile(path, []byte("Line,Reason,"+importHeader+"3,is bad,a,A,Casa,A-S,1\n"), 0o600))
	_, err := f.importFile(t, path, func(o *ImportOptions) { o.Replace = true })
	require.NoError(t, err)
}
