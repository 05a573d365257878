// Package domain holds the rules of the catalogue and of stock: what a valid product is, which states a
// reservation goes through, how text becomes search terms. It does no I/O.
package domain

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// The bounds of a product. The contract has most of them too, but imports are checked only here.
const (
	// MaxPrice is the highest price, in minor units.
	MaxPrice = 1_000_000_000_000
	// MaxOptions is the most options that a variant may have.
	MaxOptions = 3
	// MaxOnHand is the most pieces of a variant that may be on hand.
	MaxOnHand = 1_000_000_000
	// MaxVariants is the most variants of a product.
	MaxVariants = 200
	// MaxImages is the most images of a product.
	MaxImages = 100
)

// Status says whether a product is shown.
type Status string

// The statuses of a product.
const (
	Draft    Status = "draft"
	Active   Status = "active"
	Archived Status = "archived"
)

// ShopSuspended is the status of a shop that operators have stopped. Its products are neither shown nor sold, and its
// members may not change them.
const ShopSuspended = "suspended"

// Shop is the local copy of a shop.
type Shop struct {
	ID, Handle, Name, Status string
	// Version counts the shop's changes, so that a late event is recognised. It is 0 if the copy comes from a call
	// to the shop service, which returns no version.
	Version   int64
	UpdatedAt time.Time
}

// Image is a picture by URL.
type Image struct {
	URL string `json:"url"`
	Alt string `json:"alt,omitempty"`
}

// Variant is one buyable form of a product.
type Variant struct {
	ID      string
	SKU     string
	Options map[string]string
	Price   money.Money
	// CompareAt is the price before a reduction. Unset if it is the zero Money; an amount of 0 ends the reduction.
	CompareAt money.Money
	// OnHand is the number of pieces in stock; nil: unset.
	OnHand *int64
	// Reserved is how many of them are promised to orders.
	Reserved int64
	VariantDetails
}

// Available is how many pieces can be reserved.
func (v Variant) Available() int64 {
	if v.OnHand == nil {
		return 0
	}
	return *v.OnHand - v.Reserved
}

