package catalogue

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A rejected row may be of a product whose other rows are good, although it does not name it, or not in the same way.
func TestReplaceKeepsProductsThatRejectedRowsMayBelongTo(t *testing.T) {
	t.Parallel()
	for row, want := range map[string]string{
		"r,,,R-M,2\n":                 "",
		"q,Q,Casa,Q,1\n":              "",
		"q,Q,Casa,R-M,free\n":         "r", // stands within r
		"q,Q,Other,R-M,2\n":           "r",
		"r,,,R-M,free\n":              "r",
		"R,R,Casa,R-M,free\n":         "r",
		"r,R,Other,R-M,2\n":           "r", // there is no such shop
		"r,R,CASA,R-M,2\n":            "r",
		",,,R-M,2\n":                  "or",
		"R,,,R-M,2\n":                 "or",
		"x,,Casa,R-M,2\n":             "or",
		"r,R-M,2\n":                   "or",
		"r,,Other,R-M,2\nr,,,R-L,3\n": "or",
	} {
		f := newFakeAPI(t, "casa")
		for _, replace := range []bool{false, true} {
			rows := "r,R,Casa,R-S,1\n" + row + "r,R,Casa,R-X,4\no,O,Casa,O,1\n"
			out, _ := f.importFile(t, csvFile(t, rows), func(o *ImportOptions) { o.Replace = replace })
			if !replace {
				continue
			}
			partial := ""
			for _, key := range []string{"casa/o", "casa/r"} {
				if f.products[key].GetPartial() {
					partial += strings.TrimPrefix(key, "casa/")
				}
			}
			require.Equal(t, want, partial, row)
			if want == "" {
				require.NotContains(t, out, "keep what", row)
			} else {
				require.Contains(t, out, fmt.Sprintf("note: %d products keep what the file does not have: "+
					"rejected rows are, or may be, theirs\n", len(want)), row)
			}
		}
	}
}
