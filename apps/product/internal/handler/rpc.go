// Package handler receives calls and events, and runs the chores.
package handler

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/service"
	moneyv1 "souk/gen/go/souk/money/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/metric"
	"souk/pkg/page"
)

// The size of a page of an export, and the largest one.
const (
	defaultExport = 100
	maxExport     = 200
)

// RPC serves souk.product.v1.ProductService.
type RPC struct {
	productv1.UnimplementedProductServiceServer
	service *service.Service
	lists   *Lists
	decoded *decodedProducts

	searches *prometheus.CounterVec
}

// New returns the server. lists caches responses to searches; nil: no cache. It registers search_total with
// r.
func New(s *service.Service, lists *Lists, r prometheus.Registerer) (*RPC, error) {
	h := &RPC{service: s, lists: lists, decoded: newDecodedProducts()}
	var err error
	h.searches, err = metric.Register(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "search_total",
		Help: "Searches in the database by the stage that found products; none: nothing was found; browse: no query.",
	}, []string{"stage"}))
	return h, err
}

// GetProduct returns one product. The response is shared, so the caller must not modify it.
//
// Errors: not_found.
func (h *RPC) GetProduct(ctx context.Context, in *productv1.GetProductRequest) (*productv1.GetProductResponse, error) {
	d, err := h.service.Product(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	return h.decoded.response(in.GetId(), d.Bytes)
}

// GetProductByHandle returns one product. The response is shared, so the caller must not modify it.
//
// Errors: not_found.
func (h *RPC) GetProductByHandle(
	ctx context.Context, in *productv1.GetProductByHandleRequest,
) (*productv1.GetProductByHandleResponse, error) {
	productID, err := h.service.ProductByHandle(ctx, in.GetShop(), in.GetHandle())
	if err != nil {
		return nil, err
	}
	out, err := h.GetProduct(ctx, &productv1.GetProductRequest{Id: productID})
	return &productv1.GetProductByHandleResponse{Product: out.GetProduct()}, err
}

func decodeProduct(doc []byte) (*productv1.Product, error) {
	p := &productv1.Product{}
	return p, proto.Unmarshal(doc, p)
}

// ListCategories returns the category tree.
func (h *RPC) ListCategories(
	ctx context.Context, _ *productv1.ListCategoriesRequest,
) (*productv1.ListCategoriesResponse, error) {
	all, err := h.service.Categories(ctx)
	if err != nil {
		return nil, err
	}
	out := &productv1.ListCategoriesResponse{Categories: make([]*productv1.Category, len(all))}
	for i, c := range all {
		out.Categories[i] = categoryToProto(c)
	}
	return out, nil
}

func categoryToProto(c domain.Category) *productv1.Category {
	return &productv1.Category{Id: c.ID, Name: c.Name, ParentId: c.ParentID, Path: c.Path}
}

// CreateCategory adds a category.
//
// Errors: invalid_argument, not_found (the parent), already_exists.
func (h *RPC) CreateCategory(
	ctx context.Context, in *productv1.CreateCategoryRequest,
) (*productv1.CreateCategoryResponse, error) {
	c, err := h.service.AddCategory(ctx, in.GetName(), in.GetParentId())
	if err != nil {
		return nil, err
	}
	return &productv1.CreateCategoryResponse{Category: categoryToProto(c)}, nil
}

// CreateProduct adds a product.
//
// Errors: invalid_argument, not_found, already_exists.
func (h *RPC) CreateProduct(
	ctx context.Context, in *productv1.CreateProductRequest,
) (*productv1.CreateProductResponse, error) {
	for i, v := range in.GetVariants() {
		if v.GetSku() == "" {
			return nil, errs.InvalidField(fmt.Sprintf("variants[%d].sku", i), "must not be empty")
		}
	}
	variants, err := variantsFromProto(in.GetVariants())
	if err != nil {
		return nil, err
	}
	d, err := h.service.CreateProduct(ctx, domain.Product{
		ShopID:      in.GetShopId(),
		Handle:      in.GetHandle(),
		Title:       in.GetTitle(),
		Description: in.GetDescription(),
		CategoryID:  in.GetCategoryId(),
		Images:      imagesFromProto(in.GetImages()),
		Status:      domain.Status(in.GetStatus()),
		Tags:        in.GetTags(),
		Variants:    variants,
		Details: domain.Details{
			Brand: &in.Brand, ProductType: &in.ProductType, SEOTitle: &in.SeoTitle, SEODescription: &in.SeoDescription,
			OptionNames: in.GetOptionNames(),
		},
	})
	if err != nil {
		return nil, err
	}
	p, err := decodeProduct(d.Bytes)
	return &productv1.CreateProductResponse{Product: p}, err
}

// UpdateProduct changes a product.
//
// Errors: invalid_argument, not_found, already_exists, conflict, precondition_failed.
func (h *RPC) UpdateProduct(
	ctx context.Context, in *productv1.UpdateProductRequest,
) (*productv1.UpdateProductResponse, error) {
	variants, err := variantsFromProto(in.GetVariants())
	if err != nil {
		return nil, err
	}
	fields, err := fieldsOf(in.GetUpdateMask(), in)
	if err != nil {
		return nil, err
	}
	d, err := h.service.UpdateProduct(ctx, in.GetId(), domain.Product{
		Title: in.GetTitle(), Description: in.GetDescription(), CategoryID: in.GetCategoryId(),
		Status: domain.Status(in.GetStatus()), Images: imagesFromProto(in.GetImages()), Tags: in.GetTags(),
		Variants: variants, Details: detailsFromProto(in, fields),
	}, domain.Edit{Fields: fields, DropVariants: in.GetReplace(), DropImages: true}, ifMatch(in.GetIfMatch()))
	if err != nil {
		return nil, err
	}
	p, err := decodeProduct(d.Bytes)
	return &productv1.UpdateProductResponse{Product: p}, err
}

// DeleteProduct takes a product off sale.
//
// Errors: not_found, precondition_failed.
func (h *RPC) DeleteProduct(
	ctx context.Context, in *productv1.DeleteProductRequest,
) (*productv1.DeleteProductResponse, error) {
	if err := h.service.DeleteProduct(ctx, in.GetId(), ifMatch(in.GetIfMatch())); err != nil {
		return nil, err
	}
	return &productv1.DeleteProductResponse{}, nil
}

// idPosition is a row's place in a list in the order of IDs. The page token holds it.
type idPosition struct {
	ID string `json:"i"`
}

func (p idPosition) validate() error { return domain.Text("pageToken", p.ID) }

// ListShopProducts lists a shop's products with their stock.
//
// Errors: invalid_argument, not_found.
func (h *RPC) ListShopProducts(
	ctx context.Context, in *productv1.ListShopProductsRequest,
) (*productv1.ListShopProductsResponse, error) {
	read := func(ctx context.Context, after idPosition, limit int) ([]domain.StockedDocument, error) {
		if err := after.validate(); err != nil {
			return nil, err
		}
		return h.service.ShopProducts(ctx, in.GetShopId(), domain.Status(in.GetStatus()), after.ID, limit)
	}
	found, next, err := page.List(ctx, page.Of(in, "shop-products", in.GetShopId(), in.GetStatus()), idPosition{},
		read, func(d domain.StockedDocument) idPosition { return idPosition{d.ID} })
	if err != nil {
		return nil, err
	}
	out := &productv1.ListShopProductsResponse{NextPageToken: next}
	for _, d := range found {
		p, err := decodeProduct(d.Bytes)
		if err != nil {
			return nil, err
		}
		stocked := &productv1.StockedProduct{Product: p, Costs: map[string]*moneyv1.Money{}}
		for _, v := range d.Variants {
			if cost := domain.Value(v.Cost); !cost.IsZero() {
				stocked.Costs[v.ID] = cost.ToProto()
			}
			stocked.Stock = append(
				stocked.Stock,
				&productv1.Stock{
					VariantId: v.ID,
					Sku:       v.SKU,
					OnHand:    *v.OnHand,
					Reserved:  v.Reserved,
					Available: v.Available(),
				},
			)
		}
		out.Products = append(out.Products, stocked)
	}
	return out, nil
}

// ExportProducts pages through whole products.
//
// Errors: invalid_argument.
func (h *RPC) ExportProducts(
	ctx context.Context, in *productv1.ExportProductsRequest,
) (*productv1.ExportProductsResponse, error) {
	request := page.Request{Size: int(in.GetPageSize()), Token: in.GetPageToken(), Filter: []string{"export"}}
	products, next, err := export(ctx, request, h.service.Export)
	return &productv1.ExportProductsResponse{Products: products, NextPageToken: next}, err
}

// ExportShopProducts pages through whole products of a shop.
//
// Errors: invalid_argument, not_found.
func (h *RPC) ExportShopProducts(
	ctx context.Context, in *productv1.ExportShopProductsRequest,
) (*productv1.ExportShopProductsResponse, error) {
	request := page.Request{
		Size: int(in.GetPageSize()), Token: in.GetPageToken(), Filter: []string{"export-shop", in.GetShopId()},
	}
	products, next, err := export(ctx, request,
		func(ctx context.Context, after string, size int) ([]domain.Exported, error) {
			return h.service.ExportShop(ctx, in.GetShopId(), after, size)
		})
	return &productv1.ExportShopProductsResponse{Products: products, NextPageToken: next}, err
}

// export returns a page of products that read returns.
func export(
	ctx context.Context, request page.Request,
	read func(ctx context.Context, after string, size int) ([]domain.Exported, error),
) ([]*productv1.ImportedProduct, string, error) {
	request.Size = min(cmp.Or(request.Size, defaultExport), maxExport)
	found, next, err := page.List(ctx, request, idPosition{},
		func(ctx context.Context, after idPosition, limit int) ([]domain.Exported, error) {
			if err := after.validate(); err != nil {
				return nil, err
			}
			return read(ctx, after.ID, limit)
		}, func(p domain.Exported) idPosition { return idPosition{p.ID} })
	if err != nil {
		return nil, "", err
	}
	products := make([]*productv1.ImportedProduct, 0, len(found))
	for _, p := range found {
		products = append(products, exportedToProto(p))
	}
	return products, next, nil
}

// BatchGetVariants returns the offers of variants. Unknown variants are left out.
func (h *RPC) BatchGetVariants(
	ctx context.Context, in *productv1.BatchGetVariantsRequest,
) (*productv1.BatchGetVariantsResponse, error) {
	offers, err := h.service.Offers(ctx, in.GetVariantIds())
	if err != nil {
		return nil, err
	}
	out := &productv1.BatchGetVariantsResponse{Offers: make([]*productv1.Offer, len(offers))}
	for i, o := range offers {
		out.Offers[i] = &productv1.Offer{
			VariantId: o.ID,
			ProductId: o.ProductID,
			ShopId:    o.ShopID,
			ShopName:  o.ShopName,
			Title:     o.Title,
			Sku:       o.SKU,
			Options:   o.Options,
			Price:     o.Price.ToProto(),
			ImageUrl:  o.ImageURL,
			Available: o.Pieces,
			ForSale:   o.ForSale,
		}
	}
	if !in.GetWithCategories() {
		return out, nil
	}
	products := make([]string, len(offers))
	for i, o := range offers {
		products[i] = o.ProductID
	}
	categories, err := h.service.CategoriesOf(ctx, products)
	for _, o := range out.GetOffers() {
		o.CategoryIds = categories[o.GetProductId()]
	}
	return out, err
}

// CheckAvailability returns the variants that cannot be reserved now.
//
// Errors: invalid_argument.
func (h *RPC) CheckAvailability(
	ctx context.Context, in *productv1.CheckAvailabilityRequest,
) (*productv1.CheckAvailabilityResponse, error) {
	short, err := h.service.Short(ctx, linesFromProto(in.GetLines()))
	if err != nil {
		return nil, err
	}
	return &productv1.CheckAvailabilityResponse{ShortVariantIds: short}, nil
}

// ReserveInventory holds stock for an order.
//
// Errors: out_of_stock, not_found, conflict, invalid_argument.
func (h *RPC) ReserveInventory(
	ctx context.Context, in *productv1.ReserveInventoryRequest,
) (*productv1.ReserveInventoryResponse, error) {
	expires, err := h.service.Reserve(ctx, in.GetOrderId(), linesFromProto(in.GetLines()),
		time.Duration(in.GetTtlSeconds())*time.Second)
	if err != nil {
		return nil, err
	}
	return &productv1.ReserveInventoryResponse{ExpiresAt: timestamppb.New(expires)}, nil
}

// ReleaseInventory gives back the pieces of a reservation.
//
// Errors: invalid_argument, conflict (the pieces are sold).
func (h *RPC) ReleaseInventory(
	ctx context.Context, in *productv1.ReleaseInventoryRequest,
) (*productv1.ReleaseInventoryResponse, error) {
	if err := h.service.Release(ctx, in.GetOrderId()); err != nil {
		return nil, err
	}
	return &productv1.ReleaseInventoryResponse{}, nil
}

// CommitInventory makes a reservation a sale.
//
// Errors: invalid_argument, not_found, conflict, out_of_stock.
func (h *RPC) CommitInventory(
	ctx context.Context, in *productv1.CommitInventoryRequest,
) (*productv1.CommitInventoryResponse, error) {
	if err := h.service.Commit(ctx, in.GetOrderId()); err != nil {
		return nil, err
	}
	return &productv1.CommitInventoryResponse{}, nil
}

// RestockInventory puts the pieces of a sale back.
//
// Errors: invalid_argument, not_found, conflict.
func (h *RPC) RestockInventory(
	ctx context.Context, in *productv1.RestockInventoryRequest,
) (*productv1.RestockInventoryResponse, error) {
	if err := h.service.Restock(ctx, in.GetOrderId(), in.GetVariantIds()); err != nil {
		return nil, err
	}
	return &productv1.RestockInventoryResponse{}, nil
}
