package domain_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"souk/apps/security/internal/domain"
)

// The history is of a shop with some 80 orders an hour, in slots of a minute. It begins on a Monday.
var begin = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

const (
	days    = 30
	saleDay = 17 // has four times as many visitors
	daily   = 24 * 60
	minutes = days * daily
)

// key is what is counted in a slot.
type key struct {
	kind    domain.Kind
	subject string
}

// history is what was observed in each minute, and where users were seen.
type history struct {
	r         *rand.Rand
	slots     []map[key]int64
	totals    map[domain.Kind][]int64 // by slot of ten minutes
	sightings []domain.Sighting
}

func newHistory(seed uint64) *history {
	h := &history{
		r: rand.New(rand.NewPCG(seed, 1)), slots: make([]map[key]int64, minutes), totals: map[domain.Kind][]int64{},
	}
	for _, k := range domain.Totals() {
		h.totals[k] = make([]int64, minutes/10)
	}
	return h
}

// add counts n observations about a subject in a minute; minutes beyond the history are left out. A negative n takes
// them back.
func (h *history) add(minute int, kind domain.Kind, subject string, n int64) {
	if minute < 0 || minute >= minutes || n == 0 {
		return
	}
	if totals := h.totals[kind]; totals != nil {
		totals[minute/10] += n
	}
	if subject == "" {
		return
	}
	if h.slots[minute] == nil {
		h.slots[minute] = map[key]int64{}
	}
	h.slots[minute][key{kind, subject}] += n
}

// busy is how busy the shop is in a minute; 1 is the mean of a day.
func busy(minute int) float64 {
	hour := float64(minute%daily) / 60
	day := minute / daily
	b := 1 - 0.75*math.Cos((hour-8)/24*2*math.Pi) // least at 8 h UTC, most at 20 h
	if day%7 >= 5 {
		b *= 1.25
	}
	if day == saleDay {
		b *= 4
	}
	return b * (1 + 0.005*float64(day)) // the shop grows
}

// poisson returns how often something happens that happens mean times on average.
func (h *history) poisson(mean float64) int {
	n, p := 0, h.r.Float64()
	for limit := math.Exp(-mean); p > limit; n++ {
		p *= h.r.Float64()
	}
	return n
}

// popular returns one of n numbers; the first ones are the most frequent.
func (h *history) popular(n int) int { return int(float64(n) * math.Pow(h.r.Float64(), 3)) }

// address returns an address of a visitor. Offices and mobile networks share some: they are the first ones.
func (h *history) address() string { return fmt.Sprintf("192.0.2.%d", h.popular(4000)) }

func (h *history) user() string { return fmt.Sprintf("usr_%d", h.r.IntN(20_000)) }

func (h *history) variant() string { return fmt.Sprintf("var_%d", h.popular(800)) }

// caller is a signed-in user, or the address of a guest.
func (h *history) caller() string {
	if h.r.IntN(2) == 0 {
		return h.user()
	}
	return h.address()
}

// spread adds n observations about a subject in the minutes from one on, in no order.
func (h *history) spread(minute, over int, kind domain.Kind, subject string, n int) {
	for range n {
		h.add(minute+h.r.IntN(over), kind, subject, 1)
	}
}

// trade adds what customers do in a minute.
func (h *history) trade(minute int, b float64) {
	perHour := func(mean float64) int { return h.poisson(b * mean / 60) }
	h.add(minute, domain.PaidOrders, "", int64(perHour(60)))
	for range perHour(18) {
		h.add(minute, domain.CashOnDelivery, h.user(), 1)
	}
	for range perHour(3.5) {
		h.add(minute+h.r.IntN(12*60), domain.Cancellations, h.user(), 1)
	}
	h.add(minute+h.r.IntN(3*daily), domain.Refunds, "", int64(perHour(2.5)))
	for range perHour(2.5) { // a payment is declined: some try again
		who := h.caller()
		h.spread(minute, 15, domain.CardTesting, who, 1+h.poisson(0.7))
		h.add(minute, domain.StockHolding, h.variant(), int64(1+h.poisson(0.8)))
	}
	for range perHour(12) { // a voucher code is mistyped, and sent with each quote
		h.spread(minute, 20, domain.VoucherGuesses, h.caller(), 1+h.poisson(1.2))
	}
}

// mistakes adds what goes wrong without an attack in a minute.
func (h *history) mistakes(minute int, b float64) {
	perHour := func(mean float64) int { return h.poisson(b * mean / 60) }
	for range perHour(60) { // tokens expire, sign-ins are given up
		h.spread(minute, 5, domain.FailedSignIns, h.address(), 1+h.poisson(0.5))
	}
	for range perHour(6) {
		h.spread(minute, 5, domain.RefusedPermissions, h.caller(), 1+h.poisson(1))
	}
	for range perHour(2) { // pages that load too much
		h.spread(minute, 10, domain.RateLimits, h.caller(), 20+h.poisson(30))
	}
	for range perHour(3) { // scanners of the whole internet
		h.spread(minute, 2, domain.FirewallRefusals, fmt.Sprintf("198.51.100.%d", h.r.IntN(65536)), 1+h.poisson(2))
	}
}

