package catalogue

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"souk/cmd/souk/internal/api"
	"souk/cmd/souk/internal/explain"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeAPI is a fake of the API's methods that import and export call. It keeps products by shop and handle.
type fakeAPI struct {
	url string
	// refuse, if set, is called first for each import. It returns true if it has written the response.
	refuse func(w http.ResponseWriter, req *productv1.ImportProductsRequest) bool
	// onExport, if set, is called for each page of an export.
	onExport func()

	mu       sync.Mutex
	shops    map[string]string // name by handle
	created  []string          // names of the shops that were created
	products map[string]*productv1.ImportedProduct
	order    []string
	batches  []int
}

func newFakeAPI(t *testing.T, shops ...string) *fakeAPI {
	t.Helper()
	f := &fakeAPI{shops: map[string]string{}, products: map[string]*productv1.ImportedProduct{}}
	for _, s := range shops {
		f.shops[s] = s
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/shops/{handle}", f.getShop)
	mux.HandleFunc("POST /v1/shops", f.createShop)
	mux.HandleFunc("POST /v1/products:import", f.importProducts)
	mux.HandleFunc("GET /v1/operator/products:export", f.exportProducts)
	mux.HandleFunc("GET /v1/shops/{shop}/products:export", f.exportProducts)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			problem(w, http.StatusUnauthorized, "unauthenticated", "the token is not valid")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		server.Close()
	})
	f.url = server.URL
	return f
}

func problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":%d,"code":%q,"detail":%q}`, status, code, detail)
}

func answer(w http.ResponseWriter, m proto.Message) {
	raw, err := protojson.Marshal(m)
	if err != nil {
		panic(err) // can't happen: the test made the message
	}
	_, _ = w.Write(raw)
}

func (f *fakeAPI) getShop(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	handle := r.PathValue("handle")
	name, ok := f.shops[handle]
	if !ok {
		problem(w, http.StatusNotFound, "not_found", "there is no such shop")
		return
	}
	answer(w, &shopv1.Shop{Id: "shp_" + handle, Handle: handle, Name: name})
}

