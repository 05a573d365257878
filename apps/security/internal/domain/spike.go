package domain

import (
	"math"
	"slices"
	"time"
)

const (
	// SpikeWindow is what is compared: the last hour with the same hour of the days before.
	SpikeWindow = time.Hour
	// HistoryDays is how many days before are looked at.
	HistoryDays = 14
	// leastDays is how many of them there must be. Until then, nobody knows what is usual.
	leastDays = 3
	// busiest bounds how much busier than usual the marketplace counts as.
	busiest = 20
)

// TotalAge is how old totals may get: a little more than the history.
const TotalAge = (HistoryDays + 1) * 24 * time.Hour

// Totals returns what is counted for the whole marketplace: what an attack may have from many subjects at once, few
// times from each. The other kinds come in bursts of single subjects, whose sum says nothing.
func Totals() []Kind {
	return []Kind{
		FailedSignIns, VoucherGuesses, CardTesting, Cancellations, Refunds, CashOnDelivery, StockHolding, PaidOrders,
	}
}

// Hours are how many observations of a kind the marketplace had in the last hour, and in the same hour of the days
// before, yesterday first. Days from before the first count are left out.
type Hours struct {
	Kind   Kind
	Now    int64
	Before []int64
}

// Spikes returns the kinds with many more observations in the last hour than usual.
//
// Usual is the median of the same hour on the days before: a single bad day does not change it. If the marketplace has
// more paid orders than usual, as on the day of a sale, more of everything else is usual, too, in proportion. Orders that
// cost an attacker nothing are not among them.
func Spikes(all []Hours, t Thresholds) []Finding {
	if t.SpikeLeast == 0 {
		return nil
	}
	busy := 1.0
	if i := slices.IndexFunc(all, func(h Hours) bool { return h.Kind == PaidOrders }); i >= 0 {
		if usual := median(all[i].Before); usual > 0 {
			busy = min(max(1, float64(all[i].Now)/usual), busiest)
		}
	}
	var out []Finding
	for _, h := range all {
		if h.Kind == PaidOrders || len(h.Before) < leastDays {
			continue
		}
		usual := median(h.Before) * busy
		least := max(t.SpikeLeast, int64(math.Ceil(usual*float64(t.SpikeFactor))))
		if h.Now >= least {
			out = append(out, Finding{
				Kind: h.Kind, Subject: Marketplace, Count: h.Now, Threshold: least, Window: SpikeWindow,
			})
		}
	}
	return out
}

// median returns the middle of the values, and the mean of the two in the middle of an even number; 0 of none.
func median(values []int64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return float64(sorted[middle])
	}
	return float64(sorted[middle-1]+sorted[middle]) / 2
}
