package service

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"souk/apps/product/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
)

// Item is one product of an import.
type Item struct {
	Shop         string // ID or handle
	CategoryPath []string
	Product      domain.Product
	// Bad is why the item was already found wanting; nil: it was not.
	Bad error
}

// The outcomes of an import.
const (
	Created   = "created"
	Updated   = "updated"
	Unchanged = "unchanged"
	Rejected  = "rejected"
)

// Outcome is what became of an item.
type Outcome struct {
	Result    string
	ProductID string
	Reason    string
}

// Import creates or updates products by shop and handle, each judged on its own. What was imported
// before, and was not edited since, is unchanged, even when pieces of it were sold meanwhile.
//
// It fails as a whole only when a service or the database is out of reach; the same import may then be
// sent again.
func (s *Service) Import(ctx context.Context, items []Item) ([]Outcome, error) {
	in := &batch{items: items, outcomes: make([]Outcome, len(items))}
	if err := s.resolve(ctx, in); err != nil {
		return nil, err
	}
	wanted := in.wanted()
	if len(wanted.Handles) == 0 {
		return in.outcomes, nil
	}
	good := *in
	err := s.store.Change(ctx, in.shopIDs(), wanted, func(have domain.Snapshot) (domain.Changes, error) {
		in.outcomes = append([]Outcome{}, good.outcomes...)
		return in.decide(have), nil
	})
	return in.outcomes, err
}

// batch is an import under way.
type batch struct {
	items    []Item
	outcomes []Outcome
}

func (b *batch) reject(i int, reason string) {
	b.outcomes[i] = Outcome{Result: Rejected, Reason: reason}
}

// alive reports whether an item has not been rejected.
func (b *batch) alive(i int) bool { return b.outcomes[i].Result == "" }

// resolve finds the items' shops and categories, and rejects what is not valid.
func (s *Service) resolve(ctx context.Context, b *batch) error {
	var names []string
	for i, item := range b.items {
		if item.Bad == nil {
			item.Bad = validate(item)
		}
		if item.Bad != nil {
			b.reject(i, errs.From(item.Bad).Message)
			continue
		}
		names = append(names, item.Shop)
	}
	if len(names) == 0 {
		return nil
	}
	shops, err := s.findShops(ctx, names)
	if err != nil {
		return err
	}
	members := map[string]error{}
	paths := make([][]string, len(b.items))
	for i := range b.items {
		if !b.alive(i) {
			continue
		}
		item := &b.items[i]
		shop, ok := shops[item.Shop]
		if ok {
			if _, asked := members[shop.ID]; !asked {
				err := s.mayManage(ctx, shop.ID, errNoShop)
				if err != nil && !errs.Is(err, errs.NotFound) {
					return err
				}
				members[shop.ID] = err
			}
		}
		if !ok || members[shop.ID] != nil {
			b.reject(i, fmt.Sprintf("there is no shop %q%s", item.Shop, hint(ctx)))
			continue
		}
		item.Product.ShopID = shop.ID
		paths[i] = item.CategoryPath
	}
	// The tree of categories is everybody's: only operators make it grow.
	categories, err := s.store.CategoriesByPath(ctx, paths, identity.FromContext(ctx).IsOperator())
	if err != nil {
		return err
	}
	for i := range b.items {
		if len(paths[i]) > 0 && categories[i] == "" {
			b.reject(i, fmt.Sprintf("there is no category %q: ask an operator for it", strings.Join(paths[i], " > ")))
			continue
		}
		b.items[i].Product.CategoryID = categories[i]
	}
	return nil
}

func hint(ctx context.Context) string {
	if identity.FromContext(ctx).IsOperator() {
		return ""
	}
	return " of yours"
}

func validate(item Item) error {
	for i, name := range item.CategoryPath {
		if err := domain.CategoryName(fmt.Sprintf("categoryPath[%d]", i), name); err != nil {
			return err
		}
	}
	return item.Product.Validate()
}

func (b *batch) shopIDs() []string {
	var ids []string
	for i, item := range b.items {
		if b.alive(i) {
			ids = append(ids, item.Product.ShopID)
		}
	}
	return ids
}

func (b *batch) wanted() domain.Wanted {
	var w domain.Wanted
	for i, item := range b.items {
		if b.alive(i) {
			w.Handles = append(w.Handles, handleKey(item.Product))
			w.SKUs = append(w.SKUs, skus(item.Product)...)
		}
	}
	return w
}

func handleKey(p domain.Product) domain.HandleKey {
	return domain.HandleKey{ShopID: p.ShopID, Handle: p.Handle}
}

// decide compares each item to what there is.
func (b *batch) decide(have domain.Snapshot) domain.Changes {
	var changes domain.Changes
	handles, claimed := map[domain.HandleKey]bool{}, map[domain.SKUKey]bool{}
	for i, item := range b.items {
		if !b.alive(i) {
			continue
		}
		p := item.Product
		key := handleKey(p)
		if handles[key] {
			b.reject(i, fmt.Sprintf("the handle %q is there twice", p.Handle))
			continue
		}
		handles[key] = true
		p.ImportHash = p.ContentHash()
		old := have.ByHandle[key]
		if old != nil {
			p.ID = old.ID
		}
		if err := claim(have, claimed, p); err != nil {
			b.reject(i, errs.From(err).Message)
			continue
		}
		switch {
		case old == nil:
			p = p.Identify(id.New(id.Product), newVariantID)
			changes.Create = append(changes.Create, p)
			b.outcomes[i] = Outcome{Result: Created, ProductID: p.ID}
		case bytes.Equal(old.ImportHash, p.ImportHash), old.SameContent(p):
			b.outcomes[i] = Outcome{Result: Unchanged, ProductID: old.ID}
		default:
			next, dropped := old.Merge(p, newVariantID)
			if sku := next.Overdrawn(); sku != "" {
				b.reject(i, fmt.Sprintf("more pieces of %s are reserved by open orders than would be on hand", sku))
				continue
			}
			next.ImportHash = p.ImportHash
			changes.Update = append(changes.Update, next)
			changes.DropVariants = append(changes.DropVariants, dropped...)
			b.outcomes[i] = Outcome{Result: Updated, ProductID: old.ID}
		}
	}
	return changes
}

// claim takes the SKUs of p, which neither another product nor another item may have.
func claim(have domain.Snapshot, claimed map[domain.SKUKey]bool, p domain.Product) error {
	if err := freeSKUs(have, p); err != nil {
		return err
	}
	for _, key := range skus(p) {
		if claimed[key] {
			return errs.New(errs.AlreadyExists, "the SKU %q is there twice", key.SKU)
		}
	}
	for _, key := range skus(p) {
		claimed[key] = true
	}
	return nil
}