func (f *fakeAPI) createShop(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var req shopv1.CreateShopRequest
	if err := protojson.Unmarshal(raw, &req); err != nil {
		problem(w, http.StatusBadRequest, "invalid_argument", err.Error())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.shops[req.GetHandle()]; ok {
		problem(w, http.StatusConflict, "already_exists", "the handle is taken")
		return
	}
	f.shops[req.GetHandle()] = req.GetName()
	f.created = append(f.created, req.GetName())
	answer(w, &shopv1.Shop{Id: "shp_" + req.GetHandle(), Handle: req.GetHandle()})
}

func (f *fakeAPI) importProducts(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	var req productv1.ImportProductsRequest
	if err := protojson.Unmarshal(raw, &req); err != nil {
		problem(w, http.StatusBadRequest, "invalid_argument", err.Error())
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batches = append(f.batches, len(req.GetProducts()))
	if f.refuse != nil && f.refuse(w, &req) {
		return
	}
	res := &productv1.ImportProductsResponse{}
	for _, p := range req.GetProducts() {
		p.Status = cmp.Or(p.GetStatus(), "active")
		for _, v := range p.GetVariants() {
			if strings.Trim(v.GetCompareAtPrice().GetAmount(), "0.") == "" { // none, as souk takes it
				v.CompareAtPrice = nil
			}
		}
		key := p.GetShop() + "/" + p.GetHandle()
		outcome, reason := "created", ""
		switch old := f.products[key]; {
		case strings.HasPrefix(p.GetTitle(), "refuse"):
			outcome, reason = "rejected", "the title is not liked"
		case old != nil && proto.Equal(withoutEmpty(old), withoutEmpty(p)):
			outcome = "unchanged"
		case old != nil:
			outcome = "updated"
		default:
			f.order = append(f.order, key)
		}
		if reason == "" {
			f.products[key] = p
		}
		result := &productv1.ImportResult{Outcome: outcome, Reason: reason}
		if path := p.GetCategoryPath(); len(path) > 0 && path[0] != "Known" {
			result.UnknownCategory = path
		}
		res.Results = append(res.Results, result)
	}
	answer(w, res)
}

// withoutEmpty returns a product without fields that say that there is nothing.
func withoutEmpty(p *productv1.ImportedProduct) *productv1.ImportedProduct {
	p = proto.Clone(p).(*productv1.ImportedProduct)
	p.FurtherColumnNames = nil
	for _, text := range []**string{&p.Brand, &p.ProductType, &p.SeoTitle, &p.SeoDescription} {
		if *text != nil && **text == "" {
			*text = nil
		}
	}
	for _, v := range p.GetVariants() {
		if v.GetBarcode() == "" {
			v.Barcode = nil
		}
		if v.GetImageUrl() == "" {
			v.ImageUrl = nil
		}
		if v.GetWeightGrams() == 0 {
			v.WeightGrams = nil
		}
		if v.GetCost().GetAmount() == "0.00" {
			v.Cost = nil
		}
	}
	return p
}

// exportProducts returns pages of two products.
func (f *fakeAPI) exportProducts(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.onExport != nil {
		f.onExport()
	}
	from := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("pageToken"), &from) // fails on "", which means the first page
	res := &productv1.ExportProductsResponse{}
	for _, key := range f.order[from:min(from+2, len(f.order))] {
		if shop := r.PathValue("shop"); shop == "" || shop == f.products[key].GetShop() {
			res.Products = append(res.Products, f.products[key])
		}
	}
	if from+2 < len(f.order) {
		res.NextPageToken = fmt.Sprint(from + 2)
	}
	answer(w, res)
}

// importFile imports a file and returns what Import prints.
func (f *fakeAPI) importFile(t *testing.T, path string, change ...func(*ImportOptions)) (out string, err error) {
	t.Helper()
	return f.importIn(t.Context(), path, change...)
}

func (f *fakeAPI) importIn(ctx context.Context, path string, change ...func(*ImportOptions)) (out string, err error) {
	o := ImportOptions{Path: path, Currency: "BRL", Progress: io.Discard}
	for _, c := range change {
		c(&o)
	}
	var b bytes.Buffer
	err = Import(ctx, api.New(f.url, "good"), &b, o)
	return b.String(), err
}

func createShops(o *ImportOptions) { o.CreateShops = true }

const importHeader = "Handle,Title,Vendor,Variant SKU,Variant Price\n"

func csvFile(t *testing.T, rows string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalogue.csv")
	require.NoError(t, os.WriteFile(path, []byte(importHeader+rows), 0o600))
	return path
}

// rejectedRows reads FILE.rejected.csv. It checks the header and returns the other rows.
func rejectedRows(t *testing.T, path string) [][]string {
	t.Helper()
	raw, err := os.ReadFile(rejectedPath(path))
	require.NoError(t, err)
	r := csv.NewReader(bytes.NewReader(raw))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"Line", "Reason", "Handle", "Title", "Vendor", "Variant SKU", "Variant Price"}, rows[0])
	return rows[1:]
}

func TestImportSendsBatchesAndASecondRunChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa-cerrado")
	var rows strings.Builder
	for i := range 250 {
		fmt.Fprintf(&rows, "p%d,Product %d,Casa Cerrado,S%d,%d.90\np%d,,,S%d-2,%d.90\n", i, i, i, i+1, i, i, i+2)
	}
	path := csvFile(t, rows.String())
	require.NoError(t, os.WriteFile(rejectedPath(path), []byte("of an earlier run"), 0o600))

	out, err := f.importFile(t, path)
	require.NoError(t, err)
	require.Equal(t, "imported 250 products (500 variants), updated 0, unchanged 0, rejected 0\n", out)
	require.ElementsMatch(t, []int{100, 100, 50}, f.batches)
	require.NoFileExists(t, rejectedPath(path))
	p := f.products["casa-cerrado/p7"]
	require.Equal(t, "Product 7", p.GetTitle())
	require.Equal(t, "8.90", p.GetVariants()[0].GetPrice().GetAmount())
	require.Equal(t, "BRL", p.GetVariants()[0].GetPrice().GetCurrencyCode())

	out, err = f.importFile(t, path)
	require.NoError(t, err)
	require.Equal(t, "imported 0 products (0 variants), updated 0, unchanged 250, rejected 0\n", out)
}

