package handler

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/service"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/page"
)

// SearchProducts lists, filters and searches products.
//
// Errors: invalid_argument.
func (h *RPC) SearchProducts(
	ctx context.Context, in *productv1.SearchProductsRequest,
) (*productv1.SearchProductsResponse, error) {
	if h.lists == nil {
		return h.search(ctx, in)
	}
	return h.lists.get(ctx, in, h.search)
}

func (h *RPC) search(
	ctx context.Context, in *productv1.SearchProductsRequest,
) (*productv1.SearchProductsResponse, error) {
	search, err := searchFromProto(in)
	if err != nil {
		return nil, err
	}
	found, err := h.service.Search(ctx, search)
	if err != nil {
		return nil, err
	}
	h.searches.WithLabelValues(cmp.Or(found.Stage, "none")).Inc()
	out := &productv1.SearchProductsResponse{Products: make([]*productv1.Product, len(found.Documents))}
	for i, doc := range found.Documents {
		if out.Products[i], err = decodeProduct(doc); err != nil {
			return nil, err
		}
	}
	if found.Next != nil {
		out.NextPageToken = page.Encode(found.Next, filter(in)...)
	}
	if found.Facets != nil {
		out.TotalSize = &found.Facets.Total
		out.Facets = facetsToProto(found.Facets)
	}
	return out, nil
}

// filter returns the fields that decide which rows a list has and in which order. A page token is bound to them.
func filter(in *productv1.SearchProductsRequest) []string {
	return []string{
		"search",
		in.GetQuery(),
		in.GetCategoryId(),
		in.GetShopId(),
		in.GetMinPrice(),
		in.GetMaxPrice(),
		in.GetCurrencyCode(),
		fmt.Sprint(in.GetInStock()),
		in.GetSort(),
		fmt.Sprintf("%q", in.GetIds()),
		fmt.Sprintf("%q", in.GetOptions()),
		fmt.Sprint(in.GetMinRating()),
	}
}

func searchFromProto(in *productv1.SearchProductsRequest) (domain.Search, error) {
	search := domain.Search{
		Query:      in.GetQuery(),
		CategoryID: in.GetCategoryId(),
		Shop:       in.GetShopId(),
		Currency:   in.GetCurrencyCode(),
		InStock:    in.GetInStock(),
		MinRating:  in.GetMinRating(),
		Sort:       domain.Sort(in.GetSort()),
		Facets:     in.GetFacets(),
	}
	if len(in.GetIds()) > 0 {
		search.IDs = strings.Split(strings.Join(in.GetIds(), ","), ",")
	}
	if len(search.IDs) > page.MaxSize {
		return search, errs.InvalidField("ids", "must be at most %d", page.MaxSize)
	}
	search.PageSize = page.Size(cmp.Or(in.GetPageSize(), int32(len(search.IDs))))
	var err error
	if search.Options, err = domain.ParseOptions("options", in.GetOptions()); err != nil {
		return search, err
	}
	for _, t := range []struct{ path, text string }{
		{"query", search.Query}, {"categoryId", search.CategoryID}, {"shopId", search.Shop},
		{"ids", strings.Join(search.IDs, "")}, {"options", strings.Join(in.GetOptions(), "")},
	} {
		if err := domain.Text(t.path, t.text); err != nil {
			return search, err
		}
	}
	if search.Currency != "" {
		if _, err := money.ParseCurrency(search.Currency); err != nil {
			return search, errs.InvalidField("currencyCode", "%s", errs.From(err).Message)
		}
	}
	if search.MinPrice, err = domain.ParseBound("minPrice", in.GetMinPrice(), search.Currency); err != nil {
		return search, err
	}
	if search.MaxPrice, err = domain.ParseBound("maxPrice", in.GetMaxPrice(), search.Currency); err != nil {
		return search, err
	}
	if in.GetPageToken() != "" {
		search.After = &domain.Position{}
		if err := page.Decode(in.GetPageToken(), search.After, filter(in)...); err != nil {
			return search, err
		}
		if err := search.After.Validate(); err != nil {
			return search, err
		}
	}
	return search, nil
}

// ImportProducts creates or updates products. Each has its own outcome.
//
// Errors: unavailable, timeout.
func (h *RPC) ImportProducts(
	ctx context.Context, in *productv1.ImportProductsRequest,
) (*productv1.ImportProductsResponse, error) {
	items := make([]service.Item, len(in.GetProducts()))
	for i, p := range in.GetProducts() {
		items[i] = itemFromProto(p)
	}
	outcomes, err := h.service.Import(ctx, items, in.GetReplace())
	if err != nil {
		return nil, err
	}
	out := &productv1.ImportProductsResponse{Results: make([]*productv1.ImportResult, len(outcomes))}
	for i, o := range outcomes {
		out.Results[i] = &productv1.ImportResult{
			Outcome: o.Result, ProductId: o.ProductID, Reason: o.Reason, UnknownCategory: o.UnknownCategory,
		}
	}
	return out, nil
}
