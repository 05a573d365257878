package repository

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
)

// The events of the catalogue.
const (
	subjectCreated = "evt.product.created"
	subjectUpdated = "evt.product.updated"
	subjectDeleted = "evt.product.deleted"
)

// Change changes the catalogue of some shops in one transaction, with its listings and events. decide gets the
// current state and returns the writes. It may be called twice, so it must have no side effects. Changes of one
// shop wait for each other. The cache is invalidated after the commit.
//
// Errors: decide's, already_exists (handle or SKU), conflict (more pieces are reserved than would be on hand).
func (s *Store) Change(
	ctx context.Context, shopIDs []string, wanted domain.Wanted, decide func(domain.Snapshot) (domain.Changes, error),
) error {
	var touched []string
	err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		q := s.q.WithTx(tx)
		if err := q.LockShops(ctx, shopIDs); err != nil {
			return postgres.Err(err)
		}
		snapshot, err := load(ctx, q, wanted)
		if err != nil {
			return err
		}
		changes, err := decide(snapshot)
		if err != nil {
			return err
		}
		if moved, err := lockStock(ctx, q, snapshot, changes); err != nil {
			return err
		} else if moved {
			if changes, err = decide(snapshot); err != nil {
				return err
			}
		}
		touched, err = s.write(ctx, tx, snapshot, changes)
		return err
	})
	if err != nil {
		return coded(err)
	}
	if err := failpoint.Hit(ctx, FailAfterCommit); err != nil {
		return err
	}
	s.changed(ctx, touched)
	s.listed(len(touched))
	s.opts.wake()
	return nil
}

// coded gives violations of the catalogue's constraints their code.
func coded(err error) error {
	switch {
	case postgres.IsUnique(err, "product_handle"):
		return errs.Wrap(err, errs.AlreadyExists, "the shop already has a product with this handle")
	case postgres.IsUnique(err, "variant_sku"):
		return errs.Wrap(err, errs.AlreadyExists, "the shop already has a variant with this SKU")
	case postgres.IsCheck(err, "stock_never_oversold"):
		return errs.Wrap(err, errs.Conflict, "more pieces are reserved than would be on hand")
	}
	return postgres.Err(err)
}

