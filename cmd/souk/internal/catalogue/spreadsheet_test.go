package catalogue

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFileOfASpreadsheetIsReadAndSaidSo(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	path := filepath.Join(t.TempDir(), "f.csv")
	rows := "sep=;\r\nHandle;Title;Vendor;SKU;Price\r\na;Caf\xe9;Casa;A;1.299,90\r\nb;P\xe3o;Casa;B;1,299\r\n"
	require.NoError(t, os.WriteFile(path, []byte(rows), 0o600))
	out, err := f.importFile(t, path)
	require.ErrorContains(t, err, "1 rows were rejected")
	require.Equal(t, "note: the file is not UTF-8: it was read as Windows-1252\n"+
		"note: the fields are separated by a semicolon\n"+
		"imported 1 products (1 variants), updated 0, unchanged 0, rejected 1\n", out)
	require.Equal(t, "Café", f.products["casa/a"].GetTitle())
	require.Equal(t, "1299.90", f.products["casa/a"].GetVariants()[0].GetPrice().GetAmount())
	raw, err := os.ReadFile(rejectedPath(path))
	require.NoError(t, err)
	require.Equal(t, "Line;Reason;Handle;Title;Vendor;SKU;Price\n"+
		"4;\"Price \"\"1,299\"\" is not an amount of BRL\";b;Pão;Casa;B;1,299\n", string(raw))
}

func TestRejectedRowsHoldNoFormula(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	path := csvFile(t, "a,=1+1,Casa,'=A,free\nb,A,Casa,@B\n")
	_, err := f.importFile(t, path)
	require.ErrorContains(t, err, "2 rows were rejected")
	require.Equal(t, [][]string{
		{"2", `Variant Price "free" is not an amount of BRL`, "a", "'=1+1", "Casa", "'=A", "free"},
		{"3", "has 4 fields where the header has 5", "b", "A", "Casa", "'@B"},
	}, rejectedRows(t, path))
}
