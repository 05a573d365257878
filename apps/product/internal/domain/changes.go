package domain

// HandleKey names a product by its shop and handle.
type HandleKey struct{ ShopID, Handle string }

// SKUKey names a variant by its shop and SKU.
type SKUKey struct{ ShopID, SKU string }

// Wanted says what a change of the catalogue reads.
type Wanted struct {
	IDs     []string
	Handles []HandleKey
	SKUs    []SKUKey
}

// Snapshot is the state that a change of the catalogue starts from.
type Snapshot struct {
	ByID     map[string]*Product
	ByHandle map[HandleKey]*Product
	// SKUOwner maps a SKU to the ID of its product.
	SKUOwner map[SKUKey]string
}

// Changes are the writes of a change. A variant's stock is written if its OnHand is not nil.
type Changes struct {
	Create []Product
	Update []Product
	// DropVariants are the IDs of variants that their products no longer have.
	DropVariants []string
	Delete       []string
}

// Merge makes next the new version of p. It keeps p's identity. A variant keeps the identity of p's variant
// with the same SKU, and its stock unless next gives one. New variants get their ID from newID. Merge also
// returns the IDs of the variants that next does not have.
func (p Product) Merge(next Product, newID func() string) (merged Product, dropped []string) {
	next.ID, next.ShopID, next.Handle = p.ID, p.ShopID, p.Handle
	next.Version, next.CreatedAt = p.Version, p.CreatedAt
	bySKU := make(map[string]Variant, len(p.Variants))
	for _, v := range p.Variants {
		bySKU[v.SKU] = v
	}
	variants := make([]Variant, len(next.Variants))
	for i, v := range next.Variants {
		if old, ok := bySKU[v.SKU]; ok {
			v.ID, v.Reserved = old.ID, old.Reserved
			delete(bySKU, v.SKU)
		} else {
			v.ID = newID()
			v.OnHand = orZero(v.OnHand)
		}
		variants[i] = v
	}
	next.Variants = variants
	for _, v := range p.Variants {
		if _, gone := bySKU[v.SKU]; gone {
			dropped = append(dropped, v.ID)
		}
	}
	return next, dropped
}

// Identify gives a new product and its variants their IDs. The stock of a variant without one becomes 0.
func (p Product) Identify(productID string, newID func() string) Product {
	p.ID, p.Version = productID, 1
	variants := make([]Variant, len(p.Variants))
	for i, v := range p.Variants {
		v.ID = newID()
		v.OnHand = orZero(v.OnHand)
		variants[i] = v
	}
	p.Variants = variants
	return p
}

func orZero(n *int64) *int64 {
	if n == nil {
		n = new(int64)
	}
	return n
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