func load(ctx context.Context, q *sqlc.Queries, wanted domain.Wanted) (domain.Snapshot, error) {
	s := domain.Snapshot{
		ByID:     map[string]*domain.Product{},
		ByHandle: map[domain.HandleKey]*domain.Product{},
		SKUOwner: map[domain.SKUKey]string{}, Documents: map[string][]byte{},
	}
	var rows []sqlc.ProductsByIDRow
	if len(wanted.IDs) > 0 {
		found, err := q.ProductsByID(ctx, wanted.IDs)
		if err != nil {
			return s, postgres.Err(err)
		}
		rows = found
	}
	if wanted.Documents {
		for _, r := range rows {
			listing, err := q.Document(ctx, r.ID)
			if err != nil {
				return s, postgres.Err(err)
			}
			s.Documents[r.ID] = listing.Doc
		}
	}
	if len(wanted.Handles) > 0 {
		p := sqlc.ProductsByHandleParams{}
		for _, k := range wanted.Handles {
			p.ShopIds, p.Handles = append(p.ShopIds, k.ShopID), append(p.Handles, k.Handle)
		}
		found, err := q.ProductsByHandle(ctx, p)
		if err != nil {
			return s, postgres.Err(err)
		}
		for _, r := range found {
			rows = append(rows, sqlc.ProductsByIDRow(r))
		}
	}
	if len(wanted.SKUs) > 0 {
		p := sqlc.SKUOwnersParams{}
		for _, k := range wanted.SKUs {
			p.ShopIds, p.Skus = append(p.ShopIds, k.ShopID), append(p.Skus, k.SKU)
		}
		found, err := q.SKUOwners(ctx, p)
		if err != nil {
			return s, postgres.Err(err)
		}
		for _, r := range found {
			s.SKUOwner[domain.SKUKey{ShopID: r.ShopID, SKU: r.Sku}] = r.ProductID
		}
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	if len(ids) == 0 {
		return s, nil
	}
	byProduct, err := variants(ctx, q, ids)
	if err != nil {
		return s, err
	}
	for _, r := range rows {
		p, err := toProduct(r)
		if err != nil {
			return s, err
		}
		p.Variants = byProduct[p.ID]
		s.ByID[p.ID] = &p
		s.ByHandle[domain.HandleKey{ShopID: p.ShopID, Handle: p.Handle}] = &p
	}
	return s, nil
}

// lockStock locks the stock that the changes modify, and updates the snapshot with its current values. It
// reports whether any of them moved. Unchanged stock is not locked, so that an import of new prices does not
// delay sales.
func lockStock(
	ctx context.Context, q *sqlc.Queries, snapshot domain.Snapshot, changes domain.Changes,
) (moved bool, err error) {
	var ids []string
	for _, p := range changes.Update {
		old := snapshot.ByID[p.ID]
		for _, v := range p.Variants {
			if v.OnHand != nil &&
				slices.ContainsFunc(
					old.Variants, func(o domain.Variant) bool { return o.ID == v.ID && *o.OnHand != *v.OnHand },
				) {
				ids = append(ids, v.ID)
			}
		}
	}
	if len(ids) == 0 {
		return false, nil
	}
	rows, err := q.LockStock(ctx, ids)
	if err != nil {
		return false, postgres.Err(err)
	}
	stocks := make(map[string]sqlc.Stock, len(rows))
	for _, r := range rows {
		stocks[r.VariantID] = r
	}
	for _, p := range snapshot.ByID {
		for i, v := range p.Variants {
			r, ok := stocks[v.ID]
			if ok && (r.OnHand != *v.OnHand || r.Reserved != v.Reserved) {
				moved = true
				p.Variants[i].OnHand, p.Variants[i].Reserved = &r.OnHand, r.Reserved
			}
		}
	}
	return moved, nil
}

// write writes the changes, the listings and the events. It returns the IDs of the products that it wrote.
func (s *Store) write(
	ctx context.Context, tx pgx.Tx, snapshot domain.Snapshot, changes domain.Changes,
) ([]string, error) {
	q, now := s.q.WithTx(tx), s.opts.Clock.Now()
	var events []event.Event
	var touched []string
	add := func(subject string, p domain.Product, version int64) error {
		touched = append(touched, p.ID)
		e, err := event.New(ctx, subject, p.ID, version, now, productEvent(subject, p))
		events = append(events, e)
		return err
	}
	if len(changes.DropVariants) > 0 {
		if err := q.DeleteVariants(ctx, sqlc.DeleteVariantsParams{Now: now, Ids: changes.DropVariants}); err != nil {
			return nil, postgres.Err(err)
		}
	}
	for _, productID := range changes.Delete {
		p := snapshot.ByID[productID]
		if err := s.delete(ctx, q, p); err != nil {
			return nil, err
		}
		if err := add(subjectDeleted, *p, p.Version+1); err != nil {
			return nil, err
		}
	}
	if len(changes.Create) > 0 {
		if err := q.AddProducts(ctx, addProducts(changes.Create, s.opts.Clock.Now())); err != nil {
			return nil, err
		}
	}
	if len(changes.Update) > 0 {
		if err := q.UpdateProducts(ctx, updateProducts(changes.Update, s.opts.Clock.Now())); err != nil {
			return nil, err
		}
	}
	refresh := make([]string, 0, len(changes.Create)+len(changes.Update))
	for _, p := range changes.Create {
		refresh = append(refresh, p.ID)
		if err := add(subjectCreated, p, 1); err != nil {
			return nil, err
		}
	}
	for _, p := range changes.Update {
		refresh = append(refresh, p.ID)
		if err := add(subjectUpdated, p, p.Version+1); err != nil {
			return nil, err
		}
	}
	low, err := s.writeVariants(ctx, q, snapshot, slices.Concat(changes.Create, changes.Update))
	if err != nil {
		return nil, err
	}
	if err := refreshListings(ctx, s.q.WithTx(tx), refresh); err != nil {
		return nil, err
	}
	return touched, outbox.Append(ctx, tx, append(events, low...)...)
}

func (s *Store) delete(ctx context.Context, q *sqlc.Queries, p *domain.Product) error {
	now := s.opts.Clock.Now()
	ids := make([]string, len(p.Variants))
	for i, v := range p.Variants {
		ids[i] = v.ID
	}
	if err := q.DeleteVariants(ctx, sqlc.DeleteVariantsParams{Now: now, Ids: ids}); err != nil {
		return postgres.Err(err)
	}
	if _, err := q.DeleteProduct(ctx, sqlc.DeleteProductParams{Now: now, ID: p.ID}); err != nil {
		return postgres.Err(err)
	}
	return postgres.Err(q.DeleteListing(ctx, p.ID))
}

// writeVariants writes the variants of products, and their stock where it is set. It returns the events of
// stock that became low.
func (s *Store) writeVariants(
	ctx context.Context, q *sqlc.Queries, snapshot domain.Snapshot, products []domain.Product,
) ([]event.Event, error) {
	var v sqlc.SaveVariantsParams
	var stock sqlc.SaveStockParams
	var low []event.Event
	for _, p := range products {
		was := map[string]domain.Variant{}
		if old := snapshot.ByID[p.ID]; old != nil {
			for _, o := range old.Variants {
				was[o.ID] = o
			}
		}
		for i, x := range p.Variants {
			v.Ids = append(v.Ids, x.ID)
			v.ProductIds = append(v.ProductIds, p.ID)
			v.ShopIds = append(v.ShopIds, p.ShopID)
			v.Skus = append(v.Skus, x.SKU)
			v.Options, v.Prices = append(v.Options, encode(options(x.Options))), append(v.Prices, x.Price.Minor())
			v.Currencies = append(v.Currencies, string(x.Price.Currency()))
			v.CompareAts = append(v.CompareAts, x.CompareAt.Minor())
			v.Positions = append(v.Positions, int32(i))
			v.Details = append(v.Details, encode(x.VariantDetails.Stored()))
			o, known := was[x.ID]
			if x.OnHand == nil || known && *o.OnHand == *x.OnHand {
				continue
			}
			stock.VariantIds, stock.OnHands = append(stock.VariantIds, x.ID), append(stock.OnHands, *x.OnHand)
			if known && o.Available() > s.opts.LowStock && x.Available() <= s.opts.LowStock {
				e, err := s.lowEvent(
					ctx,
					domain.Stock{
						VariantID: x.ID,
						ProductID: p.ID,
						ShopID:    p.ShopID,
						SKU:       x.SKU,
						Title:     p.Title,
						OnHand:    *x.OnHand,
						Reserved:  x.Reserved,
					},
				)
				if err != nil {
					return nil, err
				}
				low = append(low, e)
			}
		}
	}
	if len(v.Ids) == 0 {
		return nil, nil
	}
	if err := q.SaveVariants(ctx, v); err != nil {
		return nil, err
	}
	if len(stock.VariantIds) == 0 {
		return nil, nil
	}
	return low, q.SaveStock(ctx, stock)
}

func productEvent(subject string, p domain.Product) protoMessage {
	switch subject {
	case subjectCreated:
		return &productv1.ProductCreated{ProductId: p.ID, ShopId: p.ShopID}
	case subjectDeleted:
		return &productv1.ProductDeleted{ProductId: p.ID, ShopId: p.ShopID}
	default:
		return &productv1.ProductUpdated{ProductId: p.ID, ShopId: p.ShopID}
	}
}
