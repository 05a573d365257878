package dev

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"souk/cmd/souk/internal/api"
	"souk/cmd/souk/internal/productcsv"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/handle"
)

//go:embed demo/products.csv
var demoProducts []byte

// demoShops maps the vendor names of demo/products.csv to their shops.
var demoShops = map[string]*shopv1.CreateShopRequest{
	"Ateliê Aurora": {
		Description: "Clothes of linen, cotton and wool, made to last.",
		City:        "Fortaleza",
		Region:      "CE",
		CountryCode: "BR",
	},
	"Casa Cerrado": {Description: "Things for kitchen and bedroom.", City: "Goiânia", Region: "GO", CountryCode: "BR"},
	"Trilha Norte": {
		Description: "Gear for running, camping and climbing.",
		City:        "Manaus",
		Region:      "AM",
		CountryCode: "BR",
	},
	"Vinil & Café": {
		Description: "Records, and coffee to go with them.",
		City:        "Belo Horizonte",
		Region:      "MG",
		CountryCode: "BR",
	},
}

// demoHandle returns the handle of a demo shop. It needs no hash, because the names' slugs differ.
func demoHandle(name string) string { return handle.Of(name, handle.MaxLen) }

// loadDemo creates the demo's shops and their products. It does not change a shop that already exists, so that
// its sales are kept.
func loadDemo(ctx context.Context, state *State) error {
	token, err := state.OperatorToken(ctx)
	if err != nil {
		return err
	}
	client := api.New(state.URL, token)
	var created []string
	for name, shop := range demoShops {
		shop.Name, shop.Handle = name, demoHandle(name)
		err := client.Call(ctx, http.MethodPost, "/v1/shops", shop, nil)
		if errs.Is(err, errs.AlreadyExists) {
			continue
		}
		if err != nil {
			return err
		}
		created = append(created, name)
	}
	if len(created) == 0 {
		return nil
	}
	reader, err := productcsv.NewReader(bytes.NewReader(demoProducts), "BRL")
	if err != nil {
		return err
	}
	req := &productv1.ImportProductsRequest{}
	for {
		p, refused, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if len(refused) > 0 {
			return fmt.Errorf("demo/products.csv, line %d: %s", refused[0].Line, refused[0].Reason)
		}
		if p != nil && slices.Contains(created, p.Vendor) {
			p.Shop = demoHandle(p.Vendor)
			req.Products = append(req.Products, p.ImportedProduct)
		}
	}
	var res productv1.ImportProductsResponse
	if err := client.Call(ctx, http.MethodPost, "/v1/products:import", req, &res); err != nil {
		return err
	}
	for i, r := range res.GetResults() {
		if r.GetOutcome() == "rejected" {
			return fmt.Errorf("product %s: %s", req.GetProducts()[i].GetHandle(), r.GetReason())
		}
	}
	return nil
}
