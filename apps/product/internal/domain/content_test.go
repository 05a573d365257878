package domain_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/product/internal/domain"
	"souk/pkg/money"
)

// notContent are the fields that an import does not set, with the reason.
var notContent = map[string]string{
	"Product.ID":         "given by the catalogue",
	"Product.ShopID":     "an import finds the product by it",
	"Product.Handle":     "an import finds the product by it",
	"Product.Version":    "counts the writes",
	"Product.ImportHash": "is the hash",
	"Product.CreatedAt":  "time of a write",
	"Product.UpdatedAt":  "time of a write",
	"Variant.ID":         "given by the catalogue; an import finds the variant by its SKU",
	"Variant.Reserved":   "changed by orders",
}

// TestContentHashCoversEveryField fails for a new field: add it to content or to notContent. Without that, an import
// that changes only this field would report "unchanged".
func TestContentHashCoversEveryField(t *testing.T) {
	t.Parallel()
	base := func() domain.Product {
		return domain.Product{Images: []domain.Image{{}}, Variants: []domain.Variant{{}}}
	}
	for _, target := range []func(*domain.Product) any{
		func(p *domain.Product) any { return p },
		func(p *domain.Product) any { return &p.Variants[0] },
		func(p *domain.Product) any { return &p.Images[0] },
		func(p *domain.Product) any { return &p.Details },
		func(p *domain.Product) any { return &p.Variants[0].VariantDetails },
	} {
		p := base()
		typ := reflect.TypeOf(target(&p)).Elem()
		for i := range typ.NumField() {
			p := base()
			name := typ.Name() + "." + typ.Field(i).Name
			set(t, name, reflect.ValueOf(target(&p)).Elem().Field(i))
			covered := string(p.ContentHash()) != string(base().ContentHash())
			require.Equal(t, notContent[name] == "", covered, "%s must be in the content hash or in notContent", name)
		}
	}
}

// set changes a field's value.
func set(t *testing.T, name string, field reflect.Value) {
	t.Helper()
	pieces, text, weight, cost := int64(1), "x", 1.5, money.New(1, "BRL")
	for _, v := range []any{
		"x", pieces, &pieces, []byte{
			1,
		}, []string{"x"}, map[string]string{"x": "y"}, time.Unix(1, 0), money.New(1, "BRL"),
		&text, &weight, &cost,
		domain.Details{Brand: &text}, domain.VariantDetails{Barcode: &text},
		domain.Active, []domain.Image{{URL: "x"}}, []domain.Variant{{SKU: "x"}},
	} {
		if reflect.TypeOf(v) == field.Type() {
			field.Set(reflect.ValueOf(v))
			return
		}
	}
	require.Fail(t, "set knows no value of the field's type", "%s is a %s", name, field.Type())
}