// rare adds what happens some times a day or a month.
func (h *history) rare(day int) {
	at := func() int { return day*daily + h.r.IntN(daily) }
	for range h.poisson(3) { // somebody tries a list of voucher codes from the internet
		h.spread(at(), 30, domain.VoucherGuesses, h.caller(), 8+h.r.IntN(10))
	}
	for range h.poisson(2) { // somebody tries each card again and again
		h.spread(at(), 40, domain.CardTesting, h.caller(), 4+h.r.IntN(4))
	}
	for range h.poisson(0.5) { // a client goes on with an expired token
		client, start := h.address(), at()
		for m := range 180 {
			h.add(start+m, domain.FailedSignIns, client, 3)
		}
	}
	for range h.poisson(0.15) { // an integrator's system goes on with a rotated key
		start := at()
		for m := range 240 {
			h.add(start+m, domain.APIKeyMisuse, "203.0.113.200", 1)
		}
	}
	for range h.poisson(0.1) { // a webhook's secret is rotated
		h.spread(at(), 3, domain.WebhookForgeries, "203.0.113.201", 1+h.r.IntN(3))
	}
	for range h.poisson(4) { // somebody orders for many
		h.spread(at(), 300, domain.CashOnDelivery, h.user(), 3+h.r.IntN(3))
	}
	for range h.poisson(1) { // somebody cancels what was ordered twice
		h.spread(at(), 120, domain.Cancellations, h.user(), 2+h.r.IntN(3))
	}
	for range h.poisson(0.3) { // a shop closes for holidays, and cancels its orders
		h.spread(at(), 30, domain.Cancellations, "", 8+h.r.IntN(10))
	}
	for range 40 { // travellers
		h.journey(at(), 150+h.r.IntN(900), "PT")
	}
	for range h.poisson(0.4) { // somebody turns a VPN on
		h.journey(at(), 2+h.r.IntN(50), "US")
	}
}

// journey shows a user in one country, and some minutes later in another.
func (h *history) journey(minute, took int, to string) {
	who := h.user()
	h.sightings = append(h.sightings,
		domain.Sighting{UserID: who, Country: "BR", At: timeOf(minute)},
		domain.Sighting{UserID: who, Country: to, At: timeOf(minute + took)})
}

// normal returns a history without attacks.
func normal(seed uint64) *history {
	h := newHistory(seed)
	for day := range days {
		h.rare(day)
	}
	for m := range minutes {
		h.trade(m, busy(m))
		h.mistakes(m, busy(m))
	}
	slices.SortStableFunc(h.sightings, func(a, b domain.Sighting) int { return a.At.Compare(b.At) })
	return h
}

func timeOf(minute int) time.Time { return begin.Add(time.Duration(minute) * time.Minute) }

// found is a security event in a history.
type found struct {
	domain.Finding

	minute int
}

// run runs the detectors at the end of each minute from one to another, and returns the security events that begin: of
// one kind, or of all if it is "".
func (h *history) run(from, to int, only domain.Kind, t domain.Thresholds) []found {
	var out []found
	last := map[key]int{}
	note := func(minute int, findings []domain.Finding) {
		for _, f := range findings {
			k := key{f.Kind, f.Subject}
			before, seen := last[k]
			if !seen || time.Duration(minute-before)*time.Minute > f.Quiet() {
				out = append(out, found{f, minute})
			}
			last[k] = minute
		}
	}
	// A query at the end of a minute reads the slots from some minutes before on.
	end := begin.Add(time.Minute - time.Second)
	back, least, longest := map[domain.Kind]int{}, map[domain.Kind]int64{}, 0
	for _, q := range domain.BurstQueries(t, end) {
		if only == "" || only == q.Kind {
			back[q.Kind], least[q.Kind] = int(begin.Sub(q.Since)/time.Minute), q.Least
			longest = max(longest, back[q.Kind])
		}
	}
	sums, first := map[key]int64{}, max(0, from-longest)
	for m := first; m < min(to, minutes); m++ {
		for k, n := range h.slots[m] {
			sums[k] += n
		}
		for kind, minutes := range back {
			if gone := m - minutes - 1; gone >= first {
				for k, n := range h.slots[gone] {
					if k.kind == kind {
						sums[k] -= n
					}
				}
			}
		}
		if m < from {
			continue
		}
		var all []domain.Sum
		for k, n := range h.slots[m] { // only these have more than a minute before
			if _, asked := back[k.kind]; asked && n > 0 && sums[k] >= least[k.kind] {
				all = append(all, domain.Sum{Kind: k.kind, Subject: k.subject, N: sums[k]})
			}
		}
		slices.SortFunc(all, func(a, b domain.Sum) int { return int(b.N - a.N) })
		note(m, domain.Bursts(all, t))
		if m%10 == 9 {
			note(m, domain.Spikes(h.hours(m/10, only), t))
		}
	}
	if only == "" {
		out = append(out, h.travel(from, to, t)...)
	}
	return out
}

// hours returns the totals of the hour that ends with a slot, and of the same hour of the days before.
func (h *history) hours(slot int, only domain.Kind) []domain.Hours {
	var out []domain.Hours
	for _, k := range domain.Totals() {
		if only != "" && k != only && k != domain.PaidOrders {
			continue
		}
		hours := domain.Hours{Kind: k}
		for day := range domain.HistoryDays + 1 {
			first := slot - 5 - day*daily/10
			if first < 0 {
				break
			}
			var n int64
			for _, more := range h.totals[k][first : first+6] {
				n += more
			}
			if day == 0 {
				hours.Now = n
			} else {
				hours.Before = append(hours.Before, n)
			}
		}
		out = append(out, hours)
	}
	return out
}

func (h *history) travel(from, to int, t domain.Thresholds) []found {
	var out []found
	before := map[string]domain.Sighting{}
	for _, s := range h.sightings {
		minute := int(s.At.Sub(begin) / time.Minute)
		if b, seen := before[s.UserID]; seen && minute >= from && minute < to {
			if f, impossible := domain.Travel(b, s, t); impossible {
				out = append(out, found{f, minute})
			}
		}
		before[s.UserID] = s
	}
	return out
}
