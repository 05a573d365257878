package domain

import (
	"cmp"
	"fmt"
	"slices"

	"souk/pkg/money"
)

// HandleKey names a product by its shop and handle.
type HandleKey struct{ ShopID, Handle string }

// SKUKey names a variant by its shop and SKU.
type SKUKey struct{ ShopID, SKU string }

// Wanted says what a change of the catalogue reads.
type Wanted struct {
	IDs     []string
	Handles []HandleKey
	SKUs    []SKUKey
	// Documents asks for the encoded products of IDs, too.
	Documents bool
}

// Snapshot is the state that a change of the catalogue starts from.
type Snapshot struct {
	ByID     map[string]*Product
	ByHandle map[HandleKey]*Product
	// SKUOwner maps a SKU to the ID of its product.
	SKUOwner map[SKUKey]string
	// Documents are encoded products by ID.
	Documents map[string][]byte
}

// Changes are the writes of a change. A variant's stock is written if its OnHand is not nil.
type Changes struct {
	Create []Product
	Update []Product
	// DropVariants are the IDs of variants that their products no longer have.
	DropVariants []string
	Delete       []string
}

// Edit says how a seller's description of a product changes the stored product. The zero Edit sets what the
// description holds and deletes nothing.
type Edit struct {
	// Fields are the names, in the contract, of the fields that are set, even if they are empty. nil: those that are
	// not empty.
	Fields map[string]bool
	// All sets all fields, whatever Fields are. But without Fields, a status or an image's alt text
	// that is empty stays.
	All bool
	// DropVariants deletes the variants that the description does not list.
	DropVariants bool
	// DropImages deletes the images that the description does not list, if it sets images.
	DropImages bool
}

// sets reports whether the field is set.
func (e Edit) sets(field string, empty bool) bool {
	if e.Fields == nil {
		return e.All || !empty
	}
	return e.All || e.Fields[field]
}

// Merge makes next the new version of p. It keeps p's identity and the fields that e does not set. A variant keeps the
// identity of the variant of p that [match] finds for it, and what next leaves unset. New variants get their ID
// from newID. Variants without a SKU keep theirs or get a new one. Merge also returns the IDs of p's variants that the
// new version does not have.
func (p Product) Merge(next Product, e Edit, newID func() string) (merged Product, dropped []string) {
	next.ID, next.ShopID, next.Handle = p.ID, p.ShopID, p.Handle
	next.Version, next.CreatedAt = p.Version, p.CreatedAt
	next.Details = p.Details.update(next.Details)
	next.Title = pick(e, "title", next.Title, p.Title)
	next.Description = pick(e, "description", next.Description, p.Description)
	next.CategoryID = pick(e, "category_id", next.CategoryID, p.CategoryID)
	if e.Fields == nil {
		next.Status = cmp.Or(next.Status, p.Status)
	}
	next.Status = cmp.Or(pick(e, "status", next.Status, p.Status), Active)
	if !e.sets("tags", len(next.Tags) == 0) {
		next.Tags = p.Tags
	}
	if e.Fields == nil {
		next.Images = withAlts(next.Images, p.Images)
	}
	switch {
	case !e.sets("images", len(next.Images) == 0):
		next.Images = p.Images
	case !e.DropImages:
		next.Images = keepUnlisted(p.Images, next.Images, func(image Image) string { return image.URL })
	}
	if !e.sets("variants", len(next.Variants) == 0) {
		next.Variants, e.DropVariants = nil, false
	}
	old := match(p.Variants, next.Variants)
	variants := make([]Variant, len(next.Variants))
	for i, v := range next.Variants {
		if was, ok := old[i]; ok {
			v.ID, v.Reserved = was.ID, was.Reserved
			v.SKU = cmp.Or(v.SKU, was.SKU)
			if len(v.Options) == 0 && !e.All {
				v.Options = was.Options
			}
			if v.CompareAt == (money.Money{}) && !e.All && was.CompareAt.Currency() == v.Price.Currency() {
				v.CompareAt = was.CompareAt
			}
			v.CompareAt = orNone(v.CompareAt)
			v.VariantDetails = was.update(v.VariantDetails, v.Price)
		} else {
			v = v.identify(p.Handle, newID())
		}
		variants[i] = v
	}
	names := append(slices.Clone(next.OptionNames), p.OptionOrder()...)
	if !e.DropVariants {
		stay := p.WithoutStock().Variants // it stays, whatever it is at the time of the write
		next.Variants = respell(keepUnlisted(stay, variants, func(v Variant) string { return v.ID }), names)
		return next, nil
	}
	next.Variants = respell(variants, names)
	for _, v := range p.Variants {
		if !slices.ContainsFunc(variants, func(n Variant) bool { return n.ID == v.ID }) {
			dropped = append(dropped, v.ID)
		}
	}
	return next, dropped
}

// withAlts returns images with the alt texts of old where they have none.
func withAlts(images, old []Image) []Image {
	alts := make(map[string]string, len(old))
	for _, image := range old {
		alts[image.URL] = image.Alt
	}
	images = slices.Clone(images)
	for i, image := range images {
		images[i].Alt = cmp.Or(image.Alt, alts[image.URL])
	}
	return images
}

