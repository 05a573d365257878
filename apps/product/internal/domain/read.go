package domain

import (
	"time"

	"souk/pkg/money"
)

// Document is a product, encoded as the response that callers get.
type Document struct {
	// Visible reports whether any caller may see it.
	Visible bool
	ShopID  string
	Bytes   []byte // souk.product.v1.Product
}

// StockedDocument is an encoded product and its variants with their stock.
type StockedDocument struct {
	ID       string
	Bytes    []byte // souk.product.v1.Product
	Variants []Variant
}

// Exported is a product with the names of its shop and category.
type Exported struct {
	Product
	ShopHandle   string
	CategoryPath []string
}

// Offer is what the catalogue says about a variant to a cart or checkout.
type Offer struct {
	Variant
	ProductID, ShopID, ShopName, Title, ImageURL string
	// Pieces is how many pieces can be reserved.
	Pieces  int64
	ForSale bool
}

// Found is a page of products.
type Found struct {
	Documents [][]byte // souk.product.v1.Product
	// Next is where the next page begins; nil on the last page.
	Next   *Position
	Facets *Facets
	// Stage names the stage of the search that found the documents; "" if it found nothing.
	Stage string
}

// Rating is what the reviews of a product add up to.
type Rating struct {
	ProductID string
	Average   float64
	Count     int32
	Version   int64
}

// Facets count the matches of a search.
type Facets struct {
	Total             int64
	Categories, Shops []Count
	Prices            []PriceCount
	Options           []OptionCounts
	Ratings           []RatingCount // the best first
}

// RatingCount is the number of matches whose reviews have at least a mean.
type RatingCount struct {
	Min   int32
	Count int64
}

// Count is the number of matches in one category or shop.
type Count struct {
	ID, Name string
	Count    int64
}

// OptionCounts are the numbers of matches by the values of one option.
type OptionCounts struct {
	Name   string
	Values []Count // without IDs
}

// PriceCount is the number of matches that cost at least From and less than To. A zero To is no bound.
type PriceCount struct {
	From, To money.Money
	Count    int64
}

// Kind is what an operation does to a reservation.
type Kind int

// The kinds of operations.
const (
	Reserve Kind = iota
	Release
	Commit
	Restock
	Expire
)

// Operation is one change of an order's reservation.
type Operation struct {
	Kind    Kind
	OrderID string
	// Lines, Hash and TTL are set for Reserve: the merged lines, their hash, and how long they are held.
	Lines []Line
	Hash  []byte
	TTL   time.Duration
	// VariantIDs are the variants to restock; empty means all lines that are left.
	VariantIDs []string
}
