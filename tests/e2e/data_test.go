package e2e

import (
	"encoding/csv"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// dataDir returns the folder of the real marketplace data, which is outside of the project. It skips the test if the
// folder is missing.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../shared/data")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(dir, "FACTS.json")); err != nil {
		t.Skip("the real marketplace data is not here (../shared/data): this test needs it")
	}
	return dir
}

// table reads a CSV file as rows by column name.
func table(t *testing.T, path ...string) []map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join(path...))
	require.NoError(t, err)
	defer func() { _ = f.Close() }() // the file is only read
	r := csv.NewReader(f)
	header, err := r.Read()
	require.NoError(t, err)
	var rows []map[string]string
	for {
		record, err := r.Read()
		if err == io.EOF {
			return rows
		}
		require.NoError(t, err)
		row := map[string]string{}
		for i, name := range header {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
}

// marketplace is made from real data, always in the same way:
//
//   - PriceRunner's merchants are the shops ("Merchant 3"). Its offers are the products (handle "offer-1234", SKU
//     "PR-1234", title and category unchanged). The data has no prices and no stock.
//   - 1,000 of Olist's orders with items are replayed, those of several sellers first, then by order ID. Each is one
//     checkout by its customer (customer_unique_id), who is signed in. One row of order_items is one piece.
//   - An article is a product of a seller at a price, because the same product was sold at different prices. Each
//     article becomes one offer. Each Olist seller becomes one merchant: sellers with the most articles choose first,
//     and choose the merchant with the most offers left. So the sellers of one order are different shops, as a rule.
//   - An article's offer has the article's price. Its stock is the pieces sold plus the offer's index modulo 20. The
//     other offers take the prices of Olist's items in order, and their stock is 1 plus the index modulo 50.
//
// Freight is not replayed: shipping is free.
type marketplace struct {
	offers []map[string]string // in the file's order
	prices []string            // by offer
	stock  []int               // by offer
	orders []replayOrder
	total  *big.Rat // of all orders
}

type replayOrder struct {
	id, customer string
	lines        map[int]int // offer to pieces
	total        *big.Rat
	sellers      int
}

type article struct{ product, seller, price string }

func buildMarketplace(t *testing.T, dir string) *marketplace {
	t.Helper()
	m := &marketplace{offers: table(t, dir, "pricerunner", "offers.csv"), total: new(big.Rat)}
	items := table(t, dir, "olist", "order_items.csv")
	byOrder := map[string][]article{}
	for _, it := range items {
		byOrder[it["order_id"]] = append(byOrder[it["order_id"]],
			article{it["product_id"], it["seller_id"], it["price"]})
	}
	customers := map[string]string{}
	for _, c := range table(t, dir, "olist", "customers.csv") {
		customers[c["customer_id"]] = c["customer_unique_id"]
	}
	var chosen []map[string]string
	for _, o := range table(t, dir, "olist", "orders.csv") {
		if len(byOrder[o["order_id"]]) > 0 {
			chosen = append(chosen, o)
		}
	}
	slices.SortFunc(chosen, func(a, b map[string]string) int { return compare(a["order_id"], b["order_id"]) })
	// Orders of several sellers come first. Otherwise the 1,000 orders would hold too few of them.
	slices.SortStableFunc(chosen, func(a, b map[string]string) int {
		return sellersOf(byOrder[b["order_id"]]) - sellersOf(byOrder[a["order_id"]])
	})
	chosen = chosen[:1000]

	offerOf := m.assign(chosen, byOrder)
	m.prices, m.stock = make([]string, len(m.offers)), make([]int, len(m.offers))
	for _, o := range chosen {
		r := replayOrder{
			id: o["order_id"], customer: customers[o["customer_id"]], lines: map[int]int{}, total: new(big.Rat),
			sellers: sellersOf(byOrder[o["order_id"]]),
		}
		for _, w := range byOrder[r.id] {
			i := offerOf[w]
			r.lines[i]++
			m.prices[i] = w.price
			m.stock[i]++
			r.total.Add(r.total, amount(t, w.price))
		}
		m.total.Add(m.total, r.total)
		m.orders = append(m.orders, r)
	}
	for i := range m.offers {
		if m.prices[i] != "" {
			m.stock[i] += i % 20
			continue
		}
		m.prices[i] = items[i%len(items)]["price"]
		m.stock[i] = 1 + i%50
	}
	return m
}

// assign returns the offer of each article in the orders.
func (m *marketplace) assign(orders []map[string]string, byOrder map[string][]article) map[article]int {
	free := map[string][]int{} // merchant to offers
	for i, o := range m.offers {
		free[o["merchant_id"]] = append(free[o["merchant_id"]], i)
	}
	bySeller := map[string][]article{}
	seen := map[article]bool{}
	for _, o := range orders {
		for _, w := range byOrder[o["order_id"]] {
			if !seen[w] {
				seen[w] = true
				bySeller[w.seller] = append(bySeller[w.seller], w)
			}
		}
	}
	sellers := make([]string, 0, len(bySeller))
	for s := range bySeller {
		sellers = append(sellers, s)
	}
	slices.SortFunc(sellers, func(a, b string) int {
		if d := len(bySeller[b]) - len(bySeller[a]); d != 0 {
			return d
		}
		return compare(a, b)
	})
	out := map[article]int{}
	for _, s := range sellers {
		best := ""
		for merchant, offers := range free {
			if best == "" || len(offers) > len(free[best]) || len(offers) == len(free[best]) && merchant < best {
				best = merchant
			}
		}
		for _, w := range bySeller[s] {
			out[w] = free[best][0]
			free[best] = free[best][1:]
		}
	}
	return out
}

func sellersOf(articles []article) int {
	set := map[string]bool{}
	for _, w := range articles {
		set[w.seller] = true
	}
	return len(set)
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

func amount(t testing.TB, s string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(s)
	require.True(t, ok, s)
	return r
}

// writeCSV writes the marketplace as a product CSV.
func (m *marketplace) writeCSV(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	w := csv.NewWriter(f)
	require.NoError(t, w.Write([]string{
		"Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Published", "Variant SKU",
		"Variant Inventory Qty", "Variant Price", "Status",
	}))
	for i, o := range m.offers {
		require.NoError(t, w.Write([]string{
			handleOf(o), o["title"], "", "Merchant " + o["merchant_id"], o["category"], "true",
			skuOf(o), strconv.Itoa(m.stock[i]), m.prices[i], "active",
		}))
	}
	w.Flush()
	require.NoError(t, w.Error())
	require.NoError(t, f.Close())
}

func handleOf(offer map[string]string) string { return "offer-" + offer["product_id"] }
func skuOf(offer map[string]string) string    { return "PR-" + offer["product_id"] }

func (m *marketplace) String() string {
	several := 0
	for _, o := range m.orders {
		if o.sellers > 1 {
			several++
		}
	}
	return fmt.Sprintf("%d offers, %d orders (%d of several sellers), %s BRL",
		len(m.offers), len(m.orders), several, m.total.FloatString(2))
}
