// Package firewall examines requests with the OWASP Core Rule Set (https://coreruleset.org), run by Coraza.
//
// It is a second line of defence. The first ones are typed requests, statements with parameters, escaped pages and
// checked addresses: none of them depends on the firewall.
package firewall

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"souk/apps/gateway/internal/middleware"
	"souk/pkg/errs"
	"souk/pkg/metric"
)

// The modes of the firewall.
const (
	Off    = "off"
	Detect = "detect" // logs and counts
	Block  = "block"  // refuses, too
)

// Config is the configuration of the firewall.
type Config struct {
	// Mode is off, detect or block. Default off.
	Mode string `yaml:"mode"`
	// Paranoia is the paranoia level of the rules, from 1 to 4. Higher ones find more, and refuse more that is
	// harmless. Default 1.
	Paranoia int `yaml:"paranoia"`
	// Threshold is the anomaly score from which a request is refused. A rule that matches adds 2 to 5. Default 5.
	Threshold int `yaml:"threshold"`
	// DisabledRules are the numbers of rules that do not apply. Default none.
	DisabledRules []int `yaml:"disabled_rules"`
}

// DefaultConfig returns the default configuration.
func DefaultConfig() Config { return Config{Mode: Off, Paranoia: 1, Threshold: 5} }

// Validate checks the configuration.
func (c Config) Validate() error {
	switch {
	case !slices.Contains([]string{Off, Detect, Block}, c.Mode):
		return fmt.Errorf("mode: must be off, detect or block, not %q", c.Mode)
	case c.Paranoia < 1 || c.Paranoia > 4:
		return errors.New("paranoia: must be from 1 to 4")
	case c.Threshold < 1:
		return errors.New("threshold: must be at least 1")
	case slices.ContainsFunc(c.DisabledRules, func(id int) bool { return id < 1 }):
		return errors.New("disabled_rules: must be numbers of rules")
	}
	return nil
}

// foreign are rules against what souk does not do: it starts neither shells (932) nor PHP (933). They refuse prose:
// those of 932 alone refused 15 % of 500 real descriptions of products.
const foreign = "932000-933999"

// prose are rules that do not apply to requests with a body: they take "1 user(s)" for a function of SQL, the address
// "1 Select St" for a statement, and "style=" in a sentence for an attribute. They refused 14 of 500 real descriptions.
// What remains against SQL in a body is 942100, which parses it.
var prose = []string{"941130", "942101-942999"}

// numericHost is a rule against requests to an address instead of a name, as monitors and developers send.
const numericHost = "920350"

// hidden are headers that the rules do not see: their values are secrets, which souk only compares.
var hidden = map[string]bool{"Authorization": true, "Cookie": true, "Idempotency-Key": true}

// blocking is the number of the rule that refuses a request for the sum of what the others found.
const blocking = 949110

// Firewall examines requests. A nil one lets all pass.
type Firewall struct {
	waf     coraza.WAF
	block   bool
	trusted []netip.Prefix
	logger  *zap.Logger
	results *prometheus.CounterVec
	seconds prometheus.Histogram
}

// New returns a firewall, or nil if it is off.
//
// Errors: the rules cannot be read.
func New(c Config, trusted []netip.Prefix, logger *zap.Logger, metrics prometheus.Registerer) (*Firewall, error) {
	if c.Mode == Off {
		return nil, nil //nolint:nilnil // documented
	}
	f := &Firewall{block: c.Mode == Block, trusted: trusted, logger: logger}
	var err error
	f.results, err = metric.Register(metrics, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "firewall_total",
		Help: "Requests that the firewall has examined, by result: passed, suspicious, or refused.",
	}, []string{"result"}))
	if err != nil {
		return nil, err
	}
	f.seconds, err = metric.Register(metrics, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "firewall_duration_seconds",
		Help:    "Time that the firewall took for a request.",
		Buckets: metric.DurationBuckets(),
	}))
	if err != nil {
		return nil, err
	}
	f.waf, err = coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(c.directives()))
	if err != nil {
		return nil, fmt.Errorf("firewall: %w", err)
	}
	return f, nil
}

