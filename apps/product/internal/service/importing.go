package service

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"souk/apps/product/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/permission"
	"souk/pkg/rpc"
)

// Item is one product of an import.
type Item struct {
	Shop         string // ID or handle
	CategoryPath []string
	Product      domain.Product
	// Partial reports that the product may lack variants and images, so nothing that it does not list is deleted.
	Partial bool
	// Bad is why the item is invalid, if that is known already.
	Bad error
}

// The outcomes of an import.
const (
	Created   = "created"
	Updated   = "updated"
	Unchanged = "unchanged"
	Rejected  = "rejected"
)

// Outcome is the result of importing one item.
type Outcome struct {
	Result    string
	ProductID string
	Reason    string
	// UnknownCategory is the path of the item's category if there is no such category.
	UnknownCategory []string
}

// Import creates or updates products by shop and handle. Each item has its own outcome. A product that is
// imported again and was not edited since is unchanged, even if pieces of it were sold.
//
// A product that exists keeps what its item does not have. With replace, it becomes what its item says.
//
// Import as a whole fails only if a service or the database fails; the caller may then send it again.
func (s *Service) Import(ctx context.Context, items []Item, replace bool) ([]Outcome, error) {
	in := &progress{
		items: items, replace: replace, outcomes: make([]Outcome, len(items)), unknown: make([]bool, len(items)),
	}
	if err := s.resolve(ctx, in); err != nil {
		return nil, err
	}
	wanted := in.wanted()
	if len(wanted.Handles) == 0 {
		return in.outcomes, nil
	}
	good := *in
	err := s.store.Change(ctx, in.shopIDs(), wanted, func(have domain.Snapshot) (domain.Changes, error) {
		in.outcomes = good.outcomes
		return in.decide(have), nil
	})
	return in.outcomes, err
}

// progress is the state of an import in progress.
type progress struct {
	items    []Item
	replace  bool
	outcomes []Outcome
	unknown  []bool // the category of the item does not exist
}

// edit says how an item changes the product that exists.
func (in *progress) edit(item Item) domain.Edit {
	if in.replace && !item.Partial {
		return domain.Edit{All: true, DropVariants: true, DropImages: true}
	}
	return domain.Edit{}
}

func (in *progress) reject(i int, reason string) {
	in.outcomes[i] = Outcome{Result: Rejected, Reason: reason}
}

// pending reports whether an item has no outcome yet.
func (in *progress) pending(i int) bool { return in.outcomes[i].Result == "" }