func pick[T comparable](e Edit, field string, next, old T) T {
	var empty T
	if e.sets(field, next == empty) {
		return next
	}
	return old
}

// match returns, by index, the variant of old that each variant of next describes: the one with its SKU, else the one
// with its options, else the one whose options have only another spelling.
func match(old, next []Variant) map[int]Variant {
	found := make(map[int]Variant, len(next))
	taken := make(map[string]bool, len(next))
	for _, key := range []func(Variant) string{
		func(v Variant) string { return Normal(v.SKU) },
		func(v Variant) string { return fmt.Sprintf("%q", v.Options) },
		func(v Variant) string { return optionKey(v.Options) },
	} {
		byKey := make(map[string]Variant, len(old))
		for _, v := range old {
			if !taken[v.ID] {
				byKey[key(v)] = v
			}
		}
		for i, v := range next {
			if _, ok := found[i]; ok {
				continue
			}
			if was, ok := byKey[key(v)]; ok {
				found[i], taken[was.ID] = was, true
				delete(byKey, key(v))
			}
		}
	}
	return found
}

// keepUnlisted returns listed with the elements of old whose key it lacks. Each of them stays behind the element that
// it followed in old. Those at the beginning of old stay before the element that followed them, or come last.
func keepUnlisted[T any](old, listed []T, key func(T) string) []T {
	known := make(map[string]bool, len(listed))
	for _, x := range listed {
		known[key(x)] = true
	}
	out := slices.Clone(listed)
	place := func(x T) int { return slices.IndexFunc(out, func(o T) bool { return key(o) == key(x) }) }
	lead := 0
	for lead < len(old) && !known[key(old[lead])] {
		lead++
	}
	if lead == len(old) {
		return append(out, old...)
	}
	for i := lead + 1; i < len(old); i++ {
		if !known[key(old[i])] {
			out = slices.Insert(out, place(old[i-1])+1, old[i])
		}
	}
	return slices.Insert(out, place(old[lead]), old[:lead]...)
}

// EditVariant changes what fields names of one variant of p, and reports whether p has it. An OnHand that is nil stays.
func (p Product) EditVariant(variantID string, next Variant, fields map[string]bool) (edited Product, found bool) {
	p = p.WithoutStock()
	names := p.OptionOrder()
	i := slices.IndexFunc(p.Variants, func(v Variant) bool { return v.ID == variantID })
	if i < 0 {
		return p, false
	}
	v := &p.Variants[i]
	e := Edit{Fields: fields}
	v.SKU = pick(e, "sku", next.SKU, v.SKU)
	v.Price = pick(e, "price", next.Price, v.Price)
	v.CompareAt = orNone(pick(e, "compare_at_price", next.CompareAt, v.CompareAt))
	v.OnHand = next.OnHand
	v.VariantDetails = v.update(next.VariantDetails, v.Price)
	if e.sets("options", len(next.Options) == 0) {
		v.Options = next.Options
		p.Variants = respell(p.Variants, names)
	}
	return p, true
}

// Identify gives a new product and its variants their IDs. What is unset becomes zero, and a variant without a SKU
// gets one.
func (p Product) Identify(productID string, newID func() string) Product {
	p.ID, p.Version, p.Status = productID, 1, cmp.Or(p.Status, Active)
	p.Details = Details{}.update(p.Details)
	variants := make([]Variant, len(p.Variants))
	for i, v := range p.Variants {
		variants[i] = v.identify(p.Handle, newID())
	}
	p.Variants = respell(variants, p.OptionNames)
	return p
}

func (v Variant) identify(handle, variantID string) Variant {
	v.ID = variantID
	v.OnHand = known(v.OnHand, nil)
	v.CompareAt = orNone(v.CompareAt)
	v.VariantDetails = VariantDetails{}.update(v.VariantDetails, v.Price)
	if v.SKU == "" {
		v.SKU = madeUpSKU(handle, variantID)
	}
	return v
}

// madeUpSKU returns the SKU of a variant for which the seller gave none. Its end is random, so that it is not the SKU
// of another variant, also of one that the seller adds later.
func madeUpSKU(handle, variantID string) string {
	const readable, random = 80, 10 // characters
	if r := []rune(handle); len(r) > readable {
		handle = string(r[:readable])
	}
	return handle + "-" + variantID[max(0, len(variantID)-random):]
}

// orNone returns the unset amount for an amount of 0, by which a seller ends a reduction.
func orNone(compareAt money.Money) money.Money {
	if compareAt.Minor() == 0 {
		return money.Money{}
	}
	return compareAt
}

// Overdrawn returns the SKU of the first variant with more pieces reserved than on hand, or "".
func (p Product) Overdrawn() string {
	for _, v := range p.Variants {
		if v.OnHand != nil && *v.OnHand < v.Reserved {
			return v.SKU
		}
	}
	return ""
}
