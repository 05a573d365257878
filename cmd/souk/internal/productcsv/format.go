// Package productcsv reads and writes products as Shopify's product CSV.
//
// A product is one or more rows with the same Handle. The first row holds the product's fields and its first variant;
// the others hold further variants and images. A reader holds one product at a time, so memory does not grow with the
// file's size. It holds only the rows of products that do not stand together, because the file was sorted, and a few
// bytes of each product to know them.
package productcsv

// The columns of the format, by the names that Shopify gave them first. The Writer writes these names, and the Reader
// also knows the present ones.
const (
	colHandle    = "Handle"
	colTitle     = "Title"
	colBody      = "Body (HTML)"
	colVendor    = "Vendor"
	colCategory  = "Product Category"
	colType      = "Type"
	colTags      = "Tags"
	colPublished = "Published"
	colSKU       = "Variant SKU"
	colQty       = "Variant Inventory Qty"
	colPrice     = "Variant Price"
	colCompareAt = "Variant Compare At Price"
	colWeight    = "Variant Grams"
	colBarcode   = "Variant Barcode"
	colCost      = "Cost per item"
	colImage     = "Image Src"
	colImagePos  = "Image Position"
	colImageAlt  = "Image Alt Text"
	colVarImage  = "Variant Image"
	colSEOTitle  = "SEO Title"
	colSEOText   = "SEO Description"
	colStatus    = "Status"
)

// Columns of souk's own, which Shopify's format does not have. Both are optional.
const (
	colCurrency = "Currency"
	colBrand    = "Brand" // the Vendor is the brand in a file for one shop, and the shop in others
)

// uncategorized is the category of a product without one.
const uncategorized = "Uncategorized"

var optionColumns = [3][2]string{
	{"Option1 Name", "Option1 Value"}, {"Option2 Name", "Option2 Value"}, {"Option3 Name", "Option3 Value"},
}

// productColumns are the columns of a product, which stand in its first row. [optionColumns] has further ones.
var productColumns = []string{
	colTitle,
	colBody,
	colVendor,
	colBrand,
	colCategory,
	colType,
	colTags,
	colPublished,
	colStatus,
	colSEOTitle,
	colSEOText,
}

// presentNames are the names that Shopify's files have today, where more than the case differs.
var presentNames = map[string]string{
	colHandle:    "URL handle",
	colBody:      "Description",
	colPublished: "Published on online store",
	colSKU:       "SKU",
	colQty:       "Inventory quantity",
	colPrice:     "Price",
	colCompareAt: "Compare-at price",
	colWeight:    "Weight value (grams)",
	colBarcode:   "Barcode",
	colImage:     "Product image URL",
	colVarImage:  "Variant image URL",
}

// required are the columns that every product CSV must have. A file that is read into one shop needs no Vendor.
var required = []string{colHandle, colTitle, colVendor, colPrice}

// written is the header that Writer writes: all columns of the format. Further ones follow.
var written = []string{
	colHandle, colTitle, colBody, colVendor, colBrand, colCategory, colType, colTags, colPublished,
	"Option1 Name", "Option1 Value", "Option2 Name", "Option2 Value", "Option3 Name", "Option3 Value",
	colSKU, colWeight, colQty, colPrice, colCompareAt, colCurrency, colCost, colBarcode, colVarImage,
	colImage, colImagePos, colImageAlt, colSEOTitle, colSEOText, colStatus,
}

// rejectedColumns are the columns that souk writes before those of a rejected row. A reader skips them.
var rejectedColumns = []string{"Line", "Reason"}

// categorySeparator separates the levels of a category's path.
const categorySeparator = " > "
