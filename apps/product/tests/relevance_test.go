package tests

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/product/internal/handler"
	"souk/apps/product/internal/service"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/page"
)

// records reads a CSV file of the shared data, without its header. It skips the test if the file is missing.
func records(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join(sharedData, filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		t.Skipf("%s is not there: put the shared marketplace data beside the project to run this test", name)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	all, err := csv.NewReader(f).ReadAll()
	require.NoError(t, err)
	return all[1:]
}

// offers imports PriceRunner's offers, 200 at a time. It returns the offer by product ID and the time that it took.
func (h *harness) offers() (offerOf map[string]string, took time.Duration) {
	h.t.Helper()
	rows := records(h.t, "pricerunner/offers.csv")
	h.shops.mu.Lock()
	known := len(h.shops.byHandle) > 0
	h.shops.mu.Unlock()
	if !known {
		for _, r := range rows {
			if handle := "merchant-" + r[2]; h.shops.byHandle[handle] == nil {
				h.shop(handle)
			}
		}
	}
	var all []*productv1.ImportedProduct
	for i, r := range rows {
		all = append(all, &productv1.ImportedProduct{
			Shop:         "merchant-" + r[2],
			Handle:       "offer-" + r[0],
			Title:        r[1],
			CategoryPath: []string{r[6]},
			Variants: []*productv1.VariantInput{
				{
					Sku:    "offer-" + r[0],
					Price:  brl(fmt.Sprintf("%d.%02d", 10+i%900, i%100)),
					OnHand: pieces(int64(i % 50)),
				},
			},
		})
	}
	offerOf = map[string]string{}
	ctx := h.asOperator()
	start := time.Now()
	for chunk := range slices.Chunk(all, 200) {
		out, err := h.client.ImportProducts(ctx, &productv1.ImportProductsRequest{Products: chunk})
		require.NoError(h.t, err)
		for i, r := range out.GetResults() {
			require.NotEqual(h.t, "rejected", r.GetOutcome(), r.GetReason())
			offerOf[r.GetProductId()] = chunk[i].GetHandle()[len("offer-"):]
		}
	}
	return offerOf, time.Since(start)
}

// quality sums up nDCG at 10 and recall at 20.
type quality struct{ ndcg, recall float64 }

func (q *quality) add(ranked []string, relevant map[string]bool) {
	var gain, ideal, found float64
	for i, offer := range ranked {
		if i < 10 && relevant[offer] {
			gain += 1 / math.Log2(float64(i)+2)
		}
		if i < 20 && relevant[offer] {
			found++
		}
	}
	for i := range min(10, len(relevant)) {
		ideal += 1 / math.Log2(float64(i)+2)
	}
	q.ndcg += gain / ideal
	q.recall += found / float64(len(relevant))
}

func (q quality) over(n int) string {
	return fmt.Sprintf("nDCG@10 %.3f, recall@20 %.3f", q.ndcg/float64(n), q.recall/float64(n))
}

// plain are the searches that ours is compared with. They use PostgreSQL's own ranking of the title.
var plain = []struct{ name, sql string }{
	{"plain ts_rank, all words", `select product_id from listing, plainto_tsquery('simple', $1) q
		where to_tsvector('simple', title) @@ q
		order by ts_rank(to_tsvector('simple', title), q) desc, product_id limit 20`},
	{
		"plain ts_rank, any word",
		`select product_id from listing,
			(select string_agg(quote_literal(lexeme), ' | ')::tsquery as q from unnest(to_tsvector('simple', $1))) w
		where to_tsvector('simple', title) @@ q
		order by ts_rank(to_tsvector('simple', title), q) desc, product_id limit 20`,
	},
}

func TestSearchRanksBetterThanPlainPostgreSQL(t *testing.T) {
	t.Parallel()
	h := setup(t)
	queries := records(t, "pricerunner/queries.csv")
	relevant := map[string]map[string]bool{}
	for _, r := range records(t, "pricerunner/qrels.csv") {
		if relevant[r[0]] == nil {
			relevant[r[0]] = map[string]bool{}
		}
		relevant[r[0]][r[1]] = true
	}
	ctx := context.Background()
	offerOf, took := h.offers()
	t.Logf("imported %d products in %s: %.0f a second", len(offerOf), took.Round(time.Millisecond),
		float64(len(offerOf))/took.Seconds())
	require.NoError(t, h.store.LearnWords(ctx))
	products, err := handler.New(
		service.New(h.store, nil, 0),
		nil,
		nil,
	) // which know the words, unlike the running service
	require.NoError(t, err)
	// The plain searches need this index.
	_, err = h.Pool.Exec(ctx, `create index on listing using gin (to_tsvector('simple', title))`)
	require.NoError(t, err)
	_, err = h.Pool.Exec(ctx, "analyze")
	require.NoError(t, err)

	var ours quality
	var times []time.Duration
	for _, q := range queries {
		start := time.Now()
		out, err := products.SearchProducts(ctx,
			&productv1.SearchProductsRequest{Query: q[1], PageSize: page.DefaultSize})
		times = append(times, time.Since(start))
		require.NoError(t, err)
		var ranked []string
		for _, p := range out.GetProducts() {
			ranked = append(ranked, offerOf[p.GetId()])
		}
		ours.add(ranked, relevant[q[0]])
	}
	slices.Sort(times)
	t.Logf("ours: %s; p50 %s, p99 %s", ours.over(len(queries)), times[len(times)/2], times[len(times)*99/100])
	require.Greater(t, ours.ndcg/float64(len(queries)), 0.875, "models are found in all their spellings")
	for _, way := range plain {
		var theirs quality
		for _, q := range queries {
			rows, err := h.Pool.Query(ctx, way.sql, q[1])
			require.NoError(t, err)
			var ranked []string
			for rows.Next() {
				var productID string
				require.NoError(t, rows.Scan(&productID))
				ranked = append(ranked, offerOf[productID])
			}
			require.NoError(t, rows.Err())
			theirs.add(ranked, relevant[q[0]])
		}
		t.Logf("%s: %s", way.name, theirs.over(len(queries)))
		require.Greater(t, ours.ndcg, theirs.ndcg, way.name)
		require.Greater(t, ours.recall, theirs.recall, way.name)
	}
}
