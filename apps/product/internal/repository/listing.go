package repository

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/markup"
	"souk/pkg/money"
	"souk/pkg/postgres"
)

// refreshChunk is the most listings that one statement writes.
const refreshChunk = 500

// refreshListings updates the listings of products to what the transaction sees. Every transaction that changes
// what a listing shows calls it after the change. It locks the listings before it reads, so that the last
// writer sees all changes that were committed before.
func refreshListings(ctx context.Context, q *sqlc.Queries, productIDs []string) error {
	for chunk := range slices.Chunk(productIDs, refreshChunk) {
		if err := q.LockListings(ctx, chunk); err != nil {
			return postgres.Err(err)
		}
		sources, err := q.ListingSources(ctx, chunk)
		if err != nil {
			return postgres.Err(err)
		}
		byProduct, err := variants(ctx, q, chunk)
		if err != nil {
			return err
		}
		var rows sqlc.SaveListingsParams
		for _, source := range sources {
			if err := addListing(&rows, source, byProduct[source.ID]); err != nil {
				return err
			}
		}
		if err := q.SaveListings(ctx, rows); err != nil {
			return postgres.Err(err)
		}
	}
	return nil
}

// Rebuild rebuilds all listings and deletes those of products that no longer exist. It may run at any time. It
// returns how many listings it wrote.
func (s *Store) Rebuild(ctx context.Context) (int, error) {
	if _, err := s.q.DropStaleListings(ctx); err != nil {
		return 0, postgres.Err(err)
	}
	n := 0
	for after := ""; ; {
		ids, err := s.q.AllProducts(ctx, sqlc.AllProductsParams{After: after, PageSize: refreshChunk})
		if err != nil {
			return n, postgres.Err(err)
		}
		if len(ids) == 0 {
			break
		}
		if err := postgres.InTx(
			ctx, s.pool, func(tx pgx.Tx) error { return refreshListings(ctx, s.q.WithTx(tx), ids) },
		); err != nil {
			return n, err
		}
		s.changed(ctx, ids)
		n += len(ids)
		after = ids[len(ids)-1]
	}
	return n, s.LearnWords(ctx)
}

// searchedVariant is a variant in the column variants, as [variantPath] reads it.
type searchedVariant struct {
	Price   int64             `json:"price"` // in 1/10,000 of the currency's unit
	Stock   bool              `json:"stock"`
	Options map[string]string `json:"options,omitempty"`
}

func addListing(rows *sqlc.SaveListingsParams, r sqlc.ListingSourcesRow, variants []domain.Variant) error {
	p := domain.Product{Variants: variants}
	if err := errors.Join(json.Unmarshal(r.Images, &p.Images), json.Unmarshal(r.Details, &p.Details)); err != nil {
		return err
	}
	price := p.Cheapest()
	doc := &productv1.Product{
		Id: r.ID, ShopId: r.ShopID, ShopName: r.ShopName, Handle: r.Handle, Title: r.Title,
		Description: markup.Sanitize(r.Description),
		CategoryId:  r.CategoryID, CategoryPath: r.CategoryPath, Status: r.Status, Tags: r.Tags,
		Rating: &productv1.Rating{Average: r.RatingAvg, Count: r.RatingCount},
		Brand:  domain.Value(p.Brand), ProductType: domain.Value(p.ProductType), OptionNames: p.OptionOrder(),
		SeoTitle: domain.Value(p.SEOTitle), SeoDescription: domain.Value(p.SEODescription),
		CreatedAt: timestamppb.New(r.CreatedAt), UpdatedAt: timestamppb.New(r.UpdatedAt),
	}
	for _, image := range p.Images {
		doc.Images = append(doc.Images, &productv1.Image{Url: image.URL, Alt: image.Alt})
	}
	if len(variants) > 0 {
		doc.Price = price.ToProto()
	}
	inStock, highest := false, int64(0)
	searched := make([]searchedVariant, 0, len(variants))
	for _, v := range variants {
		variant := &productv1.Variant{
			Id:        v.ID,
			Sku:       v.SKU,
			Options:   v.Options,
			Price:     v.Price.ToProto(),
			Available: v.Available() > 0,
			Barcode: domain.Value(
				v.Barcode,
			),
			WeightGrams: domain.Value(v.WeightGrams),
			ImageUrl:    domain.Value(v.ImageURL),
		}
		if v.CompareAt != (money.Money{}) {
			variant.CompareAtPrice = v.CompareAt.ToProto()
		}
		doc.Variants = append(doc.Variants, variant)
		inStock = inStock || variant.Available
		highest = max(highest, scaled(v.Price))
		searched = append(searched, searchedVariant{
			Price:   scaled(v.Price),
			Stock:   variant.Available,
			Options: v.Options,
		})
	}
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(doc)
	if err != nil {
		return err
	}
	visible := r.Status == string(domain.Active) && r.ShopSells && len(variants) > 0
	rows.ProductIds = append(rows.ProductIds, r.ID)
	rows.ShopIds = append(rows.ShopIds, r.ShopID)
	rows.Visible = append(rows.Visible, visible)
	rows.CategoryIds = append(rows.CategoryIds, encode(list(r.CategoryIds)))
	rows.Currencies = append(rows.Currencies, string(price.Currency()))
	rows.Prices = append(rows.Prices, scaled(price))
	rows.Highests = append(rows.Highests, highest)
	rows.InStock = append(rows.InStock, inStock)
	rows.Variants = append(rows.Variants, encode(searched))
	rows.CreatedAt = append(rows.CreatedAt, r.CreatedAt)
	rows.Titles = append(rows.Titles, r.Title)
	rows.Terms = append(rows.Terms, terms(r, p))
	rows.Docs = append(rows.Docs, encoded)
	rows.RatingAvgs = append(rows.RatingAvgs, r.RatingAvg)
	rows.RatingCounts = append(rows.RatingCounts, r.RatingCount)
	return nil
}

// scaled returns an amount in 1/10,000 of its currency's unit; 0 for the zero Money.
func scaled(m money.Money) int64 {
	if m == (money.Money{}) {
		return 0
	}
	return m.Minor() * domain.PriceScale(m.Currency())
}

// terms returns a product's terms as a tsvector: the title with weight A, category, tags, brand and type with B, shop,
// options, SKUs and barcodes with C, the description with D.
func terms(r sqlc.ListingSourcesRow, p domain.Product) string {
	v := &vector{places: map[string][]string{}}
	v.add("A", titleTerms, r.Title)
	v.add("B", allTerms, strings.Join(r.CategoryPath, "\n"))
	v.add("B", allTerms, strings.Join(r.Tags, "\n"))
	v.add("B", allTerms, domain.Value(p.Brand)+"\n"+domain.Value(p.ProductType))
	v.add("C", allTerms, r.ShopName+"\n"+r.ShopHandle)
	for _, variant := range p.Variants {
		v.add("C", allTerms, variant.SKU+"\n"+domain.Value(variant.Barcode))
		for _, value := range variant.Options {
			v.add("C", allTerms, value)
		}
	}
	v.add("D", allTerms, markup.Text(r.Description))
	return v.String()
}
