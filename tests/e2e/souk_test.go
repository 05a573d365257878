// Package e2e tests the souk binary from the outside: over its REST API and by its commands.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/devstack"
	"souk/pkg/id"
	"souk/pkg/natstest"
	"souk/pkg/waittest"
)

// modes maps the topologies in which the suite runs to their flags.
var modes = map[string][]string{
	"inprocess": nil,
	"nats":      {"--transport", "nats"},
	"split":     {"--split"},
}

const (
	startTimeout = 90 * time.Second
	stopTimeout  = 30 * time.Second
	// minParallel is how many tests run in parallel at least. They mostly wait: for restarts, leases and retries.
	minParallel = 4
)

var binary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if options, isNode := os.LookupEnv(nodeVariable); isNode {
		if err := runNATSNode(options); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
	dir, err := os.MkdirTemp("", "souk-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // only a temporary directory would remain
	binary = filepath.Join(dir, "souk")
	args := []string{"build", "-o", binary}
	if coverage := os.Getenv("SOUK_TEST_COVERDIR"); coverage != "" { // make cover: each process writes what it executed
		args = append(args, "-cover", "-coverpkg=souk/pkg/...,souk/apps/...,souk/cmd/...")
		if err := os.Setenv("GOCOVERDIR", coverage); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	build := exec.Command("go", append(args, "souk/cmd/souk")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build souk: %v\n%s", err, out)
		return 1
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(minParallel, runtime.GOMAXPROCS(0)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	templateDir, err := devstack.TempDir()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(templateDir) }() // only a temporary directory would remain
	template.dir = filepath.Join(templateDir, "data")
	status := m.Run()
	transport.CloseIdleConnections()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(natstest.IgnoreServerLeaks()...); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}

// souk is a running souk dev, or the souk of a deployment.
type souk struct {
	t      testing.TB
	dir    string
	addr   string
	url    string
	args   []string
	env    []string
	config string // configuration file with which commands find it; "": they find it by its data directory

	deployment *deployment // nil: a souk dev
	refusals   *refusals   // nil: they are not kept
	*process
}

// command runs a souk command on this souk and returns its output and exit status.
func (s *souk) command(args ...string) (stdout, stderr string, status int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	where := []string{"--data-dir", s.dir}
	if s.config != "" {
		where = []string{"--config", s.config}
	}
	cmd := exec.CommandContext(ctx, binary, append(args, where...)...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(s.t, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// must runs a command, requires that it succeeds, and returns its standard output.
func (s *souk) must(args ...string) string {
	s.t.Helper()
	out, errOut, status := s.command(args...)
	require.Zero(s.t, status, "souk %s: %s%s", strings.Join(args, " "), out, errOut)
	return out
}

// verify requires that souk verify finds nothing wrong.
func (s *souk) verify() { s.t.Helper(); s.must("verify") }

// client calls the API with one token.
type client struct {
	s       *souk
	token   string
	timeout time.Duration // of one request; 0: a minute
}

func (s *souk) anonymous() *client { return &client{s: s} }

// access holds the addresses and secrets of a running souk dev, from its dev.json.
type access struct {
	OIDC, OIDCAdmin string
	Databases       map[string]string // URLs by service
}

func (s *souk) access() access {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "dev.json"))
	require.NoError(s.t, err)
	var a access
	require.NoError(s.t, json.Unmarshal(raw, &a))
	return a
}

// token gets a bearer token with a role from the development OpenID provider.
func (a access) token(email, role string) (string, error) {
	body, err := json.Marshal(obj{"email": email, "roles": []string{role}})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequest(http.MethodPost, a.OIDC+"/dev/token", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+a.OIDCAdmin)
	res, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }() // the body is only read
	var answer struct{ AccessToken string }
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("no token: %s", res.Status)
	}
	err = json.NewDecoder(res.Body).Decode(&answer)
	return answer.AccessToken, err
}

// user returns a client with a token of the user.
func (s *souk) user(email, role string, more ...string) *client {
	s.t.Helper()
	if s.deployment != nil {
		return &client{s: s, token: s.deployment.user(email, role).token}
	}
	args := append([]string{"token", "--email", email, "--role", role}, more...)
	return &client{s: s, token: strings.TrimSpace(s.must(args...))}
}

// guest returns a client with the token of a new guest.
func (s *souk) guest() *client {
	s.t.Helper()
	var g struct{ Token string }
	s.anonymous().post("/v1/guest", obj{}).want(http.StatusCreated).into(&g)
	return &client{s: s, token: g.Token}
}

type obj map[string]any

// answer is a response with its body.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

var transport = &http.Transport{MaxIdleConnsPerHost: 256}

func (c *client) do(method, path string, body any, header ...string) (*answer, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, c.s.url+path, reader)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	noRedirects := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	hc := &http.Client{Transport: transport, Timeout: cmp.Or(c.timeout, time.Minute), CheckRedirect: noRedirects}
	res, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // the body is only read
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	a := &answer{t: c.s.t, status: res.StatusCode, header: res.Header, body: raw}
	c.s.refusals.note(c, a)
	return a, nil
}

func (c *client) send(method, path string, body any, header ...string) *answer {
	c.s.t.Helper()
	a, err := c.do(method, path, body, header...)
	require.NoError(c.s.t, err)
	return a
}

func (c *client) get(path string, header ...string) *answer {
	c.s.t.Helper()
	return c.send(http.MethodGet, path, nil, header...)
}

func (c *client) post(path string, body any, header ...string) *answer {
	c.s.t.Helper()
	return c.send(http.MethodPost, path, body, header...)
}

// want asserts the status.
func (a *answer) want(status int) *answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	return a
}

