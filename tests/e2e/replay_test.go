package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"souk/pkg/waittest"
)

// TestRealOrdersAddUpToTheCent imports a marketplace that is made from real data, searches it, and replays a thousand
// real orders. Then every cent and every piece must be accounted for.
func TestRealOrdersAddUpToTheCent(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	m := buildMarketplace(t, dir)
	t.Log(m)
	s := start(t, "inprocess", nil)
	file := filepath.Join(t.TempDir(), "catalogue.csv")
	m.writeCSV(t, file)

	began := time.Now()
	out := s.must("import", "products", file, "--create-shops")
	t.Logf("%s in %s", strings.TrimSpace(out), time.Since(began).Round(time.Millisecond))
	n := len(m.offers)
	require.Equal(t, fmt.Sprintf("imported %d products (%d variants), updated 0, unchanged 0, rejected 0\n", n, n), out)

	variants := variantsBySKU(s)
	require.Len(t, variants, n)
	t.Run("search", func(t *testing.T) { searchQuality(t, s.in(t), dir) })

	replayed := replay(s, m, variants)
	require.Zero(t, m.total.Cmp(replayed), "ordered for %s, replayed for %s", m.total.FloatString(2),
		replayed.FloatString(2))
	waittest.Until(t, func() bool {
		return !strings.Contains(s.must("saga", "ls", "--state", "running"), "checkout")
	}, "a saga does not end")
	s.verify()

	exported := filepath.Join(t.TempDir(), "export.csv")
	s.must("export", "products", exported)
	left := map[string]string{}
	for _, row := range table(t, exported) {
		left[row["Variant SKU"]] = row["Variant Inventory Qty"]
	}
	sold := map[int]int{}
	for _, o := range m.orders {
		for i, q := range o.lines {
			sold[i] += q
		}
	}
	for i, o := range m.offers {
		require.Equal(t, strconv.Itoa(m.stock[i]-sold[i]), left[skuOf(o)], "stock of %s", skuOf(o))
	}
	out = s.must("import", "products", exported)
	require.Contains(t, out, fmt.Sprintf("unchanged %d, rejected 0", n), "export, then import: nothing changes")
}

// variantsBySKU pages through the catalogue and returns the variants' IDs.
func variantsBySKU(s *souk) map[string]string {
	s.t.Helper()
	out := map[string]string{}
	for token := ""; ; {
		var page productsJSON
		s.anonymous().
			get("/v1/products?pageSize=100&pageToken=" + url.QueryEscape(token)).
			want(http.StatusOK).
			into(&page)
		for _, p := range page.Products {
			for _, v := range p.Variants {
				_, twice := out[v.SKU]
				require.False(s.t, twice, "%s is twice in the pages", v.SKU)
				out[v.SKU] = v.ID
			}
		}
		if token = page.NextPageToken; token == "" {
			return out
		}
	}
}

// concurrentCustomers is how many customers order at the same time.
const concurrentCustomers = 32

// replay checks out all orders and returns the sum of their totals. It runs the orders of one customer one after the
// other, and concurrentCustomers customers at a time.
func replay(s *souk, m *marketplace, variants map[string]string) *big.Rat {
	s.t.Helper()
	began := time.Now()
	customers := signIn(s, m)
	s.t.Logf("%d customers signed in within %s", len(customers), time.Since(began).Round(time.Millisecond))
	began = time.Now()
	defer func() { s.t.Logf("%d orders in %s", len(m.orders), time.Since(began).Round(time.Millisecond)) }()
	var mu sync.Mutex
	sum := new(big.Rat)
	inParallel(concurrentCustomers, customers, func(c *customer) {
		total, err := c.replay(m, variants)
		mu.Lock()
		defer mu.Unlock()
		sum.Add(sum, total)
		if err != nil {
			s.t.Errorf("customer %s: %v", c.email, err)
		}
	})
	return sum
}

// customer is a signed-in user with the orders to replay.
type customer struct {
	*client
	email  string
	orders []replayOrder
}