func TestGoodRowsAreKeptAndBadOnesListed(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	path := csvFile(t,
		"a,A,Casa,A,1\nb,B,Casa,B,free\nc,C\nd,refuse this,Casa,D,2\nd,,,D2,3\ne,\"E,Casa,E,1\nf,F,Casa,F,2\n")
	out, err := f.importFile(t, path)
	require.ErrorContains(t, err, "5 rows were rejected: see "+strings.TrimSuffix(path, ".csv")+".rejected.csv")
	require.Equal(t, "imported 2 products (2 variants), updated 0, unchanged 0, rejected 5\n", out)
	require.Equal(t, [][]string{
		{"3", `Variant Price "free" is not an amount of BRL`, "b", "B", "Casa", "B", "free"},
		{"4", "has 2 fields where the header has 5", "c", "C"},
		{"5", "the title is not liked", "d", "refuse this", "Casa", "D", "2"},
		{"6", "the title is not liked", "d", "", "", "D2", "3"},
		{"7", "not CSV: a quote is opened and not closed", "e,\"E,Casa,E,1"},
	}, rejectedRows(t, path))
	require.Len(t, f.products, 2)
}

func TestInvalidFileImportsNothing(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	wrong := filepath.Join(t.TempDir(), "wrong.csv")
	require.NoError(t, os.WriteFile(wrong, []byte("sku;name\n1;A\n"), 0o600))
	for path, want := range map[string]string{
		wrong:                            "this is not a product CSV: its header lacks Handle, Title, Vendor, Variant Price",
		filepath.Join(wrong, "none.csv"): "can't be read",
		t.TempDir():                      "can't be read",
	} {
		_, err := f.importFile(t, path)
		var unreadable *FileError
		require.ErrorAs(t, err, &unreadable, path)
		require.ErrorContains(t, err, want)
	}
	require.Empty(t, f.batches)
	require.NoFileExists(t, rejectedPath(wrong))
}

func TestShopsAreCreatedOnceAndOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	var rows strings.Builder
	for i := range 300 {
		fmt.Fprintf(&rows, "p%d,P,%s,S%d,1\n", i, []string{"Casa", "Ateliê Aurora", "日本"}[i%3], i)
	}
	path := csvFile(t, rows.String())

	out, err := f.importFile(t, path)
	require.ErrorContains(t, err, "200 rows were rejected")
	require.Equal(t, "imported 100 products (100 variants), updated 0, unchanged 0, rejected 200\n", out)
	require.Contains(t, rejectedRows(t, path), []string{
		"3", `there is no shop "Ateliê Aurora" (handle atelie-aurora): create it, or import with --create-shops`,
		"p1", "P", "Ateliê Aurora", "S1", "1",
	})
	require.Empty(t, f.created)

	out, err = f.importFile(t, path, createShops)
	require.NoError(t, err)
	require.Equal(t, "imported 200 products (200 variants), updated 0, unchanged 100, rejected 0\n", out)
	require.ElementsMatch(t, []string{"Ateliê Aurora", "日本"}, f.created)
	require.NoFileExists(t, rejectedPath(path))
}

func TestAllProductsGoToOneShopWhateverTheVendor(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	path := csvFile(t, "a,A,Nike,A,1\na,,Adidas,A2,1\nb,B,,B,2\n")
	intoShop := func(shop string) func(*ImportOptions) { return func(o *ImportOptions) { o.Shop = shop } }
	out, err := f.importFile(t, path, intoShop("casa"))
	require.NoError(t, err)
	require.Equal(t, "imported 2 products (3 variants), updated 0, unchanged 0, rejected 0\n", out)
	require.ElementsMatch(t, []string{"casa/a", "casa/b"}, f.order)

	_, err = f.importFile(t, path, intoShop("nowhere"))
	require.Equal(t, `there is no shop "nowhere"`, explain.Error(err))
	require.NoFileExists(t, rejectedPath(path))
}

