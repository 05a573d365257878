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

// Seed creates the demo's shops and their products in a souk for development or staging, and prints what it did. Shops
// that already exist stay as they are. The client needs an operator's token.
//
// Errors: ErrProduction, and those of the API.
func Seed(ctx context.Context, client *api.Client, out io.Writer) error {
	environment, err := client.Environment(ctx)
	if err != nil {
		return err
	}
	if environment != "development" && environment != "staging" {
		return fmt.Errorf("%w: its gateway.environment is %q", ErrProduction, environment)
	}
	created, err := seed(ctx, client)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(
		out,
		"created %d of %d shops with their products (%s)\n",
		len(created),
		len(demoShops),
		environment,
	)
	return err
}

// ErrProduction is the error of [Seed] for a souk that is not said to be for development or staging.
var ErrProduction = errors.New("demo shops do not belong into production: nothing was changed")

// loadDemo creates the demo's shops in a souk dev.
func loadDemo(ctx context.Context, state *State) error {
	token, err := state.OperatorToken(ctx)
	if err != nil {
		return err
	}
	_, err = seed(ctx, api.New(state.URL, token))
	return err
}

// seed creates the demo's shops and their products, and returns the names of the shops that were missing. It does not
// change a shop that already exists, so that its sales are kept.
func seed(ctx context.Context, client *api.Client) (created []string, err error) {
	for name, shop := range demoShops {
		shop.Name, shop.Handle = name, demoHandle(name)
		err := client.Call(ctx, http.MethodPost, "/v1/shops", shop, nil)
		if errs.Is(err, errs.AlreadyExists) {
			continue
		}
		if err != nil {
			return nil, err
		}
		created = append(created, name)
	}
	if len(created) == 0 {
		return nil, nil
	}
	reader, err := productcsv.NewReader(bytes.NewReader(demoProducts), "BRL")
	if err != nil {
		return nil, err
	}
	req := &productv1.ImportProductsRequest{}
	for {
		p, refused, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(refused) > 0 {
			return nil, fmt.Errorf("demo/products.csv, line %d: %s", refused[0].Line, refused[0].Reason)
		}
		if p != nil && slices.Contains(created, p.Vendor) {
			p.Shop = demoHandle(p.Vendor)
			req.Products = append(req.Products, p.ImportedProduct)
		}
	}
	var res productv1.ImportProductsResponse
	if err := client.Call(ctx, http.MethodPost, "/v1/products:import", req, &res); err != nil {
		return nil, err
	}
	for i, r := range res.GetResults() {
		if r.GetOutcome() == "rejected" {
			return nil, fmt.Errorf("product %s: %s", req.GetProducts()[i].GetHandle(), r.GetReason())
		}
	}
	return created, nil
}
