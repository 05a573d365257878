package domain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// The bounds of further columns.
const (
	// MaxFurther is the most further columns of a variant.
	MaxFurther = 100
	// MaxFurtherBytes is the most bytes of all further columns of a product's variants.
	MaxFurtherBytes = 256 << 10
)

// Details are a product's texts for shops and search engines, and what else a file says about it. A field that is nil
// is unset: an update keeps its value.
type Details struct {
	Brand          *string `json:"brand,omitempty"`
	ProductType    *string `json:"productType,omitempty"`
	SEOTitle       *string `json:"seoTitle,omitempty"`
	SEODescription *string `json:"seoDescription,omitempty"`
	// OptionNames are the names of the options in the order in which a buyer chooses. nil: unset.
	OptionNames []string `json:"optionNames,omitempty"`
}

// VariantDetails are the fields of a variant that sellers may leave out. A field that is nil is unset: an update
// keeps its value.
type VariantDetails struct {
	Barcode  *string `json:"barcode,omitempty"`
	ImageURL *string `json:"imageUrl,omitempty"`
	// WeightGrams is the weight of a piece; 0: unknown.
	WeightGrams *float64 `json:"weightGrams,omitempty"`
	// Cost is what a piece costs the shop. Only members of the shop and operators see it. The zero Money: unknown.
	Cost *money.Money `json:"cost,omitempty"`
	// Further are further columns of the variant's row in a product file. In an update, an empty value removes a
	// column.
	Further map[string]string `json:"further,omitempty"`
}

// update returns d with the fields that next sets.
func (d Details) update(next Details) Details {
	next.Brand, next.ProductType = known(next.Brand, d.Brand), known(next.ProductType, d.ProductType)
	next.SEOTitle, next.SEODescription = known(next.SEOTitle, d.SEOTitle), known(next.SEODescription, d.SEODescription)
	if next.OptionNames == nil {
		next.OptionNames = d.OptionNames
	}
	return next
}

// update returns d with the fields that next sets. A cost that is kept must be in the currency of the new price.
func (d VariantDetails) update(next VariantDetails, price money.Money) VariantDetails {
	next.Barcode, next.ImageURL = known(next.Barcode, d.Barcode), known(next.ImageURL, d.ImageURL)
	next.WeightGrams = known(next.WeightGrams, d.WeightGrams)
	if next.Cost == nil && d.Cost != nil && d.Cost.Currency() == price.Currency() {
		next.Cost = d.Cost
	}
	if next.Cost == nil || next.Cost.IsZero() {
		next.Cost = &money.Money{}
	}
	next.Further = updateFurther(d.Further, next.Further)
	return next
}

// Value returns what p points to, or the zero value if p is nil.
func Value[T any](p *T) T {
	if p == nil {
		p = new(T)
	}
	return *p
}

// known returns next, or old if that is unset, or else the zero value. It is never nil.
func known[T any](next, old *T) *T {
	if next == nil {
		next = old
	}
	if next == nil {
		next = new(T)
	}
	return next
}

// Stored returns d without what is zero.
func (d Details) Stored() Details {
	d.Brand, d.ProductType = unlessZero(d.Brand), unlessZero(d.ProductType)
	d.SEOTitle, d.SEODescription = unlessZero(d.SEOTitle), unlessZero(d.SEODescription)
	return d
}

// Stored returns d without what is zero.
func (d VariantDetails) Stored() VariantDetails {
	d.Barcode, d.ImageURL = unlessZero(d.Barcode), unlessZero(d.ImageURL)
	d.WeightGrams, d.Cost = unlessZero(d.WeightGrams), unlessZero(d.Cost)
	return d
}

func unlessZero[T comparable](v *T) *T {
	if v == nil || *v == *new(T) {
		return nil
	}
	return v
}

// updateFurther returns old with the columns of next. Columns are the same if their names differ in case only: the
// spelling of old stays. It returns nil if there are no columns.
func updateFurther(old, next map[string]string) map[string]string {
	updated := maps.Clone(old)
	spelling := make(map[string]string, len(old))
	for name := range old {
		spelling[strings.ToLower(name)] = name
	}
	for name, value := range next {
		if known, ok := spelling[strings.ToLower(name)]; ok {
			name = known
		}
		switch {
		case value == "":
			delete(updated, name)
		case updated == nil:
			updated = map[string]string{name: value}
		default:
			updated[name] = value
		}
	}
	if len(updated) == 0 {
		return nil
	}
	return updated
}

// OptionOrder returns the names of the variants' options in the order in which a buyer chooses: as OptionNames has
// them, then the others in alphabetical order.
func (p Product) OptionOrder() []string {
	used := map[string]bool{}
	for _, v := range p.Variants {
		for name := range v.Options {
			used[name] = true
		}
	}
	order := make([]string, 0, len(used))
	for _, name := range p.OptionNames {
		if used[name] {
			order = append(order, name)
			delete(used, name)
		}
	}
	return append(order, slices.Sorted(maps.Keys(used))...)
}

func (p Product) validateDetails() error {
	for path, text := range map[string]*string{
		"brand": p.Brand, "productType": p.ProductType, "seoTitle": p.SEOTitle, "seoDescription": p.SEODescription,
	} {
		if text == nil {
			continue
		}
		if err := Text(path, *text); err != nil {
			return err
		}
	}
	for _, name := range p.OptionNames {
		if err := Text("optionNames", name); err != nil {
			return err
		}
	}
	return p.validateFurther()
}

func (d VariantDetails) validate(at func(field string) string, price money.Money) error {
	if d.Barcode != nil {
		if err := Text(at("barcode"), *d.Barcode); err != nil {
			return err
		}
	}
	if d.ImageURL != nil && *d.ImageURL != "" {
		if err := Text(at("imageUrl"), *d.ImageURL); err != nil {
			return err
		}
		if !link.MatchString(*d.ImageURL) {
			return errs.InvalidField(at("imageUrl"), "must be an address that begins with https:// or http://")
		}
	}
	switch {
	case d.Cost == nil || *d.Cost == (money.Money{}):
	case d.Cost.Currency() != price.Currency():
		return errs.InvalidField(at("cost.currencyCode"), "must be the price's currency")
	case d.Cost.Minor() < 0 || d.Cost.Minor() > MaxPrice:
		return errs.InvalidField(
			at("cost.amount"),
			"must be from 0 to %s",
			money.New(MaxPrice, price.Currency()).Amount(),
		)
	}
	return nil
}

// validateFurther bounds the further columns that one product can make souk keep.
func (p Product) validateFurther() error {
	size := 0
	for i, v := range p.Variants {
		path := fmt.Sprintf("variants[%d].furtherColumns", i)
		if len(v.Further) > MaxFurther {
			return errs.InvalidField(path, "at most %d are possible", MaxFurther)
		}
		for name, value := range v.Further {
			if strings.TrimSpace(name) == "" || utf8.RuneCountInString(name) > 255 {
				return errs.InvalidField(path, "a name must have 1 to 255 characters, and not be blank")
			}
			if err := Text(path, name+value); err != nil {
				return err
			}
			size += len(name) + len(value)
		}
		if size > MaxFurtherBytes {
			return errs.InvalidField(path, "those of all variants may have %d bytes", MaxFurtherBytes)
		}
	}
	return nil
}