// resolve finds the items' shops and categories, and rejects invalid items.
func (s *Service) resolve(ctx context.Context, in *progress) error {
	var names []string
	for i, item := range in.items {
		normal, err := item.Product.Normal()
		item.Product, item.Bad = normal, cmp.Or(item.Bad, err)
		in.items[i] = item
		if item.Bad == nil {
			item.Bad = validate(item)
		}
		if item.Bad != nil {
			in.reject(i, errs.From(item.Bad).Message)
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
	paths := make([][]string, len(in.items))
	for i := range in.items {
		if !in.pending(i) {
			continue
		}
		item := &in.items[i]
		shop, ok := shops[item.Shop]
		if ok {
			if _, asked := members[shop.ID]; !asked {
				err := s.mayChange(ctx, shop.ID, errNoShop)
				if err != nil && !errs.Is(err, errs.NotFound) && !errs.Is(err, errs.Forbidden) {
					return err
				}
				members[shop.ID] = err
			}
		}
		if errs.Is(members[shop.ID], errs.Forbidden) {
			in.reject(i, errs.From(members[shop.ID]).Message)
			continue
		}
		if !ok || members[shop.ID] != nil {
			in.reject(i, fmt.Sprintf("there is no shop %q%s", item.Shop, hint(ctx)))
			continue
		}
		item.Product.ShopID = shop.ID
		paths[i] = domain.NormalAll(item.CategoryPath)
	}
	in.rejectRepeated(shops)
	// All shops share the category tree.
	categories, err := s.store.CategoriesByPath(ctx, paths, identity.FromContext(ctx).Can(permission.CategoryWrite))
	if err != nil {
		return err
	}
	for i := range in.items {
		in.unknown[i] = len(paths[i]) > 0 && categories[i] == ""
		in.items[i].Product.CategoryID = categories[i]
	}
	return nil
}

// rejectRepeated rejects all items of a product that has several, also if only one of them is valid: it is not clear
// which one is meant.
func (in *progress) rejectRepeated(shops map[string]domain.Shop) {
	key := func(item Item) domain.HandleKey {
		return domain.HandleKey{ShopID: shops[item.Shop].ID, Handle: item.Product.Handle}
	}
	count := map[domain.HandleKey]int{}
	for _, item := range in.items {
		count[key(item)]++
	}
	for i, item := range in.items {
		if in.pending(i) && count[key(item)] > 1 {
			in.reject(
				i,
				fmt.Sprintf("the handle %q is there twice: each product must be there once, with all its variants",
					item.Product.Handle),
			)
		}
	}
}

func hint(ctx context.Context) string {
	if rpc.Permitted(ctx) {
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

func (in *progress) shopIDs() []string {
	var ids []string
	for i, item := range in.items {
		if in.pending(i) {
			ids = append(ids, item.Product.ShopID)
		}
	}
	return ids
}

func (in *progress) wanted() domain.Wanted {
	var w domain.Wanted
	for i, item := range in.items {
		if in.pending(i) {
			w.Handles = append(w.Handles, handleKey(item.Product))
			w.SKUs = append(w.SKUs, skus(item.Product)...)
		}
	}
	return w
}

func handleKey(p domain.Product) domain.HandleKey {
	return domain.HandleKey{ShopID: p.ShopID, Handle: p.Handle}
}

// decide returns the changes that make the products what the items say, and sets the items' outcomes.
func (in *progress) decide(have domain.Snapshot) domain.Changes {
	before := in.outcomes
	kept := map[int]bool{}
	for {
		in.outcomes = slices.Clone(before)
		d := decision{have: have, kept: kept, claimed: map[domain.SKUKey]bool{}, freed: map[domain.SKUKey]int{}}
		in.decideAll(&d)
		if !in.keepMoving(d) {
			return d.changes
		}
	}
}

// decision is an attempt to decide what becomes of the items.
type decision struct {
	have domain.Snapshot
	// kept are the items that delete nothing.
	kept    map[int]bool
	changes domain.Changes
	// claimed are the SKUs of the items so far, and freed those of the variants that they delete, with the item.
	claimed map[domain.SKUKey]bool
	freed   map[domain.SKUKey]int
}

// decideAll decides each item. An item with a SKU of another product waits until the items that may free it are
// decided.
func (in *progress) decideAll(d *decision) {
	var waiting []int
	for i := range in.items {
		if in.pending(i) {
			waiting = append(waiting, i)
		}
	}
	for freed := -1; freed < len(d.freed); {
		freed = len(d.freed)
		waiting = slices.DeleteFunc(waiting, func(i int) bool { return in.decideItem(d, i) })
	}
}

// keepMoving makes the items keep their variants whose SKUs rejected items have, and reports whether there are any:
// the variants were to move to products that are rejected.
func (in *progress) keepMoving(d decision) bool {
	rejected := map[string]bool{}
	for i, item := range in.items {
		for _, v := range item.Product.Variants {
			rejected[v.SKU] = rejected[v.SKU] || in.outcomes[i].Result == Rejected
		}
	}
	more := false
	for key, i := range d.freed {
		if rejected[key.SKU] {
			d.kept[i], more = true, true
		}
	}
	return more
}

// decideItem compares an item with the stored product. It reports whether the outcome is final: an item that is
// rejected because another product has a SKU of it may be decided again.
func (in *progress) decideItem(d *decision, i int) (final bool) {
	item := in.items[i]
	p := item.Product
	old := d.have.ByHandle[handleKey(p)]
	var unknown []string
	if in.unknown[i] {
		unknown = item.CategoryPath
	}
	next, dropped := p.Identify(id.New(id.Product), newVariantID), []string(nil)
	if old != nil {
		if in.unknown[i] {
			p.CategoryID = old.CategoryID
		}
		item.Partial = item.Partial || d.kept[i]
		next, dropped = old.Merge(p, in.edit(item), newVariantID)
	}
	next.ImportHash = p.ContentHash()
	if err := next.ValidateWhole(); err != nil {
		in.reject(i, errs.From(err).Message)
		return true
	}
	if err := d.takenSKU(next); err != nil {
		in.reject(i, errs.From(err).Message)
		return false
	}
	if err := d.claimSKUs(next); err != nil {
		in.reject(i, errs.From(err).Message)
		return true
	}
	if old == nil {
		d.changes.Create = append(d.changes.Create, next)
		in.outcomes[i] = Outcome{Result: Created, ProductID: next.ID, UnknownCategory: unknown}
		return true
	}
	// If the same was imported last, the stock may differ because of sales.
	again := bytes.Equal(old.ImportHash, next.ImportHash)
	if len(dropped) == 0 && (old.SameContent(next) || again && old.SameContent(next.WithoutStock())) {
		in.outcomes[i] = Outcome{Result: Unchanged, ProductID: old.ID, UnknownCategory: unknown}
		return true
	}
	if sku := next.Overdrawn(); sku != "" {
		in.reject(i, fmt.Sprintf("more pieces of %s are reserved by open orders than would be on hand", sku))
		return true
	}
	d.changes.Update = append(d.changes.Update, next)
	d.changes.DropVariants = append(d.changes.DropVariants, dropped...)
	for _, v := range old.Variants {
		if slices.Contains(dropped, v.ID) {
			d.freed[domain.SKUKey{ShopID: p.ShopID, SKU: v.SKU}] = i
		}
	}
	in.outcomes[i] = Outcome{Result: Updated, ProductID: old.ID, UnknownCategory: unknown}
	return true
}

// takenSKU returns an error if another product has a SKU of p, and will have it.
func (d *decision) takenSKU(p domain.Product) error {
	p.Variants = slices.DeleteFunc(slices.Clone(p.Variants), func(v domain.Variant) bool {
		_, freed := d.freed[domain.SKUKey{ShopID: p.ShopID, SKU: v.SKU}]
		return freed
	})
	return freeSKUs(d.have, p)
}

// claimSKUs reserves the SKUs of p. It returns an error if another item has one of them.
func (d *decision) claimSKUs(p domain.Product) error {
	for _, key := range skus(p) {
		if d.claimed[key] {
			return errs.New(errs.AlreadyExists, "the SKU %q is there twice", key.SKU)
		}
	}
	for _, key := range skus(p) {
		d.claimed[key] = true
	}
	return nil
}
