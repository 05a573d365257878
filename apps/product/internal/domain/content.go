package domain

import (
	"crypto/sha256"
	"encoding/json"
	"slices"

	"souk/pkg/money"
)

// content is a seller's description of a product. Equal content has equal encodings.
type content struct {
	Title, Description, CategoryID string
	Images                         []Image
	Tags                           []string
	Status                         Status
	Variants                       []variantContent
	Details
}

type variantContent struct {
	SKU       string
	Options   map[string]string `json:",omitempty"`
	Price     string
	CompareAt string
	OnHand    *int64
	VariantDetails
}

// ContentHash returns a hash of everything that an import may set.
func (p Product) ContentHash() []byte {
	c := content{
		Title: p.Title, Description: p.Description, CategoryID: p.CategoryID, Status: p.Status,
		Images: append([]Image{}, p.Images...), Tags: append([]string{}, p.Tags...), Details: p.Details,
	}
	for _, v := range p.Variants {
		vc := variantContent{
			SKU: v.SKU, Options: v.Options, Price: v.Price.String(), OnHand: v.OnHand, VariantDetails: v.VariantDetails,
		}
		if v.CompareAt != (money.Money{}) {
			vc.CompareAt = v.CompareAt.String()
		}
		c.Variants = append(c.Variants, vc)
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings, numbers and maps of strings always encode
	}
	sum := sha256.Sum256(encoded)
	return sum[:]
}

// SameContent reports whether next, which [Product.Merge] has made of p, differs from p in nothing that a seller sets.
// A stock that next leaves unset is not compared.
func (p Product) SameContent(next Product) bool {
	if len(p.Variants) != len(next.Variants) {
		return false
	}
	current := p
	current.Variants, next.Variants = slices.Clone(p.Variants), slices.Clone(next.Variants)
	for i := range current.Variants {
		now, then := &current.Variants[i], &next.Variants[i]
		if then.OnHand == nil {
			now.OnHand = nil
		}
		now.VariantDetails = VariantDetails{}.update(now.VariantDetails, now.Price)
		then.VariantDetails = VariantDetails{}.update(then.VariantDetails, then.Price)
	}
	current.Details, next.Details = Details{}.update(current.Details), Details{}.update(next.Details)
	current.OptionNames, next.OptionNames = current.OptionOrder(), next.OptionOrder()
	return string(current.ContentHash()) == string(next.ContentHash())
}

// WithoutStock returns p with the stock of all variants unset.
func (p Product) WithoutStock() Product {
	p.Variants = slices.Clone(p.Variants)
	for i := range p.Variants {
		p.Variants[i].OnHand = nil
	}
	return p
}
