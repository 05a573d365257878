package domain_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/security/internal/domain"
)

// defaults are the defaults of the settings; TestThresholdsAreTheSettings of the service compares them.
func defaults() domain.Thresholds {
	return domain.Thresholds{
		Burst: map[domain.Kind]int64{
			domain.APIKeyMisuse: 20, domain.Cancellations: 10, domain.CardTesting: 10, domain.CashOnDelivery: 10,
			domain.FailedSignIns: 50, domain.FirewallRefusals: 20, domain.RateLimits: 500,
			domain.RefusedPermissions: 30, domain.StockHolding: 100, domain.VoucherGuesses: 30,
			domain.WebhookForgeries: 5,
		},
		SpikeFactor: 3, SpikeLeast: 40, TravelWithin: time.Hour,
	}
}

// attack is a made attack. It is repeated at other times, one at a time.
type attack struct {
	name string
	kind domain.Kind
	// slow: it stays below the thresholds, and need not be found.
	slow bool
	// minutes is how long it takes.
	minutes int
	// each returns what is observed in a minute of it, by subject.
	each func(h *history, minute int) map[string]int64
}

// from returns n observations a minute about one subject.
func from(subject string, n int64) func(*history, int) map[string]int64 {
	return func(*history, int) map[string]int64 { return map[string]int64{subject: n} }
}

// slowly returns an observation every few minutes about one subject.
func slowly(subject string, every int) func(*history, int) map[string]int64 {
	return func(_ *history, minute int) map[string]int64 {
		if minute%every != 0 {
			return nil
		}
		return map[string]int64{subject: 1}
	}
}

// many returns n observations a minute about different subjects.
func many(prefix string, n, subjects int) func(*history, int) map[string]int64 {
	return func(h *history, _ int) map[string]int64 {
		out := map[string]int64{}
		for range n {
			out[fmt.Sprintf("%s%d", prefix, h.r.IntN(subjects))]++
		}
		return out
	}
}

// without returns observations of the marketplace alone.
func without(n int64) func(*history, int) map[string]int64 { return from("", n) }

func attacks() []attack {
	const stranger = "203.0.113.99"
	return []attack{
		{"credentials tried from one address, 20 a minute", domain.FailedSignIns, false, 30, from(stranger, 20)},
		{"the same, 6 a minute", domain.FailedSignIns, false, 120, from(stranger, 6)},
		{"the same, 2 a minute", domain.FailedSignIns, true, 600, from(stranger, 2)},
		{
			"credentials tried from 500 addresses, 20 a minute",
			domain.FailedSignIns,
			false,
			60,
			many("10.0.0.", 20, 500),
		},
		{"a user tries what operators may do, 60 in 5 minutes", domain.RefusedPermissions, false, 5, from("usr_x", 12)},
		{"the same, 1 a minute", domain.RefusedPermissions, true, 120, from("usr_x", 1)},
		{"100 requests a minute beyond a rate limit", domain.RateLimits, false, 10, from(stranger, 100)},
		{"webhooks of payments forged, 2 a minute", domain.WebhookForgeries, false, 5, from(stranger, 2)},
		{"a stolen API key used from another network, 6 a minute", domain.APIKeyMisuse, false, 5, from("key_x", 6)},
		{"a scanner, 40 requests a minute", domain.FirewallRefusals, false, 5, from(stranger, 40)},
		{"voucher codes guessed from one address, 10 a minute", domain.VoucherGuesses, false, 20, from(stranger, 10)},
		{
			"voucher codes guessed from 200 addresses, 15 a minute",
			domain.VoucherGuesses,
			false,
			60,
			many("10.0.0.", 15, 200),
		},
		{"cards tested from one address, 1 a minute", domain.CardTesting, false, 30, from(stranger, 1)},
		{"the same, 4 an hour", domain.CardTesting, true, 600, slowly(stranger, 15)},
		{"cards tested from 100 addresses, 2 a minute", domain.CardTesting, false, 90, many("10.0.0.", 2, 100)},
		{"a customer cancels 15 orders in 5 hours", domain.Cancellations, false, 300, slowly("usr_x", 20)},
		{"an operator's account cancels 3 orders a minute", domain.Cancellations, false, 60, without(3)},
		{"2 refunds a minute", domain.Refunds, false, 60, without(2)},
		{
			"cash on delivery by new customers, 3 a minute",
			domain.CashOnDelivery,
			false,
			60,
			many("usr_n", 3, 1_000_000),
		},
		{"the same, 1 in 2 minutes", domain.CashOnDelivery, true, 120, slowly("", 2)},
		{"300 pieces of a variant reserved in half an hour", domain.StockHolding, false, 30, from("var_799", 10)},
		{"6 pieces a minute of 50 variants reserved", domain.StockHolding, false, 60, many("var_", 6, 50)},
	}
}