func TestUnavailableIsRetried(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	failures := 2
	f.refuse = func(w http.ResponseWriter, _ *productv1.ImportProductsRequest) bool {
		if failures == 0 {
			return false
		}
		failures--
		problem(w, http.StatusServiceUnavailable, "unavailable", "in a moment")
		return true
	}
	out, err := f.importFile(t, csvFile(t, "a,A,Casa,A,1\n"))
	require.NoError(t, err)
	require.Contains(t, out, "imported 1 products")
	require.Len(t, f.batches, 3)
}

// A product that no request may carry fails its whole request. Only that product may be rejected.
func TestRefusedRequestRejectsOnlyItsProduct(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	f.refuse = func(w http.ResponseWriter, req *productv1.ImportProductsRequest) bool {
		for _, p := range req.GetProducts() {
			if p.GetTitle() == "unreadable" {
				problem(w, http.StatusBadRequest, "invalid_argument", "cannot be read")
				return true
			}
		}
		return false
	}
	var rows strings.Builder
	for i := range 40 {
		title := "fine"
		if i == 17 || i == 30 {
			title = "unreadable"
		}
		fmt.Fprintf(&rows, "p%d,%s,Casa,S%d,1\n", i, title, i)
	}
	path := csvFile(t, rows.String())
	out, err := f.importFile(t, path)
	require.Error(t, err)
	require.Equal(t, "imported 38 products (38 variants), updated 0, unchanged 0, rejected 2\n", out)
	require.ElementsMatch(t, [][]string{
		{"19", "cannot be read", "p17", "unreadable", "Casa", "S17", "1"},
		{"32", "cannot be read", "p30", "unreadable", "Casa", "S30", "1"},
	}, rejectedRows(t, path))
}

func TestWrongTokenRejectsNoRows(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t, "casa")
	path := csvFile(t, "a,A,Casa,A,1\n")
	err := Import(t.Context(), api.New(f.url, "bad"), io.Discard, ImportOptions{Path: path, Currency: "BRL"})
	require.ErrorContains(t, err, "the token is not valid")
	require.NoFileExists(t, rejectedPath(path))
}

// An interrupted import prints what it imported. The next run imports the rest.
func TestInterruptedImportIsCompletedByTheNextRun(t *testing.T) {
	t.Parallel()
	for want, refuse := range map[string]func(cancel func(), w http.ResponseWriter) bool{
		"interrupted; run the same command again": func(cancel func(), _ http.ResponseWriter) bool {
			cancel()
			return false
		},
		"the token has expired; run the same command again": func(_ func(), w http.ResponseWriter) bool {
			problem(w, http.StatusUnauthorized, "unauthenticated", "the token has expired")
			return true
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			f := newFakeAPI(t, "casa")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f.refuse = func(w http.ResponseWriter, _ *productv1.ImportProductsRequest) bool {
				return len(f.batches) > 2 && refuse(cancel, w) // two have ended by then
			}
			var rows strings.Builder
			for i := range 1000 {
				fmt.Fprintf(&rows, "p%d,P,Casa,S%d,1\n", i, i)
			}
			path := csvFile(t, rows.String())
			out, err := f.importIn(ctx, path)
			require.Contains(t, explain.Error(err), want)
			require.Regexp(t,
				`^so far: imported [2-9]00 products \([2-9]00 variants\), updated 0, unchanged 0, rejected 0\n$`, out)

			f.mu.Lock() // the fake may still handle requests that the interrupted command sent
			f.refuse = nil
			f.mu.Unlock()
			out, err = f.importFile(t, path)
			require.NoError(t, err)
			require.Regexp(t, `^imported [1-8]00 products .* unchanged [2-9]00, rejected 0\n$`, out)
		})
	}
}

func TestDemoFileIsValid(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	raw, err := os.ReadFile("../dev/demo/products.csv")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "demo.csv")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	out, err := f.importFile(t, path, createShops)
	require.NoError(t, err)
	require.Contains(t, out, "rejected 0")
	require.Len(t, f.created, 4)
}
