package repository

import (
	"time"

	"google.golang.org/protobuf/proto"

	"souk/apps/product/internal/domain"
	"souk/apps/product/internal/repository/sqlc"
)

type protoMessage = proto.Message

func addProducts(products []domain.Product, now time.Time) sqlc.AddProductsParams {
	a := sqlc.AddProductsParams{Now: now}
	for _, p := range products {
		a.Ids, a.ShopIds, a.Handles = append(a.Ids, p.ID), append(a.ShopIds, p.ShopID), append(a.Handles, p.Handle)
		a.Titles, a.Descriptions = append(a.Titles, p.Title), append(a.Descriptions, p.Description)
		a.CategoryIds, a.Statuses = append(a.CategoryIds, p.CategoryID), append(a.Statuses, string(p.Status))
		a.Images, a.Tags = append(a.Images, encode(list(p.Images))), append(a.Tags, encode(list(p.Tags)))
		a.ImportHashes, a.Details = append(a.ImportHashes, p.ImportHash), append(a.Details, encode(p.Details.Stored()))
	}
	return a
}

func updateProducts(products []domain.Product, now time.Time) sqlc.UpdateProductsParams {
	u := sqlc.UpdateProductsParams{Now: now}
	for _, p := range products {
		u.Ids = append(u.Ids, p.ID)
		u.Titles, u.Descriptions = append(u.Titles, p.Title), append(u.Descriptions, p.Description)
		u.CategoryIds, u.Statuses = append(u.CategoryIds, p.CategoryID), append(u.Statuses, string(p.Status))
		u.Images, u.Tags = append(u.Images, encode(list(p.Images))), append(u.Tags, encode(list(p.Tags)))
		u.ImportHashes, u.Details = append(u.ImportHashes, p.ImportHash), append(u.Details, encode(p.Details.Stored()))
	}
	return u
}
