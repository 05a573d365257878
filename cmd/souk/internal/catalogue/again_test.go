package catalogue

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	productv1 "souk/gen/go/souk/product/v1"
)

// A variant may move to a product from one that is further down in the file, in a later request.
func TestReplaceTriesRejectedProductsAgain(t *testing.T) {
	t.Parallel()
	for _, replace := range []bool{false, true} {
		f := newFakeAPI(t, "casa")
		f.refuse = func(_ http.ResponseWriter, req *productv1.ImportProductsRequest) bool {
			for _, p := range req.GetProducts() {
				if p.GetHandle() == "to" && f.products["casa/from"] == nil || p.GetHandle() == "bad" {
					p.Title = "refuse " + p.GetTitle()
				}
			}
			return false
		}
		rows := strings.Builder{}
		rows.WriteString("to,To,Casa,K2,1\nbad,Bad,Casa,B,1\n")
		for i := range 120 {
			fmt.Fprintf(&rows, "p%d,P,Casa,P%d,1\n", i, i)
		}
		rows.WriteString("from,From,Casa,K1,1\n")
		path := csvFile(t, rows.String())
		out, err := f.importFile(t, path, func(o *ImportOptions) { o.Replace = replace })
		if !replace {
			require.ErrorContains(t, err, "2 rows were rejected")
			require.Equal(t, []int{100, 23}, f.batches)
			continue
		}
		require.ErrorContains(t, err, "1 rows were rejected")
		require.Equal(t, []int{100, 23, 2}, f.batches)
		require.Equal(t, "imported 122 products (122 variants), updated 0, unchanged 0, rejected 1\n", out)
		require.Equal(t, "bad", rejectedRows(t, path)[0][2])
		require.NotNil(t, f.products["casa/to"])
	}
}
