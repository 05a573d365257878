package domain

import (
	"slices"
	"time"
)

// Sighting is the country from which a user sent a request.
type Sighting struct {
	UserID, Country string
	At              time.Time
}

// SightingAge is how old sightings may get.
const SightingAge = 24 * time.Hour

// Travel compares a sighting of a user with the one before. It returns a finding if the user can't have travelled from
// one country to the other in the time between.
func Travel(before, now Sighting, t Thresholds) (Finding, bool) {
	took := now.At.Sub(before.At).Abs() // gateways report in any order
	if before.Country == now.Country || took >= t.TravelWithin {
		return Finding{}, false
	}
	if slices.Contains(t.Near, before.Country+"-"+now.Country) ||
		slices.Contains(t.Near, now.Country+"-"+before.Country) {
		return Finding{}, false
	}
	return Finding{
		Kind: ImpossibleTravel, Subject: now.UserID, Count: int64(took / time.Minute),
		Threshold: int64(t.TravelWithin / time.Minute), Countries: []string{before.Country, now.Country},
	}, true
}
