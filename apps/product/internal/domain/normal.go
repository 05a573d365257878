package domain

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"souk/pkg/errs"
)

// Normal returns a text that identifies or compares something in the form in which it is stored: composed (NFC), and
// without white space at its edges. What looks the same is the same then, and a file gives back what it was given.
func Normal(s string) string { return norm.NFC.String(trim(s)) }

// Fold returns equal texts for texts that differ in case, in width, or in the form in which Unicode writes a character.
func Fold(s string) string { return norm.NFKC.String(strings.ToLower(norm.NFKC.String(Normal(s)))) }

func trim(s string) string {
	return strings.TrimFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || r == '\u200b' || r == '\ufeff' // spaces of no width
	})
}

// NormalAll returns the normal forms of texts.
func NormalAll(texts []string) []string {
	texts = slices.Clone(texts)
	for i, s := range texts {
		texts[i] = Normal(s)
	}
	return texts
}

func normalIfSet(s *string) *string {
	if s == nil {
		return nil
	}
	normal := Normal(*s)
	return &normal
}

// Normal returns p, as a seller gives it, with the normal forms of its texts.
//
// Errors: invalid_argument (a product file cannot hold p).
func (p Product) Normal() (Product, error) {
	p.Handle = Normal(p.Handle)
	p.Brand, p.ProductType = normalIfSet(p.Brand), normalIfSet(p.ProductType)
	p.Tags, p.OptionNames = NormalAll(p.Tags), NormalAll(p.OptionNames)
	for i, tag := range p.Tags {
		if strings.Contains(tag, ",") {
			return p, errs.InvalidField(fmt.Sprintf("tags[%d]", i), "must not contain a comma, which separates tags")
		}
	}
	if err := distinct("optionNames", p.OptionNames); err != nil {
		return p, err
	}
	p.Images = slices.Clone(p.Images)
	for i, image := range p.Images {
		p.Images[i] = Image{URL: trim(image.URL), Alt: Normal(image.Alt)}
	}
	p.Variants = slices.Clone(p.Variants)
	for i, v := range p.Variants {
		var err error
		if p.Variants[i], err = v.Normal(fmt.Sprintf("variants[%d].", i)); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Normal returns v, as a seller gives it, with the normal forms of its texts. prefix stands before the names of fields
// in errors.
//
// Errors: invalid_argument.
func (v Variant) Normal(prefix string) (Variant, error) {
	given := v.SKU
	v.SKU, v.Barcode = Normal(given), normalIfSet(v.Barcode)
	if v.SKU == "" && given != "" {
		return v, errs.InvalidField(prefix+"sku", "must not be blank")
	}
	names := make([]string, 0, len(v.Options))
	options := make(map[string]string, len(v.Options))
	for name, value := range v.Options {
		name, value = Normal(name), Normal(value)
		if value == "" {
			return v, errs.InvalidField(prefix+"options", "a value must not be blank")
		}
		names = append(names, name)
		if name != "Title" || value != "Default Title" { // by which a file says that there are no options
			options[name] = value
		}
	}
	if v.Options != nil {
		v.Options = options
	}
	return v, distinct(prefix+"options", names)
}

// distinct checks the names of options.
//
// Errors: invalid_argument.
func distinct(path string, names []string) error {
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if name == "" {
			return errs.InvalidField(path, "a name must not be blank")
		}
		if seen[Fold(name)] {
			return errs.InvalidField(path, "the name %q is there twice", name)
		}
		seen[Fold(name)] = true
	}
	return nil
}
