package domain

import (
	"maps"
	"slices"
	"time"
)

// windows are the times over which the observations of a subject are added up.
var windows = map[Kind]time.Duration{
	FailedSignIns:      10 * time.Minute,
	RefusedPermissions: 10 * time.Minute,
	RateLimits:         10 * time.Minute,
	WebhookForgeries:   10 * time.Minute,
	APIKeyMisuse:       10 * time.Minute,
	FirewallRefusals:   10 * time.Minute,
	CardTesting:        time.Hour,
	VoucherGuesses:     time.Hour,
	StockHolding:       time.Hour,
	CashOnDelivery:     24 * time.Hour,
	Cancellations:      24 * time.Hour,
	Refunds:            time.Hour, // have no subject: they are counted for the marketplace alone
}

// Ages returns how old the counts of subjects may get, by kind: a little more than the kind's window.
func Ages() map[Kind]time.Duration {
	out := maps.Clone(windows)
	for k := range out {
		out[k] += time.Hour
	}
	return out
}

// Query asks for the sums of the subjects that have at least a number of observations of a kind since a time.
type Query struct {
	Kind  Kind
	Since time.Time
	Least int64
}

// Sum is how many observations of a kind a subject has in the kind's window.
type Sum struct {
	Kind    Kind
	Subject string
	N       int64
}

// BurstQueries returns the queries whose sums [Bursts] examines, sorted by kind.
func BurstQueries(t Thresholds, now time.Time) []Query {
	var out []Query
	for _, k := range slices.Sorted(maps.Keys(windows)) {
		if least := t.Burst[k]; least > 0 {
			out = append(out, Query{Kind: k, Since: now.Add(-windows[k]).Truncate(Slot), Least: least})
		}
	}
	return out
}

// Bursts returns the subjects with as many observations as their kind's threshold, or more.
func Bursts(sums []Sum, t Thresholds) []Finding {
	var out []Finding
	for _, s := range sums {
		if least := t.Burst[s.Kind]; least > 0 && s.N >= least {
			out = append(out, Finding{
				Kind: s.Kind, Subject: s.Subject, Count: s.N, Threshold: least, Window: windows[s.Kind],
			})
		}
	}
	return out
}
