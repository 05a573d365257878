package repository

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	"souk/pkg/batch"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/postgres"
)

// Document reads a product, visible or not. It may come from the replica if there is a cache, which knows what was
// changed lately: a caller sees every change that was committed before, as far as Redis could be reached.
//
// Errors: not_found.
func (s *Store) Document(ctx context.Context, productID string) (domain.Document, error) {
	if s.opts.Cache == nil {
		return document(ctx, s.q, productID)
	}
	return s.opts.Cache.Document(ctx, productID, func(ctx context.Context) (domain.Document, error) {
		return s.loadDocument(ctx, productID)
	})
}

func notFound(err error) error {
	if err = postgres.Err(err); errs.Is(err, errs.NotFound) {
		return errs.Wrap(err, errs.NotFound, "there is no such product")
	}
	return err
}

// ProductByHandle returns the ID of the product with a handle in a shop, which is given by ID or handle. It may be out
// of date, if there is a replica.
//
// Errors: not_found.
func (s *Store) ProductByHandle(ctx context.Context, shop, handle string) (productID string, err error) {
	err = s.stale(ctx, func(ctx context.Context, db *pgxpool.Pool) error {
		productID, err = sqlc.New(db).ProductByHandle(ctx, sqlc.ProductByHandleParams{Shop: shop, Handle: handle})
		return err
	})
	return productID, notFound(err)
}

// ShopOfProduct returns the ID of the shop that sells a product.
//
// Errors: not_found.
func (s *Store) ShopOfProduct(ctx context.Context, productID string) (string, error) {
	shopID, err := s.q.ShopOfProduct(ctx, productID)
	return shopID, notFound(err)
}

// OwnerOfVariant returns the IDs of the product of a variant and of the shop that sells it.
//
// Errors: not_found.
func (s *Store) OwnerOfVariant(ctx context.Context, variantID string) (productID, shopID string, err error) {
	v, err := s.q.VariantSKU(ctx, variantID)
	return v.ProductID, v.ShopID, notFound(err)
}

// ShopProducts returns a shop's products before the given ID, with their stock, newest first. An empty status
// or before is no filter.
func (s *Store) ShopProducts(
	ctx context.Context, shopID string, status domain.Status, before string, size int,
) ([]domain.StockedDocument, error) {
	if before == "" {
		before = "~"
	}
	arg := sqlc.StockOfShopParams{ShopID: shopID, Status: string(status), Before: before, PageSize: int32(size)}
	rows, err := s.q.StockOfShop(ctx, arg)
	if err != nil {
		return nil, postgres.Err(err)
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ProductID
	}
	byProduct, err := variants(ctx, s.q, ids)
	if err != nil {
		return nil, err
	}
	products := make([]domain.StockedDocument, len(rows))
	for i, r := range rows {
		products[i] = domain.StockedDocument{ID: r.ProductID, Bytes: r.Doc, Variants: byProduct[r.ProductID]}
	}
	return products, nil
}

// Export returns whole products after the given ID, in the order of their IDs: those of a shop, or of all shops if
// shopID is "".
func (s *Store) Export(ctx context.Context, shopID, after string, size int) ([]domain.Exported, error) {
	rows, err := s.exportRows(ctx, shopID, after, size)
	if err != nil {
		return nil, postgres.Err(err)
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	byProduct, err := variants(ctx, s.q, ids)
	if err != nil {
		return nil, err
	}
	all := make([]domain.Exported, len(rows))
	for i, r := range rows {
		p := domain.Product{
			ID: r.ID, ShopID: r.ShopID, Handle: r.Handle, Title: r.Title, Description: r.Description,
			Tags: r.Tags, Status: domain.Status(r.Status), Variants: byProduct[r.ID],
		}
		err := errors.Join(json.Unmarshal(r.Images, &p.Images), json.Unmarshal(r.Details, &p.Details))
		if err != nil {
			return nil, err
		}
		all[i] = domain.Exported{Product: p, ShopHandle: r.ShopHandle, CategoryPath: r.CategoryPath}
	}
	return all, nil
}

func (s *Store) exportRows(ctx context.Context, shopID, after string, size int) ([]sqlc.ExportRow, error) {
	if shopID == "" {
		return s.q.Export(ctx, sqlc.ExportParams{After: after, PageSize: int32(size)})
	}
	found, err := s.q.ExportOfShop(ctx, sqlc.ExportOfShopParams{ShopID: shopID, After: after, PageSize: int32(size)})
	rows := make([]sqlc.ExportRow, len(found))
	for i, r := range found {
		rows[i] = sqlc.ExportRow(r)
	}
	return rows, err
}

// Offers finds variants by ID, including those that are no longer for sale. Unknown IDs are left out.
// Concurrent callers share a statement and the options of the offers, so they must not modify these.
func (s *Store) Offers(ctx context.Context, ids []string) ([]domain.Offer, error) {
	// PostgreSQL refuses these strings. They must not fail the other callers of the batch.
	ids = slices.DeleteFunc(slices.Clone(ids),
		func(id string) bool { return strings.ContainsRune(id, 0) || !utf8.ValidString(id) })
	if len(ids) == 0 {
		return nil, nil
	}
	return s.offers.Submit(ctx, ids)
}

// CategoriesOf returns the IDs of products' categories, from the root down, by the product's ID.
func (s *Store) CategoriesOf(ctx context.Context, productIDs []string) (map[string][]string, error) {
	rows, err := s.q.CategoriesOfProducts(ctx, productIDs)
	out := make(map[string][]string, len(rows))
	for _, r := range rows {
		out[r.ID] = r.PathIds
	}
	return out, postgres.Err(err)
}

func (s *Store) runOffers(ctx context.Context, wanted [][]string) ([]batch.Result[[]domain.Offer], error) {
	all := slices.Concat(wanted...)
	slices.Sort(all)
	rows, err := s.q.Offers(ctx, slices.Compact(all))
	if err != nil {
		return nil, postgres.Err(err)
	}
	found := make(map[string]batch.Result[domain.Offer], len(rows))
	for _, r := range rows {
		o, err := toOffer(r)
		found[r.ID] = batch.Result[domain.Offer]{Value: o, Err: err}
	}
	out := make([]batch.Result[[]domain.Offer], len(wanted))
	for i, ids := range wanted {
		out[i] = pick(found, ids)
	}
	return out, nil
}

// pick returns the offers that one caller asked for, without duplicates.
func pick(found map[string]batch.Result[domain.Offer], ids []string) batch.Result[[]domain.Offer] {
	offers := make([]domain.Offer, 0, len(ids))
	taken := make(map[string]bool, len(ids))
	for _, id := range ids {
		r, ok := found[id]
		if !ok || taken[id] {
			continue
		}
		if r.Err != nil {
			return batch.Result[[]domain.Offer]{Err: r.Err}
		}
		taken[id] = true
		offers = append(offers, r.Value)
	}
	return batch.Result[[]domain.Offer]{Value: offers}
}

func toOffer(r sqlc.OffersRow) (domain.Offer, error) {
	v := domain.Variant{ID: r.ID, SKU: r.Sku, Price: money.New(r.PriceMinor, money.Currency(r.Currency))}
	err := json.Unmarshal(r.Options, &v.Options)
	return domain.Offer{
		Variant:   v,
		ProductID: r.ProductID,
		ShopID:    r.ShopID,
		ShopName:  r.ShopName,
		Title:     r.Title,
		ImageURL:  r.ImageUrl,
		Pieces:    r.Available,
		ForSale:   r.ForSale,
	}, err
}
