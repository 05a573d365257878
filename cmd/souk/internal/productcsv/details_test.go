package productcsv_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/productcsv"
)

func TestDetailsAreReadFromBothHeaders(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		"Handle,Title,Vendor,Type,Option1 Name,Option1 Value,Option2 Name,Option2 Value,Variant SKU,Variant Grams,Variant Price," +
			"Variant Barcode,Cost per item,Variant Image,SEO Title,SEO Description,Gift Card,Variant Taxable\n",
		"URL handle,Title,Vendor,Type,Option1 name,Option1 value,Option2 name,Option2 value,SKU,Weight value (grams),Price," +
			"Barcode,Cost per item,Variant image URL,SEO title,SEO description,Gift Card,Variant Taxable\n",
	} {
		r, err := productcsv.NewReader(strings.NewReader(head+
			"tee,Tee,Nike,Shirts,Size,S,Colour,red,T-S,453.592,10,7891000100103,4.20,https://i/s,\" T \",Buy,false,true\n"+
			"tee,,,,,M,,red,T-M,0,11,,0.00,,,,,\n"), "BRL", productcsv.OneShop())
		require.NoError(t, err)
		p, rejected, err := r.Next()
		require.NoError(t, err)
		require.Empty(t, rejected)
		require.Equal(t, "Nike", p.GetBrand())
		require.Equal(t, "Shirts", p.GetProductType())
		require.Equal(t, []string{"Shirts"}, p.GetCategoryPath())
		require.Equal(t, " T ", p.GetSeoTitle())
		require.Equal(t, "Buy", p.GetSeoDescription())
		require.Equal(t, []string{"Size", "Colour"}, p.GetOptionNames())
		small, medium := p.GetVariants()[0], p.GetVariants()[1]
		require.InDelta(t, 453.592, small.GetWeightGrams(), 0)
		require.Equal(t, "7891000100103", small.GetBarcode())
		require.Equal(t, "4.20", small.GetCost().GetAmount())
		require.Equal(t, "https://i/s", small.GetImageUrl())
		require.Equal(t, map[string]string{"Gift Card": "false", "Variant Taxable": "true"}, small.GetFurtherColumns())
		require.Nil(t, medium.Barcode)
		require.NotNil(t, medium.WeightGrams)
		require.Equal(t, "0.00", medium.GetCost().GetAmount())
		require.Empty(t, medium.GetFurtherColumns())
		require.Empty(t, r.Notes())
	}
}

// A file that lacks a column says nothing about it. Neither does an empty cell.
func TestColumnsThatTheFileLacksAndEmptyCellsStayUnset(t *testing.T) {
	t.Parallel()
	const further = ",Brand,Type,SEO Title,SEO Description,Variant Barcode,Variant Image,Variant Grams,Cost per item," +
		"Variant Compare At Price,Variant Inventory Qty,Status,Published,Season"
	for _, file := range []string{
		"Handle,Title,Vendor,Variant Price\na,A,Casa,1\n",
		"Handle,Title,Vendor,Variant Price" + further + "\na,A,Casa,1" + strings.Repeat(",", 13) + "\n",
		"Handle,Title,Vendor,Variant Price" + further + "\na,A,Casa,1" + strings.Repeat(", ", 12) + ",\n",
	} {
		products, rejected := readAll(t, file)
		require.Empty(t, rejected)
		p, v := products[0], products[0].GetVariants()[0]
		require.Nil(t, p.Brand)
		require.Nil(t, p.ProductType)
		require.Nil(t, p.SeoTitle)
		require.Nil(t, p.SeoDescription)
		require.Empty(t, p.GetStatus())
		require.Nil(t, v.Barcode)
		require.Nil(t, v.ImageUrl)
		require.Nil(t, v.WeightGrams)
		require.Nil(t, v.GetCost())
		require.Nil(t, v.GetCompareAtPrice())
		require.Nil(t, v.OnHand)
		require.Empty(t, p.GetFurtherColumnNames())
		require.Empty(t, v.GetFurtherColumns())
	}
}

// In a file of all shops the Vendor is the shop, so it is no brand if it is read into one shop.
func TestEmptyBrandIsNotTheVendor(t *testing.T) {
	t.Parallel()
	r, err := productcsv.NewReader(strings.NewReader("Handle,Title,Vendor,Brand,Variant Price\na,A,casa,,1\n"), "BRL",
		productcsv.OneShop())
	require.NoError(t, err)
	p, _, err := r.Next()
	require.NoError(t, err)
	require.Nil(t, p.Brand)
}

func TestDetailsThatCannotBeReadRejectTheirRow(t *testing.T) {
	t.Parallel()
	_, rejected := readAll(t, "Handle,Title,Vendor,Variant Price,Variant Grams,Cost per item\n"+
		"a,A,V,1,heavy,\nb,B,V,1,-1,\nc,C,V,1,NaN,\nd,D,V,1,,cheap\n")
	require.Equal(t, []string{
		`2: Variant Grams "heavy" is not a number from 0 to 1000000000`,
		`3: Variant Grams "-1" is not a number from 0 to 1000000000`,
		`4: Variant Grams "NaN" is not a number from 0 to 1000000000`,
		`5: Cost per item "cheap" is not an amount of BRL`,
	}, rejected)
}

func TestUncategorizedIsNoCategory(t *testing.T) {
	t.Parallel()
	products, _ := readAll(t, "Handle,Title,Vendor,Variant Price,Product Category,Type\n"+
		"a,A,V,1,Uncategorized,Shirts\nb,B,V,1,,Shirts\n")
	require.Empty(t, products[0].GetCategoryPath())
	require.Equal(t, []string{"Shirts"}, products[1].GetCategoryPath())
}

func TestColumnsThatAreNotKeptAreNamedOnce(t *testing.T) {
	t.Parallel()
	var head, row strings.Builder
	for i := range 102 {
		fmt.Fprintf(&head, ",Extra %d", i)
		fmt.Fprintf(&row, ",%d", i)
	}
	r, err := productcsv.NewReader(strings.NewReader("Line,Reason,Handle,Title,Vendor,Variant Price,Image Src,,"+
		strings.Repeat("x", 300)+head.String()+"\n"+
		"2,bad,a,A,V,1,,n,x"+row.String()+"\n"+
		"2,bad,b,B,V,1,,n,x"+strings.Replace(row.String(), "7", strings.Repeat("7", 300<<10), 1)+"\n"+
		"3,bad,b,,,,https://i/1,,"+strings.Repeat(",", 4)+"only here"+strings.Repeat(",", 98)+"\n"), "BRL")
	require.NoError(t, err)
	for range 2 {
		p, rejected, err := r.Next()
		require.NoError(t, err)
		require.Empty(t, rejected)
		require.Equal(t, "0", p.GetVariants()[0].GetFurtherColumns()["Extra 0"])
	}
	require.Equal(t, []string{
		"not kept, or not everywhere: a column without a name, " + strings.Repeat(
			"x",
			300,
		) + ", Extra 100, Extra 101, Extra 7, Extra 3",
	}, r.Notes())
}
