package domain

import (
	"time"

	"souk/pkg/money"
)

// Document is a product as it is answered.
type Document struct {
	// Visible: anybody may see it.
	Visible bool
	ShopID  string
	Bytes   []byte // souk.product.v1.Product
}

// StockedDocument is a product as it is answered, and its variants with their stock.
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

// Offer is a variant as it is bought.
type Offer struct {
	Variant
	ProductID, ShopID, ShopName, Title, ImageURL string
	// Pieces that can be reserved.
	Pieces  int64
	ForSale bool
}

// Found is a page of products.
type Found struct {
	Documents [][]byte // souk.product.v1.Product
	// Next is where the next page begins; nil: there is none.
	Next   *Position
	Facets *Facets
}

// Facets count the matches of a search.
type Facets struct {
	Total             int64
	Categories, Shops []Count
	Prices            []PriceCount
}

// Count is how many matches fall to one category or shop.
type Count struct {
	ID, Name string
	Count    int64
}

// PriceCount is how many matches cost from From up to, but not including, To (the zero Money: no bound).
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

// Operation is one order's wish about its reservation.
type Operation struct {
	Kind    Kind
	OrderID string
	// Lines, Hash and TTL are for Reserve: merged lines, their hash, how long they are held.
	Lines []Line
	Hash  []byte
	TTL   time.Duration
}
