package productcsv_test

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/productcsv"
	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
)

func TestCellsThatASpreadsheetWouldRunGetAnApostrophe(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		`=HYPERLINK("http://x","y")`: `'=HYPERLINK("http://x","y")`,
		"+1":                         "'+1",
		"-1+1":                       "'-1+1",
		"@SUM(1)":                    "'@SUM(1)",
		"\t=1":                       "'\t=1",
		"\rx":                        "'\rx",
		"  =1":                       "'  =1",
		"\u200b=1":                   "'\u200b=1",
		"\ufeff=1":                   "'\ufeff=1",
		"＝1":                         "'＝1",
		"'=1":                        "''=1",
		"''=1":                       "'''=1",
		" '=1":                       "' '=1",
		"'":                          "'",
		"'tis":                       "'tis",
		"a=1":                        "a=1",
		"1-2":                        "1-2",
		"":                           "",
	} {
		require.Equal(t, want, productcsv.Guard(cell), "%q", cell)
		require.Equal(t, cell, productcsv.Unguard(productcsv.Guard(cell)), "%q", cell)
	}
}

func TestExportHoldsNoFormula(t *testing.T) {
	t.Parallel()
	const evil = `=cmd|'/c calc'!A0`
	var file bytes.Buffer
	w, err := productcsv.NewWriter(&file)
	require.NoError(t, err)
	require.NoError(t, w.Write(&productv1.ImportedProduct{
		Shop: "s", Handle: evil, Title: evil, Description: evil, Tags: []string{evil}, CategoryPath: []string{evil},
		Images: []*productv1.Image{{Url: "https://i/1", Alt: evil}},
		Variants: []*productv1.VariantInput{
			{
				Sku:     evil,
				Options: map[string]string{evil: evil},
				Price:   &moneyv1.Money{CurrencyCode: "BRL", Amount: "1.00"},
			},
		},
	}))
	require.NoError(t, w.Flush())
	records, err := csv.NewReader(strings.NewReader(file.String())).ReadAll()
	require.NoError(t, err)
	require.Contains(t, records[1], "'"+evil)
	for _, cell := range records[1] {
		require.NotEqual(t, evil, cell)
	}
}
