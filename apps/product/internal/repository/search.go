package repository

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/id"
)

// The stages of a search select the products that are then ranked. If a stage finds nothing, the search goes on
// to the next one.
const (
	// stageAll: every word, in any form.
	stageAll = iota
	// stageRare: any word that is not common.
	stageRare
	// stageTypo: a title with a part that looks like the query.
	stageTypo
	// stageAny: any word at all.
	stageAny
	// stageRarest: any of the rarest words (domain.Frequencies.Selective). In a large catalogue, words that are not
	// common select too many products.
	stageRarest
)

// stageNames are the stages' names in metrics.
var stageNames = []string{stageAll: "all", stageRare: "rare", stageTypo: "typo", stageAny: "any", stageRarest: "rarest"}

// stages returns the stages in their order. In any order but relevance, a product with only some of the words could
// stand above better ones, so the first stage requires all words.
func stages(sort domain.Sort) []int {
	if sort == domain.Relevance {
		return []int{stageRarest, stageRare, stageTypo, stageAny}
	}
	return []int{stageAll, stageRarest, stageRare, stageTypo, stageAny}
}

// typoSimilarity is the least trigram similarity, from 0 to 1, of the query and a part of a title. One wrong
// letter in a word of seven gives 0.5.
const typoSimilarity = "0.49"

// minCoverage is the least part of the words' weight, in percent, that a product must have to be found.
const minCoverage = 30

func (s *Store) search(ctx context.Context, db *pgxpool.Pool, search domain.Search) (domain.Found, error) {
	if search.Shop != "" && !id.Valid(id.Shop, search.Shop) {
		shops, err := shops(ctx, sqlc.New(db), nil, []string{search.Shop})
		if err != nil || len(shops) == 0 {
			return s.nothing(search), err
		}
		search.Shop = shops[0].ID
	}
	if strings.TrimSpace(search.Query) == "" {
		return s.page(ctx, &statement{db: db, search: search})
	}
	frequencies := s.frequencies()
	groups := domain.ParseQuery(search.Query, frequencies)
	if len(groups) == 0 {
		return s.nothing(search), nil
	}
	if after := search.After; after != nil {
		for i := range min(len(groups), len(after.Weights)) {
			groups[i].Weight = after.Weights[i]
		}
		return s.page(ctx, &statement{
			db: db, search: search, groups: groups, stage: after.Stage, terms: after.Terms, selective: after.Selective,
		})
	}
	selective := frequencies.Selective(groups)
	for _, stage := range stages(search.Sort) {
		if stage == stageRarest && selective == domain.Uncommon {
			continue // it is stageRare
		}
		found, err := s.page(ctx, &statement{
			db: db, search: search, groups: groups, stage: stage, terms: frequencies.Terms, selective: selective,
		})
		if err != nil || len(found.Documents) > 0 {
			return found, err
		}
	}
	return s.nothing(search), nil
}

func (s *Store) nothing(search domain.Search) domain.Found {
	if search.Facets {
		return domain.Found{Facets: &domain.Facets{}}
	}
	return domain.Found{}
}

// page runs the statement for a page, and the one for its facets if they are wanted.
func (s *Store) page(ctx context.Context, st *statement) (domain.Found, error) {
	found, err := s.rows(ctx, st)
	if len(found.Documents) > 0 {
		found.Stage = st.name()
	}
	if err != nil || !st.search.Facets || len(st.groups) > 0 && len(found.Documents) == 0 && st.search.After == nil {
		return found, err
	}
	found.Facets, err = s.facets(ctx, &statement{
		db: st.db, search: st.search, groups: st.groups, stage: st.stage, selective: st.selective,
	})
	return found, err
}

// name returns the name of the statement's stage; "browse" without a query.
func (st *statement) name() string {
	if len(st.groups) == 0 {
		return "browse"
	}
	return stageNames[st.stage]
}

func (s *Store) rows(ctx context.Context, st *statement) (found domain.Found, err error) {
	sql := st.page()
	more := false
	var last domain.Position
	err = st.run(ctx, sql, func(rows pgx.Rows) error {
		for rows.Next() {
			if len(found.Documents) == st.search.PageSize {
				more = true
				continue
			}
			var doc []byte
			if err := rows.Scan(&last.ID, &doc, &last.Score, &last.Time, &last.Price, &last.Rating,
				&last.Count); err != nil {
				return err
			}
			found.Documents = append(found.Documents, doc)
		}
		return rows.Err()
	})
	if err != nil {
		return domain.Found{}, err
	}
	if more {
		found.Next = st.next(last)
	}
	return found, nil
}