// signIn gets a token for each customer of the orders.
func signIn(s *souk, m *marketplace) []*customer {
	s.t.Helper()
	var all []*customer
	byID := map[string]*customer{}
	for _, o := range m.orders {
		c := byID[o.customer]
		if c == nil {
			c = &customer{client: s.anonymous(), email: o.customer + "@olist.test"}
			byID[o.customer] = c
			all = append(all, c)
		}
		c.orders = append(c.orders, o)
	}
	a := s.access()
	inParallel(concurrentCustomers, all, func(c *customer) {
		var err error
		if c.token, err = a.token(c.email, "customer"); err != nil {
			s.t.Errorf("sign %s in: %v", c.email, err)
		}
	})
	return all
}

// inParallel calls do for all values, n at a time.
func inParallel[T any](n int, all []T, do func(T)) {
	var work errgroup.Group
	work.SetLimit(n)
	for _, v := range all {
		work.Go(func() error {
			do(v)
			return nil
		})
	}
	_ = work.Wait() // no call returns an error
}

// replay checks out the customer's orders and returns the sum of their totals. It fails unless exactly these orders
// are listed as the customer's.
func (c *customer) replay(m *marketplace, variants map[string]string) (*big.Rat, error) {
	sum := new(big.Rat)
	var placed []string // the newest first
	for _, o := range c.orders {
		total, orderID, err := c.replayOne(m, o, variants)
		if err != nil {
			return sum, fmt.Errorf("order %s: %w", o.id, err)
		}
		sum.Add(sum, total)
		placed = append([]string{orderID}, placed...)
	}
	a, err := c.do(http.MethodGet, "/v1/orders?pageSize=100", nil)
	if err != nil {
		return sum, err
	}
	var page struct{ Orders []orderJSON }
	if err := json.Unmarshal(a.body, &page); err != nil {
		return sum, err
	}
	var listed []string
	for _, o := range page.Orders {
		listed = append(listed, o.ID)
	}
	if !slices.Equal(placed, listed) {
		return sum, fmt.Errorf("placed %v, has %v", placed, listed)
	}
	return sum, nil
}

func (c *customer) replayOne(m *marketplace, o replayOrder, variants map[string]string) (*big.Rat, string, error) {
	for i, quantity := range o.lines {
		item := obj{"variantId": variants[skuOf(m.offers[i])], "quantity": quantity}
		a, err := c.do(http.MethodPost, "/v1/cart/items", item)
		if err != nil {
			return nil, "", err
		}
		if a.status != http.StatusOK {
			return nil, "", fmt.Errorf("add to cart: %d %s", a.status, a.body)
		}
	}
	a, err := c.do(http.MethodPost, "/v1/checkout", checkoutBody("tok_ok"), "Idempotency-Key", o.id)
	if err != nil {
		return nil, "", err
	}
	if a.status != http.StatusCreated {
		return nil, "", fmt.Errorf("checkout: %d %s", a.status, a.body)
	}
	var got struct{ Order orderJSON }
	if err := json.Unmarshal(a.body, &got); err != nil {
		return nil, "", err
	}
	total, ok := new(big.Rat).SetString(got.Order.Total.Amount)
	if !ok || total.Cmp(o.total) != 0 {
		return nil, "", fmt.Errorf("total %s, want %s", got.Order.Total.Amount, o.total.FloatString(2))
	}
	sum := new(big.Rat)
	for _, so := range got.Order.ShopOrders {
		shopTotal, ok := new(big.Rat).SetString(so.Total.Amount)
		if !ok {
			return nil, "", fmt.Errorf("total of a shop order: %q", so.Total.Amount)
		}
		sum.Add(sum, shopTotal)
	}
	if sum.Cmp(total) != 0 {
		return nil, "", fmt.Errorf("the shop orders add up to %s, not %s", sum.FloatString(2), total.FloatString(2))
	}
	return total, got.Order.ID, nil
}