// Product is what a shop sells.
type Product struct {
	ID          string
	ShopID      string
	Handle      string
	Title       string
	Description string
	CategoryID  string
	Images      []Image
	Tags        []string
	Status      Status
	Version     int64
	Variants    []Variant
	ImportHash  []byte
	Details
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Category is a node of the category tree.
type Category struct {
	ID, ParentID, Name string
	Path, PathIDs      []string
}

// link matches the URLs that a picture may have: neither scripts nor files of the browser's machine.
var link = regexp.MustCompile(`^https?://\S+$`)

// Validate checks the rules that go beyond the contract's, as far as they concern single fields. A variant may lack
// its SKU and its options, because they may be those of a variant that exists.
//
// Errors: invalid_argument.
func (p Product) Validate() error {
	texts := []struct{ path, text string }{{"handle", p.Handle}, {"title", p.Title}, {"description", p.Description}}
	for i, tag := range p.Tags {
		texts = append(texts, struct{ path, text string }{fmt.Sprintf("tags[%d]", i), tag})
		if tag == "" || utf8.RuneCountInString(tag) > 255 {
			return errs.InvalidField(fmt.Sprintf("tags[%d]", i), "must have 1 to 255 characters")
		}
	}
	for i, image := range p.Images {
		if !link.MatchString(image.URL) {
			return errs.InvalidField(fmt.Sprintf("images[%d].url", i),
				"must be an address that begins with https:// or http://")
		}
		texts = append(texts, struct{ path, text string }{fmt.Sprintf("images[%d].url", i), image.URL},
			struct{ path, text string }{fmt.Sprintf("images[%d].alt", i), image.Alt})
	}
	for _, t := range texts {
		if err := Text(t.path, t.text); err != nil {
			return err
		}
	}
	if strings.TrimSpace(p.Title) == "" {
		return errs.InvalidField("title", "must not be blank")
	}
	if strings.TrimSpace(p.Handle) == "" || strings.ContainsAny(p.Handle, "/?#") {
		return errs.InvalidField("handle", "must not be blank, nor contain \"/\", \"?\" or \"#\"")
	}
	if err := p.validateDetails(); err != nil {
		return err
	}
	return validateVariants(p.Variants)
}

// Text checks that s can be stored.
//
// Errors: invalid_argument.
func Text(path, s string) error {
	switch {
	case !utf8.ValidString(s):
		return errs.InvalidField(path, "must be valid UTF-8")
	case strings.ContainsRune(s, 0):
		return errs.InvalidField(path, "must not contain a NUL character")
	}
	return nil
}

// ValidateWhole checks a product as it is going to be stored: also the rules that concern several of its variants.
//
// Errors: invalid_argument.
func (p Product) ValidateWhole() error {
	switch {
	case len(p.Variants) > MaxVariants:
		return errs.InvalidField("variants", "the product would have %d, and at most %d are possible",
			len(p.Variants), MaxVariants)
	case len(p.Images) > MaxImages:
		return errs.InvalidField("images", "the product would have %d, and at most %d are possible",
			len(p.Images), MaxImages)
	}
	combinations := map[string]string{}
	for i, v := range p.Variants {
		key := optionKey(v.Options)
		if sku, twice := combinations[key]; twice {
			return errs.InvalidField(fmt.Sprintf("variants[%d].options", i),
				"two variants have the same options: %s and %s", sku, v.SKU)
		}
		combinations[key] = v.SKU
		if v.Price.Currency() != p.Variants[0].Price.Currency() {
			return errs.InvalidField(fmt.Sprintf("variants[%d].price.currencyCode", i),
				"all variants of a product are sold in one currency")
		}
	}
	return p.Validate()
}

func validateVariants(variants []Variant) error {
	if len(variants) == 0 {
		return errs.InvalidField("variants", "at least one is needed")
	}
	skus := map[string]bool{}
	for i, v := range variants {
		at := func(field string) string { return fmt.Sprintf("variants[%d].%s", i, field) }
		if err := Text(at("sku"), v.SKU); err != nil {
			return err
		}
		if v.SKU != "" && strings.TrimSpace(v.SKU) == "" {
			return errs.InvalidField(at("sku"), "must not be blank")
		}
		if skus[v.SKU] {
			return errs.InvalidField(at("sku"), "there are two variants with the SKU %q", v.SKU)
		}
		skus[v.SKU] = v.SKU != ""
		if len(v.Options) > MaxOptions {
			return errs.InvalidField(at("options"), "at most %d are possible", MaxOptions)
		}
		for name, value := range v.Options {
			if err := Text(at("options"), name+value); err != nil {
				return err
			}
		}
		if err := validatePrice(at("price"), v.Price); err != nil {
			return err
		}
		if v.CompareAt.Minor() != 0 {
			if err := validatePrice(at("compareAtPrice"), v.CompareAt); err != nil {
				return err
			}
			if v.CompareAt.Currency() != v.Price.Currency() {
				return errs.InvalidField(at("compareAtPrice.currencyCode"), "must be the price's currency")
			}
		}
		if v.OnHand != nil && (*v.OnHand < 0 || *v.OnHand > MaxOnHand) {
			return errs.InvalidField(at("onHand"), "must be from 0 to %d", int64(MaxOnHand))
		}
		if err := v.validate(at, v.Price); err != nil {
			return err
		}
	}
	return nil
}

func validatePrice(path string, m money.Money) error {
	switch {
	case m == (money.Money{}):
		return errs.InvalidField(path, "is required")
	case m.Minor() <= 0:
		return errs.InvalidField(path+".amount", "must be more than zero")
	case m.Minor() > MaxPrice:
		return errs.InvalidField(path+".amount", "must be at most %s", money.New(MaxPrice, m.Currency()).Amount())
	}
	return nil
}

// optionKey returns equal keys for options that a buyer cannot tell apart.
func optionKey(options map[string]string) string {
	pairs := make([]string, 0, len(options))
	for name, value := range options {
		pairs = append(pairs, fmt.Sprintf("%q=%q;", Fold(name), Fold(value)))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "")
}

// respell returns variants with one spelling of each option's name: that of names, else that of the first variant
// that has the option.
func respell(variants []Variant, names []string) []Variant {
	spelling := map[string]string{}
	for _, name := range names {
		spelling[Fold(name)] = cmp.Or(spelling[Fold(name)], name)
	}
	out := slices.Clone(variants)
	for i, v := range out {
		if v.Options == nil {
			continue
		}
		out[i].Options = make(map[string]string, len(v.Options))
		for name, value := range v.Options {
			known, ok := spelling[Fold(name)]
			if !ok {
				spelling[Fold(name)], known = name, name
			}
			out[i].Options[known] = value
		}
	}
	return out
}

// PriceScale is the factor from c's minor units to 1/10,000 of its unit.
func PriceScale(c money.Currency) int64 {
	scale := int64(1)
	for range 4 - c.Digits() {
		scale *= 10
	}
	return scale
}

// Cheapest returns the lowest price of the variants, or the zero Money if there are no variants.
func (p Product) Cheapest() money.Money {
	var lowest money.Money
	for i, v := range p.Variants {
		if i == 0 || v.Price.Minor() < lowest.Minor() {
			lowest = v.Price
		}
	}
	return lowest
}

// Handle makes a handle from a title: its words in lower case, in any script, joined by "-". It returns
// "product" if the title has no words.
func Handle(title string) string {
	words := Words(title)
	if len(words) == 0 {
		return "product"
	}
	handle := strings.Join(words, "-")
	for len(handle) > 200 {
		_, size := utf8.DecodeLastRuneInString(handle)
		handle = handle[:len(handle)-size]
	}
	return strings.Trim(handle, "-")
}

// CategoryName checks the name of a category.
//
// Errors: invalid_argument.
func CategoryName(path, name string) error {
	if err := Text(path, name); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(name); Normal(name) == "" || n > 120 {
		return errs.InvalidField(path, "must have 1 to 120 characters, and not be blank")
	}
	return nil
}