// statement builds the SQL of a search. All input is passed as parameters.
type statement struct {
	db     *pgxpool.Pool
	search domain.Search
	groups []domain.Group
	stage  int
	// terms is the average number of terms of a product; 0: unknown.
	terms int64
	// selective is the least weight of the words that select products in stageRarest.
	selective int64
	args      []any
}

func (st *statement) arg(v any) string {
	st.args = append(st.args, v)
	return fmt.Sprintf("$%d", len(st.args))
}

// query adds an argument of type tsquery and returns its parameter.
func (st *statement) query(q string) string { return st.arg(q) + "::tsquery" }

// where returns the conditions that select products.
func (st *statement) where() []string {
	f := st.search
	c := []string{"l.visible"}
	if f.CategoryID != "" {
		c = append(c, "l.category_ids @> array["+st.arg(f.CategoryID)+"::text]")
	}
	if f.Shop != "" {
		c = append(c, "l.shop_id = "+st.arg(f.Shop))
	}
	if len(f.IDs) > 0 {
		c = append(c, "l.product_id = any("+st.arg(f.IDs)+"::text[])")
	}
	// The cheapest and the most expensive variant, which are in indexes, narrow the search. An older souk did not write
	// the latter.
	if f.MinPrice != nil {
		c = append(c, "(l.highest >= "+st.arg(*f.MinPrice)+" or l.highest is null)")
	}
	if f.MaxPrice != nil {
		c = append(c, "l.price <= "+st.arg(*f.MaxPrice))
	}
	if f.Currency != "" {
		c = append(c, "l.currency = "+st.arg(f.Currency))
	}
	if f.InStock {
		c = append(c, "l.in_stock")
	}
	if f.MinRating > 0 {
		c = append(c, "l.rating_avg >= "+st.arg(f.MinRating))
	}
	if f.MinPrice != nil || len(f.Options) > 0 || f.InStock && f.MaxPrice != nil {
		path := st.arg(variantPath(f))
		// Listings that an older souk wrote have no variants. Until they are refreshed, they match.
		c = append(c, "coalesce(jsonb_path_exists(l.variants, "+path+"::jsonpath), true)")
	}
	if len(st.groups) == 0 {
		return c
	}
	if st.stage == stageTypo {
		return append(c, st.arg(st.search.Query)+"::text <% l.title")
	}
	return append(c, "l.terms @@ "+st.query(st.choose()))
}

// variantPath returns the JSON path of the variants in a listing that meet all that a search asks of one variant.
func variantPath(f domain.Search) string {
	var all []string
	if f.MinPrice != nil {
		all = append(all, fmt.Sprintf("@.price >= %d", *f.MinPrice))
	}
	if f.MaxPrice != nil {
		all = append(all, fmt.Sprintf("@.price <= %d", *f.MaxPrice))
	}
	if f.InStock {
		all = append(all, "@.stock == true")
	}
	for _, options := range f.Options {
		var one []string
		for _, o := range options {
			// A string of JSON is one of JSON path, too.
			one = append(one, fmt.Sprintf("@.options.%s == %s", encode(o.Name), encode(o.Value)))
		}
		all = append(all, "("+strings.Join(one, " || ")+")")
	}
	if len(all) == 0 {
		return "$[*]"
	}
	return "$[*] ? (" + strings.Join(all, " && ") + ")"
}

// price returns the expression for a product's price: that of its cheapest variant that meets what f asks of one.
func (st *statement) price(f domain.Search) string {
	if f.MinPrice == nil && !f.InStock && len(f.Options) == 0 {
		return "l.price" // which is in an index
	}
	// Most products have one price. Listings that an older souk wrote have no variants.
	return "case when l.highest = l.price then l.price else coalesce((select min((v ->> 'price')::bigint)" +
		" from jsonb_path_query(l.variants, " + st.arg(variantPath(f)) + "::jsonpath) v), l.price) end"
}