const (
	histories   = 5
	repetitions = 10
	// quietDays is from when on spikes have a history.
	quietDays = 4
)

// try makes an attack at some time of a history, and returns after how many minutes it was found; -1: not. The history
// is as before afterwards.
func (h *history) try(a attack, t domain.Thresholds) int {
	start := quietDays*daily + h.r.IntN(minutes-quietDays*daily-a.minutes-daily)
	type added struct {
		minute  int
		subject string
		n       int64
	}
	var all []added
	subjects := map[string]bool{domain.Marketplace: true}
	for m := range a.minutes {
		for subject, n := range a.each(h, m) {
			all, subjects[subject] = append(all, added{start + m, subject, n}), true
			h.add(start+m, a.kind, subject, n)
		}
	}
	defer func() {
		for _, x := range all {
			h.add(x.minute, a.kind, x.subject, -x.n)
		}
	}()
	for _, f := range h.run(start, start+a.minutes+10, a.kind, t) {
		if f.Kind == a.kind && subjects[f.Subject] {
			return f.minute + 1 - start
		}
	}
	return -1
}

// table measures the detectors, and returns what docs/security.md says of them.
func table(t *testing.T) string {
	t.Helper()
	limits, mistaken := defaults(), map[domain.Kind]int{}
	var h *history
	for seed := range uint64(histories) {
		h = normal(seed)
		for _, f := range h.run(0, minutes, "", limits) {
			mistaken[f.Kind]++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| kind | security events in %d days without an attack |\n| --- | --- |\n", histories*days)
	sum := 0
	for _, k := range domain.Kinds() {
		fmt.Fprintf(&b, "| `%s` | %d |\n", k, mistaken[k])
		sum += mistaken[k]
	}
	fmt.Fprintf(&b, "| all | %d |\n\n", sum)
	b.WriteString("| attack | found of 10 | after minutes (median) |\n| --- | --- | --- |\n")
	for _, a := range attacks() {
		var after []int
		for range repetitions {
			if m := h.try(a, limits); m >= 0 {
				after = append(after, m)
			}
		}
		slices.Sort(after)
		median := "–"
		if len(after) > 0 {
			median = fmt.Sprint(after[len(after)/2])
		}
		fmt.Fprintf(&b, "| %s | %d | %s |\n", a.name, len(after), median)
		if !a.slow {
			require.GreaterOrEqual(t, len(after), 9, "%s is not found", a.name)
		}
	}
	require.LessOrEqual(t, sum, histories*days, "more than one false security event a day")
	return b.String()
}

const (
	page     = "../../../../docs/security.md"
	opening  = "<!-- detectors: measured by apps/security/internal/domain -->\n\n"
	closing  = "\n<!-- detectors end -->"
	rewrites = "SOUK_WRITE_DOCS" // set it to write the table into the page
)

// The page says what the detectors find in made histories, and what they take for an attack by mistake.
func TestDocumentedRatesAreMeasured(t *testing.T) {
	t.Parallel()
	measured := table(t)
	raw, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(raw), opening)
	written, after, closed := strings.Cut(rest, closing)
	require.True(t, ok && closed, "%s has no place for the table", page)
	if os.Getenv(rewrites) != "" {
		require.NoError(
			t,
			os.WriteFile(page, []byte(before+opening+measured+closing+after), 0o644),
		) //nolint:gosec // a page
		return
	}
	require.Equal(t, measured, written, "run this test with %s=1", rewrites)
}
