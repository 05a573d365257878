package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// The benchmark's own shops, whose products the checkouts buy. Their stock does not run out.
const (
	benchShops    = 20
	shopProducts  = 50
	benchStock    = 900_000
	hotHandle     = "hot-variant"
	listingWait   = 30 * time.Second
	indexInterval = 100 * time.Millisecond
)

// catalogue holds the import and the IDs of imported products.
type catalogue struct {
	imported   importRun
	importedAt time.Time
	variants   [benchShops][]string // variants of each of the benchmark's shops
	products   [benchShops][]string // their products
	hot        string               // the hot variant
	product    string               // the product that the GET rows read
}

var header = []string{
	"Handle",
	"Title",
	"Body (HTML)",
	"Vendor",
	"Product Category",
	"Tags",
	"Published",
	"Variant SKU",
	"Variant Inventory Qty",
	"Variant Price",
	"Status",
}

// words are the words of made-up titles and, without PriceRunner's queries, of searches.
var words = []string{
	"linen",
	"shirt",
	"clay",
	"teapot",
	"vinyl",
	"record",
	"trail",
	"shoe",
	"lamp",
	"oak",
	"table",
	"wool",
	"blanket",
	"steel",
	"bottle",
	"canvas",
	"bag",
	"silver",
	"ring",
	"ceramic",
	"bowl",
	"desk",
	"chair",
	"camera",
	"lens",
	"fridge",
	"washer",
	"phone",
	"case",
	"charger",
	"blue",
	"green",
}

// queries returns PriceRunner's queries. Without its files it returns pairs of words.
func queries(data string) []string {
	rows, err := readCSV(filepath.Join(data, "pricerunner", "queries.csv"))
	var out []string
	if err != nil {
		for i := range 200 {
			out = append(out, words[i%len(words)]+" "+words[(i*7+3)%len(words)])
		}
		return out
	}
	for _, r := range rows {
		out = append(out, r[1])
	}
	return out
}

func readCSV(path string) ([][]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // the file is only read
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) < 2 {
		return nil, errors.Join(err, fmt.Errorf("%s holds no rows", path))
	}
	return rows[1:], nil
}

// writeProducts writes a catalogue of n products: PriceRunner's offers, and made-up products if there are too few.
// Prices and stock depend only on the product's number, so that they are the same in every run.
func writeProducts(path, data string, n int) error {
	offers, err := readCSV(filepath.Join(data, "pricerunner", "offers.csv"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return writeCSV(path, func(write func(...string)) {
		for i := range n {
			price, stock := numbers(i)
			if i < len(offers) {
				o := offers[i]
				write("offer-"+o[0], o[1], "<p>"+o[1]+", seen as "+o[4]+".</p>", "Merchant "+o[2], o[6], "", "true",
					"PR-"+o[0], stock, price, "active")
				continue
			}
			r := rand.New(rand.NewPCG(uint64(i), 7)) //nolint:gosec // reproducible on purpose
			title := fmt.Sprintf("%s %s %s %04d", pick(r), pick(r), pick(r), i)
			write("made-"+strconv.Itoa(i), title, "<p>"+title+"</p>", fmt.Sprintf("Maker %03d", i%269), "Goods", "",
				"true", fmt.Sprintf("MADE-%06d", i), stock, price, "active")
		}
	})
}

func pick(r *rand.Rand) string { return words[r.IntN(len(words))] }

func numbers(i int) (price, stock string) {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, i) // never fails
	v := h.Sum32()
	return fmt.Sprintf("%d.%02d", 5+v%2000, v%100), strconv.Itoa(int(1 + v%500))
}

// writeBenchShops writes the products of the benchmark's shops.
func writeBenchShops(path string) error {
	return writeCSV(path, func(write func(...string)) {
		for s := range benchShops {
			for p := range shopProducts {
				price, _ := numbers(s*shopProducts + p)
				write(fmt.Sprintf("bench-%d-%d", s, p), fmt.Sprintf("Bench product %d of shop %d", p, s), "",
					fmt.Sprintf("Bench Shop %02d", s), "Goods", "", "true", fmt.Sprintf("BENCH-%d-%d", s, p),
					strconv.Itoa(benchStock), price, "active")
			}
		}
		write(hotHandle, "Hot variant", "", "Bench Hot", "Goods", "", "true", "BENCH-HOT", strconv.Itoa(benchStock),
			"19.90", "active")
	})
}

func writeCSV(path string, rows func(write func(...string))) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := csv.NewWriter(f)
	put := func(fields ...string) {
		if werr := w.Write(fields); err == nil {
			err = werr
		}
	}
	put(header...)
	rows(put)
	w.Flush()
	return errors.Join(err, w.Error())
}

type item struct {
	ID       string
	Variants []struct{ ID string }
}

// prepare imports the catalogue, once.
func (b *bench) prepare(ctx context.Context) error {
	if b.catalogue != nil {
		return nil
	}
	c := &catalogue{}
	file, shops := filepath.Join(b.dir, "products.csv"), filepath.Join(b.dir, "shops.csv")
	if err := errors.Join(writeProducts(file, b.data, b.products), writeBenchShops(shops)); err != nil {
		return err
	}
	var err error
	if c.imported, err = b.importFile(ctx, file); err != nil {
		return err
	}
	if _, err = b.importFile(ctx, shops); err != nil {
		return err
	}
	c.importedAt = time.Now()
	for s := range benchShops {
		products, err := b.awaitListed(ctx, fmt.Sprintf("bench-shop-%02d", s), shopProducts)
		if err != nil {
			return err
		}
		for _, p := range products {
			c.variants[s] = append(c.variants[s], p.Variants[0].ID)
			c.products[s] = append(c.products[s], p.ID)
		}
	}
	hot, err := b.awaitListed(ctx, "bench-hot", 1)
	if err != nil {
		return err
	}
	c.hot = hot[0].Variants[0].ID
	var page struct{ Products []item }
	if err := b.souk.get(ctx, "/v1/products?pageSize=20", &page); err != nil {
		return err
	}
	c.product = page.Products[0].ID
	b.catalogue = c
	return nil
}

// awaitListed waits until the product list shows n products of a shop, and returns them.
func (b *bench) awaitListed(ctx context.Context, shop string, n int) ([]item, error) {
	ctx, cancel := context.WithTimeout(ctx, listingWait)
	defer cancel()
	for {
		var page struct{ Products []item }
		if err := b.souk.get(ctx, "/v1/products?pageSize=100&shopId="+shop, &page); err != nil {
			return nil, err
		}
		if len(page.Products) >= n {
			return page.Products, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the list shows %d of %d products of %s", len(page.Products), n, shop)
		case <-time.After(indexInterval):
		}
	}
}
