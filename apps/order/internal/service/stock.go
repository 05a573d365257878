package service

import (
	"fmt"

	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
)

// shortage collects the lines of a cart that cannot be ordered.
type shortage []errs.Field

// has reports whether an offer is too short for the wanted pieces, and adds its line to the shortage then. The offer
// is nil if the catalogue does not know the variant.
func (s *shortage) has(variantID string, wanted int64, offer *productv1.Offer) bool {
	switch {
	case offer == nil || !offer.GetForSale():
		*s = append(*s, errs.Field{Path: itemPath(variantID), Message: "is no longer for sale"})
	case offer.GetAvailable() < wanted:
		message := fmt.Sprintf("%d of %d pieces are available", max(offer.GetAvailable(), 0), wanted)
		*s = append(*s, errs.Field{Path: itemPath(variantID), Message: message})
	default:
		return false
	}
	return true
}

// err returns an error that names every short line, or nil.
func (s *shortage) err() error {
	switch n := len(*s); n {
	case 0:
		return nil
	case 1:
		return outOfStock("an item is out of stock", *s)
	default:
		return outOfStock(fmt.Sprintf("%d items are out of stock", n), *s)
	}
}

// reservationRefused returns the error of a refused reservation with the paths that a checkout uses. The product
// service names variants.
func reservationRefused(err error) error {
	e := errs.From(err)
	if e == nil || e.Code != errs.OutOfStock {
		return err
	}
	fields := make([]errs.Field, len(e.Fields))
	for i, f := range e.Fields {
		fields[i] = errs.Field{Path: itemPath(f.Path), Message: f.Message}
	}
	return outOfStock(e.Message, fields)
}

func itemPath(variantID string) string { return "items." + variantID }

func outOfStock(message string, short []errs.Field) error {
	e := errs.New(errs.OutOfStock, "%s", message)
	e.Fields = short
	return e
}