// problem asserts an error with a status and a code. It returns the paths of the fields that the error names.
func (a *answer) problem(status int, code string) []string {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	require.Equal(a.t, "application/problem+json", a.header.Get("Content-Type"))
	var p struct {
		Code   string
		Errors []struct{ Field string }
	}
	require.NoError(a.t, json.Unmarshal(a.body, &p), "%s", a.body)
	require.Equal(a.t, code, p.Code, "%s", a.body)
	var fields []string
	for _, f := range p.Errors {
		fields = append(fields, f.Field)
	}
	return fields
}

// code returns an error answer's code; "" for a success.
func (a *answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.body, &p) // a body that is not a problem has no code
	return p.Code
}

// into decodes the body.
func (a *answer) into(v any) *answer {
	a.t.Helper()
	require.NoError(a.t, json.Unmarshal(a.body, v), "%s", a.body)
	return a
}

// The parts of the API's responses that tests use.
type (
	moneyJSON struct{ CurrencyCode, Amount string }

	variantJSON struct {
		ID, SKU   string
		Options   map[string]string
		Price     moneyJSON
		Available bool
	}
	productJSON struct {
		ID, ShopID, ShopName, Handle, Title, Description, Status string
		CategoryPath                                             []string
		Price                                                    moneyJSON
		Variants                                                 []variantJSON
	}
	productsJSON struct {
		Products      []productJSON
		NextPageToken string
		TotalSize     string
	}
	stockedJSON struct {
		Product productJSON
		Stock   []stockJSON
	}
	stockJSON struct{ VariantID, SKU, OnHand, Reserved, Available string }

	cartItemJSON struct {
		VariantID, ProductID, Title, Quantity string
		UnitPrice, LineTotal                  moneyJSON
		Available                             bool
	}
	cartJSON struct {
		Items           []cartItemJSON
		Subtotal, Total moneyJSON
	}

	itemJSON struct {
		VariantID, Title, SKU, Quantity string
		UnitPrice, LineTotal            moneyJSON
	}
	shopOrderJSON struct {
		ID, ShopID, ShopName, Status, TrackingNumber string
		Items                                        []itemJSON
		Subtotal, Total                              moneyJSON
	}
	orderJSON struct {
		ID, Number, Status                       string
		Subtotal, Discount, Shipping, Tax, Total moneyJSON
		Payment                                  struct{ ID, Status, Method string }
		ShopOrders                               []shopOrderJSON
		ShippingAddress                          map[string]string
	}
)

// address is a valid shipping address.
var address = obj{
	"name": "Ana Souza", "line1": "Rua das Flores 12", "city": "São Paulo", "region": "SP",
	"postalCode": "01001-000", "countryCode": "BR",
}

func checkoutBody(token string) obj {
	return obj{"shippingAddress": address, "payment": obj{"method": "card", "token": token}}
}

// add puts pieces of a variant into the cart.
func (c *client) add(variantID string, quantity int) *answer {
	c.s.t.Helper()
	return c.post("/v1/cart/items", obj{"variantId": variantID, "quantity": quantity})
}

// checkout checks the cart out with a new idempotency key.
func (c *client) checkout(token string) *answer {
	c.s.t.Helper()
	return c.post("/v1/checkout", checkoutBody(token), "Idempotency-Key", id.New(id.Event))
}

// order asserts that a checkout succeeded and returns its order.
func (a *answer) order() orderJSON {
	a.t.Helper()
	var o struct{ Order orderJSON }
	a.want(http.StatusCreated).into(&o)
	return o.Order
}

// seller creates a shop and returns a client of its owner.
func (s *souk) seller(handle string) *client {
	s.t.Helper()
	if s.deployment != nil {
		return &client{s: s, token: s.deployment.seller(handle).token}
	}
	return s.user(handle+"@sellers.test", "seller", "--shop", handle)
}

// sell adds a product with one variant to a shop and returns it.
func (c *client) sell(shop, title, price string, onHand int) productJSON {
	c.s.t.Helper()
	var p productJSON
	sku := strings.ToUpper(shop + "-" + id.New(id.Product)[4:20])
	c.post("/v1/shops/"+shop+"/products", obj{
		"title":    title,
		"variants": []obj{{"sku": sku, "price": obj{"currencyCode": "BRL", "amount": price}, "onHand": onHand}},
	}).want(http.StatusCreated).into(&p)
	return p
}

// stock returns the stock of a shop's variant.
func (c *client) stock(shop, variantID string) stockJSON {
	c.s.t.Helper()
	var list struct{ Products []stockedJSON }
	c.get("/v1/shops/" + shop + "/products?pageSize=100").want(http.StatusOK).into(&list)
	for _, p := range list.Products {
		for _, st := range p.Stock {
			if st.VariantID == variantID {
				return st
			}
		}
	}
	require.Fail(c.s.t, "no such variant in the shop", variantID)
	return stockJSON{}
}

// stockWithoutReservations waits until no pieces of a shop's variant are reserved, and returns its stock.
func (c *client) stockWithoutReservations(shop, variantID string) stockJSON {
	c.s.t.Helper()
	var st stockJSON
	waittest.Until(c.s.t, func() bool {
		st = c.stock(shop, variantID)
		return st.Reserved == "0"
	}, "reserved stock is neither committed nor released")
	return st
}