// matches returns the query for the products that a search finds, with their raw score. The ranking expression
// is long: "offset 0" keeps PostgreSQL from inlining it, and computing it, wherever raw is used.
func (st *statement) matches() string {
	where := strings.Join(st.where(), " and ")
	if len(st.groups) == 0 || st.stage == stageTypo {
		return "select l.*, 0::bigint as raw from listing l where " + where
	}
	raw := "0"
	if st.search.Sort == domain.Relevance || st.stage != stageAll {
		raw = st.raw()
	}
	m := "select l.*, " + raw + "::bigint as raw from listing l where " + where + " offset 0"
	if st.stage != stageAll {
		m = "select l.* from (" + m + ") l where l.raw >= " + st.arg(st.least())
	}
	return m
}

// choose returns the tsquery that selects products.
func (st *statement) choose() string {
	least := domain.Uncommon
	if st.stage == stageRarest {
		least = st.selective
	}
	var essential, rare, all []string
	for _, g := range st.groups {
		word := g.Any()
		all = append(all, word)
		if g.Essential {
			essential = append(essential, word)
		}
		if g.Weight >= least {
			rare = append(rare, word)
		}
	}
	switch {
	case st.stage == stageAll, st.stage == stageRare && len(rare) == 0:
		return strings.Join(essential, " & ")
	case st.stage == stageRare, st.stage == stageRarest:
		return strings.Join(rare, " | ")
	default:
		return strings.Join(all, " | ")
	}
}

func (st *statement) least() int64 {
	var sum int64
	for _, g := range st.groups {
		if g.Essential {
			sum += g.Weight
		}
	}
	return sum * minCoverage / 100 * rawScale
}

// raw returns the expression for a product's raw score: the sum of the weights of the query's words, each multiplied by
// how much of the word the product has.
//
// Statements are prepared and queries vary without limit. Groups are padded to a few sizes, so that there are few
// different statements.
func (st *statement) raw() string {
	var simple, models []domain.Group
	for _, g := range st.groups {
		if len(g.Forms) == 1 {
			simple = append(simple, g)
		} else {
			models = append(models, g)
		}
	}
	var sums []string
	for _, g := range fill(simple) {
		sums = append(sums, st.share(g))
	}
	for _, g := range fill(models) {
		sums = append(sums, st.best(g))
	}
	return "(" + strings.Join(sums, " + ") + ")"
}

// fill pads groups to 0, 1, 2, 4, 8, 16 or 32 with groups that match nothing.
func fill(groups []domain.Group) []domain.Group {
	size := 1
	for size < len(groups) {
		size *= 2
	}
	for len(groups) > 0 && len(groups) < size {
		groups = append(groups, domain.Group{Forms: []domain.Form{{Word: "\u2205"}}})
	}
	return groups
}

// rawScale is what a raw score has for each unit of a word's weight, if the word is once in the title.
const rawScale = 1000

// tsRankOfOne is what PostgreSQL's ts_rank returns for one occurrence of weight 1.
const tsRankOfOne = 6 / (math.Pi * math.Pi)

// share returns the expression for how much a product has of a word with one form. Further occurrences add less and
// less, and those outside of the title are worth a little less.
func (st *statement) share(g domain.Group) string {
	weight := float64(g.Weight*g.Forms[0].Factor) / 100 * rawScale / tsRankOfOne
	rank := "ts_rank('{.8, .8, .8, 1}', l.terms, " + st.query(g.Forms[0].TSQuery()) + ")"
	return rank + " * " + st.arg(weight) + "::float8"
}

// best returns the expression for what the best form of a word is worth that a product has, in its title or elsewhere.
// How often is not counted. Most products lack most words, so the word is first tested once in any form.
func (st *statement) best(g domain.Group) string {
	var b strings.Builder
	b.WriteString("case when l.terms @@ " + st.query(g.Any()) + " then case")
	for i := range domain.MaxForms {
		f := g.Forms[min(i, len(g.Forms)-1)]
		q := f.TSQuery()
		inTitle := q + ":A"
		if f.Prefix {
			inTitle = q + "A"
		}
		worth := g.Weight * f.Factor / 100 * rawScale
		fmt.Fprintf(&b, " when l.terms @@ %s then case when l.terms @@ %s then %s::bigint else %s::bigint end",
			st.query(q), st.query(inTitle), st.arg(worth), st.arg(worth*8/10))
	}
	b.WriteString(" else 0 end else 0 end")
	return b.String()
}

// defaultTerms is the average number of terms of a product while it is unknown.
const defaultTerms = 40

