// Package domain holds the rules of the security service: what is counted, and when that is a security event.
//
// The detectors are functions of counts. There are three:
//
//   - [Bursts]: one subject, such as an address, has many observations of a kind in a window.
//   - [Spikes]: the whole marketplace has many more observations of a kind in an hour than it has at this time of day.
//   - [Travel]: one user is in two countries within a time in which nobody travels.
package domain

import (
	"slices"
	"time"

	"souk/pkg/id"
)

// Kind is what was observed, and what a security event is about.
type Kind string

// The kinds. Those above the line are observed by gateways, the others follow from events of other services.
const (
	FailedSignIns      Kind = "failed_sign_ins"
	RefusedPermissions Kind = "refused_permissions"
	RateLimits         Kind = "rate_limits"
	WebhookForgeries   Kind = "webhook_forgeries"
	CardTesting        Kind = "card_testing"
	APIKeyMisuse       Kind = "api_key_misuse" //nolint:gosec // a name
	FirewallRefusals   Kind = "firewall_refusals"
	VoucherGuesses     Kind = "voucher_guesses"
	ImpossibleTravel   Kind = "impossible_travel"

	Cancellations  Kind = "cancellations"
	Refunds        Kind = "refunds"
	CashOnDelivery Kind = "cash_on_delivery"
	StockHolding   Kind = "stock_holding"
)

// PaidOrders are counted to know how busy the marketplace is. They are no kind of security event.
const PaidOrders Kind = "paid_orders"

// Kinds returns the kinds of security events, sorted.
func Kinds() []Kind {
	out := []Kind{ImpossibleTravel}
	for k := range windows {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// Subjects that are no identifiers.
const (
	// Marketplace is the subject of a spike.
	Marketplace = "marketplace"
	// Others stands for subjects that are too many to be counted one by one.
	Others = "others"
)

// Observation is how often something was observed about a subject. An observation without a subject counts for the
// marketplace alone.
type Observation struct {
	Kind    Kind
	Subject string
	Count   int64
	At      time.Time
}

// Slot is the time to which observations of a subject are added up.
const (
	Slot = time.Minute
	// TotalSlot is the slot of the marketplace's totals.
	TotalSlot = 10 * time.Minute
)

// Report is what a gateway has observed since its last report.
type Report struct {
	ID           string
	ReceivedAt   time.Time
	Observations []Observation
	// Sightings are sorted by user and time.
	Sightings []Sighting
}

// ReportAge is how old a report may be. Its ID is kept for longer, so that no report counts twice.
const ReportAge = time.Hour

// MaxSubjects is how many subjects of a kind have counts of their own in a slot. Others share one.
const MaxSubjects = 1000

// Known returns the observations of kinds that this version of souk counts, and that gateways observe.
func Known(all []Observation) []Observation {
	return slices.DeleteFunc(slices.Clone(all), func(o Observation) bool {
		return !slices.Contains(observedByGateways, o.Kind)
	})
}

var observedByGateways = []Kind{
	FailedSignIns, RefusedPermissions, RateLimits, WebhookForgeries, CardTesting, APIKeyMisuse, FirewallRefusals,
	VoucherGuesses,
}

// Thresholds are the settings of the detectors.
type Thresholds struct {
	// Burst is, for each kind, from how many observations of a subject in the kind's window on there is a security
	// event; 0: never.
	Burst map[Kind]int64
	// SpikeFactor is how many times as many as usual are a spike, and SpikeLeast from how many in an hour on; 0: never.
	SpikeFactor, SpikeLeast int64
	// TravelWithin is the time within which nobody travels from one country to another; 0: Travel finds nothing.
	TravelWithin time.Duration
	// Near are pairs of countries, such as "ES-PT", between which people do travel in that time.
	Near []string
}

// Finding is what a detector has found.
type Finding struct {
	Kind             Kind
	Subject          string
	Count, Threshold int64
	// Window is 0 for ImpossibleTravel.
	Window time.Duration
	// Countries are those of ImpossibleTravel.
	Countries []string
}

// Event is a security event: a finding, and what was done about it.
type Event struct {
	Finding

	ID              string
	FirstAt, LastAt time.Time
	Version         int64
	// AcknowledgedAt is nil until somebody takes care of it.
	AcknowledgedAt *time.Time
	AcknowledgedBy string
	Note           string
}

// NewEvent returns the security event of a finding.
func NewEvent(f Finding, now time.Time) Event {
	return Event{Finding: f, ID: id.New(id.SecurityEvent), FirstAt: now, LastAt: now, Version: 1}
}

// quietAfter is how long nothing must be found until the same finding is a new security event.
const quietAfter = time.Hour

// Quiet returns how long nothing must be found about a subject until the next finding is a new security event.
func (f Finding) Quiet() time.Duration { return max(quietAfter, f.Window) }

// MaxPerHour is how many security events of a kind may begin in an hour. Further findings are about [Others].
const MaxPerHour = 50

// Acknowledge notes that a user takes care of the event. It reports whether that is new.
func (e *Event) Acknowledge(userID, note string, now time.Time) bool {
	if e.AcknowledgedAt != nil {
		return false
	}
	e.AcknowledgedAt, e.AcknowledgedBy, e.Note = &now, userID, note
	e.Version++
	return true
}
