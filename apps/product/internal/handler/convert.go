package handler

import (
	"fmt"
	"maps"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/service"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/rpc"
)

func linesFromProto(in []*productv1.Line) []domain.Line {
	lines := make([]domain.Line, len(in))
	for i, l := range in {
		lines[i] = domain.Line{VariantID: l.GetVariantId(), Quantity: l.GetQuantity()}
	}
	return lines
}

func imagesFromProto(in []*productv1.Image) []domain.Image {
	images := make([]domain.Image, len(in))
	for i, image := range in {
		images[i] = domain.Image{URL: image.GetUrl(), Alt: image.GetAlt()}
	}
	return images
}

func variantsFromProto(in []*productv1.VariantInput) ([]domain.Variant, error) {
	variants := make([]domain.Variant, len(in))
	for i, v := range in {
		at := func(field string) string { return fmt.Sprintf("variants[%d].%s", i, field) }
		price, err := money.FromField(at("price"), v.GetPrice())
		if err != nil {
			return nil, err
		}
		compareAt, err := money.FromField(at("compareAtPrice"), v.GetCompareAtPrice())
		if err != nil {
			return nil, err
		}
		variants[i] = domain.Variant{
			SKU:       v.GetSku(),
			Options:   v.GetOptions(),
			Price:     price,
			CompareAt: compareAt,
			VariantDetails: domain.VariantDetails{
				Barcode: v.Barcode, ImageURL: v.ImageUrl, WeightGrams: v.WeightGrams, Further: v.GetFurtherColumns(),
			},
		}
		if v.OnHand != nil {
			onHand := max(v.GetOnHand(), 0)
			variants[i].OnHand = &onHand
		}
		if v.GetCost() != nil {
			cost, err := money.FromField(at("cost"), v.GetCost())
			if err != nil {
				return nil, err
			}
			variants[i].Cost = &cost
		}
	}
	return variants, nil
}

// fieldsOf returns the fields of m that a mask names; if the mask is unset, those that m holds.
//
// Errors: invalid_argument.
func fieldsOf(mask *fieldmaskpb.FieldMask, m proto.Message) (map[string]bool, error) {
	if mask == nil {
		return populated(m), nil
	}
	fields := map[string]bool{}
	for _, name := range mask.GetPaths() {
		if m.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(name)) == nil {
			return nil, errs.InvalidField("updateMask", "names a field that does not exist")
		}
		fields[name] = true
	}
	return fields, nil
}

// populated returns the names of the fields that m holds.
func populated(m proto.Message) map[string]bool {
	fields := map[string]bool{}
	m.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		fields[string(f.Name())] = true
		return true
	})
	return fields
}

// detailsFromProto returns the details that an update sets: those that fields names.
func detailsFromProto(in *productv1.UpdateProductRequest, fields map[string]bool) domain.Details {
	named := func(field string, value *string) *string {
		switch {
		case !fields[field]:
			return nil
		case value == nil:
			return new(string)
		}
		return value
	}
	details := domain.Details{
		Brand: named("brand", in.Brand), ProductType: named("product_type", in.ProductType),
		SEOTitle: named("seo_title", in.SeoTitle), SEODescription: named("seo_description", in.SeoDescription),
	}
	if fields["option_names"] {
		details.OptionNames = append([]string{}, in.GetOptionNames()...)
	}
	return details
}

// itemFromProto converts one product of an import. An error becomes the reason why that item is rejected.
func itemFromProto(in *productv1.ImportedProduct) service.Item {
	item := service.Item{Shop: in.GetShop(), CategoryPath: in.GetCategoryPath()}
	item.Product.Handle = in.GetHandle()
	for _, v := range in.GetVariants() { // an item that is rejected is still known by them
		item.Product.Variants = append(item.Product.Variants, domain.Variant{SKU: v.GetSku()})
	}
	if item.Bad = rpc.Validate(in); item.Bad != nil {
		return item
	}
	variants, err := variantsFromProto(in.GetVariants())
	if err != nil {
		item.Bad = err
		return item
	}
	for i := range variants {
		variants[i].Further = withBlanks(variants[i].Further, in.GetFurtherColumnNames())
	}
	item.Partial = in.GetPartial()
	item.Product = domain.Product{
		Handle:      in.GetHandle(),
		Title:       in.GetTitle(),
		Description: in.GetDescription(),
		Images:      imagesFromProto(in.GetImages()),
		Tags:        in.GetTags(),
		Status:      domain.Status(in.GetStatus()),
		Variants:    variants,
		Details: domain.Details{
			Brand: in.Brand, ProductType: in.ProductType, SEOTitle: in.SeoTitle, SEODescription: in.SeoDescription,
			OptionNames: in.GetOptionNames(),
		},
	}
	return item
}

// withBlanks returns the columns with an empty value for each name that has none.
func withBlanks(columns map[string]string, names []string) map[string]string {
	all := make(map[string]string, len(names))
	for _, name := range names {
		all[name] = ""
	}
	maps.Copy(all, columns)
	return all
}

func exportedToProto(p domain.Exported) *productv1.ImportedProduct {
	out := &productv1.ImportedProduct{
		Shop: p.ShopHandle, Handle: p.Handle, Title: p.Title, Description: p.Description, CategoryPath: p.CategoryPath,
		Status: string(p.Status), Tags: p.Tags,
		Brand: p.Brand, ProductType: p.ProductType, SeoTitle: p.SEOTitle, SeoDescription: p.SEODescription,
		OptionNames: p.OptionOrder(),
	}
	for _, image := range p.Images {
		out.Images = append(out.Images, &productv1.Image{Url: image.URL, Alt: image.Alt})
	}
	for _, v := range p.Variants {
		out.Variants = append(out.Variants, &productv1.VariantInput{
			Sku:            v.SKU,
			Options:        v.Options,
			Price:          v.Price.ToProto(),
			CompareAtPrice: v.CompareAt.ToProto(),
			OnHand:         v.OnHand,
			Barcode:        v.Barcode,
			WeightGrams:    v.WeightGrams,
			Cost:           domain.Value(v.Cost).ToProto(),
			ImageUrl:       v.ImageURL,
			FurtherColumns: v.Further,
		})
	}
	return out
}

func facetsToProto(f *domain.Facets) *productv1.Facets {
	out := &productv1.Facets{}
	for _, c := range f.Categories {
		out.Categories = append(out.Categories, &productv1.FacetCount{Id: c.ID, Name: c.Name, Count: c.Count})
	}
	for _, c := range f.Shops {
		out.Shops = append(out.Shops, &productv1.FacetCount{Id: c.ID, Name: c.Name, Count: c.Count})
	}
	for _, c := range f.Prices {
		price := &productv1.PriceFacet{From: c.From.ToProto(), To: c.To.ToProto(), Count: c.Count}
		out.Prices = append(out.Prices, price)
	}
	for _, o := range f.Options {
		option := &productv1.OptionFacet{Name: o.Name}
		for _, v := range o.Values {
			option.Values = append(option.Values, &productv1.OptionCount{Value: v.Name, Count: v.Count})
		}
		out.Options = append(out.Options, option)
	}
	for _, r := range f.Ratings {
		out.Ratings = append(out.Ratings, &productv1.RatingFacet{MinRating: r.Min, Count: r.Count})
	}
	return out
}