// score returns the expression for the relevance of a product: its raw score, a little less if it has many terms. It
// is an integer, so that a page begins exactly where the last one ended.
func (st *statement) score() string {
	switch {
	case st.search.Sort != domain.Relevance || len(st.groups) == 0:
		return "0::bigint"
	case st.stage == stageTypo:
		return "(word_similarity(" + st.arg(st.search.Query) + "::text, l.title) * 100000)::bigint"
	}
	return "l.raw * 1000 / (900 + 100 * length(l.terms) / " + st.arg(cmp.Or(st.terms, defaultTerms)) + ")"
}

// page returns the statement for one page and one more row.
func (st *statement) page() string {
	price := "l.price"
	if sort := st.search.Sort; sort == domain.PriceAsc || sort == domain.PriceDesc {
		price = st.price(st.search)
	}
	cols := "l.product_id, " + st.score() + " as score, l.created_at, " + price +
		" as price, l.rating_avg, l.rating_count"
	matches := st.matches()
	inner := "select " + cols + " from (" + matches + ") l"
	var order, after string
	p := st.search.After
	switch st.search.Sort {
	case domain.Relevance:
		order = "c.score desc, c.product_id desc"
		if p != nil {
			after = "(c.score, c.product_id) < (" + st.arg(p.Score) + ", " + st.arg(p.ID) + ")"
		}
	case domain.PriceAsc:
		order = "c.price, c.product_id"
		if p != nil {
			after = "(c.price, c.product_id) > (" + st.arg(p.Price) + ", " + st.arg(p.ID) + ")"
		}
	case domain.PriceDesc:
		order = "c.price desc, c.product_id desc"
		if p != nil {
			after = "(c.price, c.product_id) < (" + st.arg(p.Price) + ", " + st.arg(p.ID) + ")"
		}
	case domain.ByRating:
		order = "c.rating_avg desc, c.rating_count desc, c.product_id desc"
		if p != nil {
			row := st.arg(p.Rating) + ", " + st.arg(p.Count) + ", " + st.arg(p.ID)
			after = "(c.rating_avg, c.rating_count, c.product_id) < (" + row + ")"
		}
	default:
		order = "c.created_at desc, c.product_id desc"
		if p != nil {
			after = "(c.created_at, c.product_id) < (" + st.arg(p.Time) + ", " + st.arg(p.ID) + ")"
		}
	}
	if after != "" {
		after = " where " + after
	}
	if price != "l.price" && len(st.groups) == 0 {
		inner = st.narrowed(cols, matches, after)
	}
	top := fmt.Sprintf("select c.* from (%s) c%s order by %s limit %d", inner, after, order, st.search.PageSize+1)
	return "with c as materialized (" + top + ") select c.product_id, d.doc, c.score, c.created_at, c.price," +
		" c.rating_avg, c.rating_count from c join listing d on d.product_id = c.product_id order by " + order
}

// narrowed returns the query for the rows of matches from which a page in the order of the variants' prices is chosen.
// As many products as a page has, in the order of an index over the cheapest or the most expensive variants, have a
// price that no product on the page exceeds. So that index narrows the search.
func (st *statement) narrowed(cols, matches, after string) string {
	column, bound, order := "l.price", "l.price <= (select max", "l.price"
	if st.search.Sort == domain.PriceDesc {
		column, bound, order = "l.highest", "l.highest >= (select min", "l.highest desc"
	}
	rows := "select " + cols + " from (" + matches + ") l where "
	first := fmt.Sprintf("select c.price from (select %s, %s as place from (%s) l) c%s order by %s limit %d",
		cols, column, matches, after, strings.Replace(order, column, "c.place", 1), st.search.PageSize+1)
	inner := rows + bound + "(f.price) from (" + first + ") f) order by " + order + " offset 0"
	if st.search.Sort == domain.PriceDesc { // an older souk did not write the most expensive one
		inner = "(" + inner + ") union all " + rows + "l.highest is null"
	}
	return inner
}

// next returns the position after the last row of a page.
func (st *statement) next(last domain.Position) *domain.Position {
	next := domain.Position{ID: last.ID}
	switch st.search.Sort {
	case domain.Relevance:
		next.Score = last.Score
	case domain.PriceAsc, domain.PriceDesc:
		next.Price = last.Price
	case domain.ByRating:
		next.Rating, next.Count = last.Rating, last.Count
	default:
		next.Time = last.Time
	}
	next.Stage, next.Terms, next.Selective = st.stage, st.terms, st.selective
	for _, g := range st.groups {
		next.Weights = append(next.Weights, g.Weight)
	}
	return &next
}