// searchQuality measures the search on queries with judged results. The product service has a test that compares it
// with what PostgreSQL does by itself.
func searchQuality(t *testing.T, s *souk, dir string) {
	relevant := map[string]map[string]bool{} // query to handles
	for _, q := range table(t, dir, "pricerunner", "qrels.csv") {
		if relevant[q["query_id"]] == nil {
			relevant[q["query_id"]] = map[string]bool{}
		}
		relevant[q["query_id"]]["offer-"+q["product_id"]] = true
	}
	var quality scores
	var took time.Duration
	queries := table(t, dir, "pricerunner", "queries.csv")
	for _, q := range queries {
		var page productsJSON
		began := time.Now()
		s.anonymous().
			get("/v1/products?pageSize=20&query=" + url.QueryEscape(q["query"])).
			want(http.StatusOK).
			into(&page)
		took += time.Since(began)
		var found []string
		for _, p := range page.Products {
			found = append(found, p.Handle)
		}
		quality.add(found, relevant[q["query_id"]])
	}
	t.Logf("search: %s, %s a query", quality, (took / time.Duration(len(queries))).Round(time.Microsecond))
	require.Greater(t, quality.ndcg/float64(quality.n), 0.87, "nDCG@10")
	require.Greater(t, quality.recall/float64(quality.n), 0.89, "recall@20")
}

// scores sums nDCG@10 (Järvelin and Kekäläinen 2002, with binary gains) and recall@20.
type scores struct {
	ndcg, recall float64
	n            int
}

func (s *scores) add(found []string, relevant map[string]bool) {
	dcg, ideal, hits := 0.0, 0.0, 0
	for i, h := range found {
		if !relevant[h] {
			continue
		}
		if i < 10 {
			dcg += 1 / math.Log2(float64(i+2))
		}
		hits++
	}
	for i := range min(len(relevant), 10) {
		ideal += 1 / math.Log2(float64(i+2))
	}
	s.ndcg += dcg / ideal
	s.recall += float64(hits) / float64(len(relevant))
	s.n++
}

func (s scores) String() string {
	return fmt.Sprintf("nDCG@10 %.3f, recall@20 %.3f over %d queries", s.ndcg/float64(s.n), s.recall/float64(s.n), s.n)
}

// TestNamesInAllScriptsComeBackUnchanged imports food with names in Cyrillic, Arabic, CJK and other scripts. The API
// must return them byte for byte.
func TestNamesInAllScriptsComeBackUnchanged(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	s := start(t, "inprocess", nil)
	const shop = "open-food-facts"
	var csvText strings.Builder
	csvText.WriteString("Handle,Title,Body (HTML),Vendor,Variant SKU,Variant Inventory Qty,Variant Price\n")
	names := map[string]string{}
	quote := func(field string) string { return `"` + strings.ReplaceAll(field, `"`, `""`) + `"` }
	for _, p := range table(t, dir, "openfoodfacts", "products.csv") {
		if strings.TrimSpace(p["product_name"]) == "" {
			continue
		}
		names["food-"+p["barcode"]] = p["product_name"]
		fmt.Fprintf(&csvText, "food-%s,%s,%s,Open Food Facts,OFF-%s,3,1.00\n", p["barcode"], quote(p["product_name"]),
			quote(p["ingredients"]), p["barcode"])
	}
	file := filepath.Join(t.TempDir(), "food.csv")
	require.NoError(t, os.WriteFile(file, []byte(csvText.String()), 0o600))
	out, errOut, status := s.command("import", "products", file, "--create-shops")
	require.Zero(t, status, "%s%s", out, errOut)

	back := map[string]string{}
	for token := ""; ; {
		var page productsJSON
		s.anonymous().
			get("/v1/products?pageSize=100&shopId=" + shop + "&pageToken=" + url.QueryEscape(token)).
			want(http.StatusOK).
			into(&page)
		for _, p := range page.Products {
			back[p.Handle] = p.Title
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	require.Equal(t, names, back)
}