// directives configures the rules. They always refuse: Check decides whether that counts.
func (c Config) directives() string {
	lines := []string{
		"Include @coraza.conf-recommended",
		"SecRuleEngine On",
		"SecAuditEngine Off",
		"SecResponseBodyAccess Off",
		"SecRequestBodyJsonDepthLimit 64",
		fmt.Sprintf(`SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d"`, c.Paranoia),
		fmt.Sprintf(
			`SecAction "id:900110,phase:1,pass,t:none,nolog,setvar:tx.inbound_anomaly_score_threshold=%d"`, c.Threshold,
		),
		`SecAction "id:900200,phase:1,pass,t:none,nolog,` +
			`setvar:'tx.allowed_methods=GET HEAD POST PUT PATCH DELETE OPTIONS'"`,
		// What CRS's own setup file says of its version.
		`SecAction "id:900990,phase:1,pass,t:none,nolog,tag:'OWASP_CRS',setvar:tx.crs_setup_version=4250"`,
		`SecRule REQUEST_HEADERS:Content-Type "@beginsWith application/json" "id:1,phase:1,pass,nolog,t:lowercase,` +
			removals(prose) + `"`,
		"Include @owasp_crs/REQUEST-*.conf",
		"SecRuleRemoveById " + foreign + " " + numericHost,
	}
	for _, id := range c.DisabledRules {
		lines = append(lines, fmt.Sprintf("SecRuleRemoveById %d", id))
	}
	return strings.Join(lines, "\n")
}

// removals returns the actions that take rules out of a request's examination.
func removals(rules []string) string {
	var actions []string
	for _, id := range rules {
		actions = append(actions, "ctl:ruleRemoveById="+id)
	}
	return strings.Join(actions, ",")
}

// Check examines the method, the URL and the headers of a request to a route, and its body.
//
// Errors: request_refused (the rules find an attack).
func (f *Firewall) Check(r *http.Request, route string, body []byte) error {
	if f == nil {
		return nil
	}
	began := time.Now()
	rules, refused, err := f.examine(r, body)
	f.seconds.Observe(time.Since(began).Seconds())
	if err != nil {
		return err
	}
	if !refused {
		f.results.WithLabelValues("passed").Inc()
		return nil
	}
	result := "suspicious"
	if f.block {
		result = "refused"
	}
	f.results.WithLabelValues(result).Inc()
	// What matched stays out of the log: it may be personal.
	f.logger.Warn("a request looks like an attack", zap.String("result", result), zap.Ints("rules", rules),
		zap.String("route", route))
	if !f.block {
		return nil
	}
	return errs.New(errs.RequestRefused, "the request looks like an attack, and was refused")
}

func (f *Firewall) examine(r *http.Request, body []byte) (rules []int, refused bool, err error) {
	tx := f.waf.NewTransaction()
	defer func() { err = errors.Join(err, tx.Close()) }()
	tx.ProcessConnection(middleware.ClientAddress(r, f.trusted), 0, "", 0)
	tx.ProcessURI(r.URL.RequestURI(), r.Method, r.Proto)
	tx.SetServerName(r.Host)
	tx.AddRequestHeader("Host", r.Host) // net/http takes these two out of the header
	if r.ContentLength >= 0 && r.Body != nil && r.Body != http.NoBody {
		tx.AddRequestHeader("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}
	for name, values := range r.Header {
		if hidden[name] {
			continue
		}
		for _, v := range values {
			tx.AddRequestHeader(name, v)
		}
	}
	interrupted := tx.ProcessRequestHeaders()
	if interrupted == nil && len(body) > 0 {
		interrupted, _, err = tx.WriteRequestBody(body)
	}
	if interrupted == nil && err == nil {
		interrupted, err = tx.ProcessRequestBody()
	}
	if err != nil {
		return nil, false, fmt.Errorf("firewall: %w", err)
	}
	if interrupted == nil {
		return nil, false, nil
	}
	return matched(tx.MatchedRules()), true, nil
}

// matched returns the numbers of the rules that found something.
func matched(all []types.MatchedRule) []int {
	var out []int
	for _, m := range all {
		rule := m.Rule()
		if rule.Severity() <= types.RuleSeverityNotice && rule.ID() != blocking && m.Message() != "" {
			out = append(out, rule.ID())
		}
	}
	return out
}
