package domain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/apps/security/internal/domain"
	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/id"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 1, 12, 0, 30, 0, time.UTC)

func TestBurstsReachTheirThreshold(t *testing.T) {
	t.Parallel()
	limits := domain.Thresholds{Burst: map[domain.Kind]int64{domain.FailedSignIns: 50, domain.Cancellations: 0}}
	require.Equal(t, []domain.Query{
		{Kind: domain.FailedSignIns, Since: time.Date(2026, 11, 1, 11, 50, 0, 0, time.UTC), Least: 50},
	}, domain.BurstQueries(limits, noon), "a threshold of 0 turns a detector off")
	got := domain.Bursts([]domain.Sum{
		{Kind: domain.FailedSignIns, Subject: "203.0.113.7", N: 50},
		{Kind: domain.FailedSignIns, Subject: "203.0.113.8", N: 49},
		{Kind: domain.Cancellations, Subject: "usr_1", N: 1000},
	}, limits)
	require.Equal(t, []domain.Finding{{
		Kind: domain.FailedSignIns, Subject: "203.0.113.7", Count: 50, Threshold: 50, Window: 10 * time.Minute,
	}}, got)
	require.Equal(t, time.Hour, got[0].Quiet())
	require.Equal(t, 24*time.Hour, domain.Finding{Kind: domain.Cancellations, Window: 24 * time.Hour}.Quiet())
}

func TestSpikesAreComparedWithWhatIsUsual(t *testing.T) {
	t.Parallel()
	limits := domain.Thresholds{SpikeFactor: 3, SpikeLeast: 40}
	for name, tc := range map[string]struct {
		now    int64
		before []int64
		orders domain.Hours
		want   int64 // the threshold; 0: no spike
	}{
		"as usual":                       {20, []int64{20, 22, 18}, domain.Hours{}, 0},
		"three times as many":            {60, []int64{20, 22, 18}, domain.Hours{}, 60},
		"almost three times as many":     {59, []int64{20, 22, 18}, domain.Hours{}, 0},
		"few":                            {39, []int64{1, 1, 1}, domain.Hours{}, 0},
		"as many as are worth attention": {40, []int64{1, 1, 1}, domain.Hours{}, 40},
		"one bad day before":             {60, []int64{20, 900, 20, 20}, domain.Hours{}, 60},
		"nobody knows what is usual":     {900, []int64{20, 20}, domain.Hours{}, 0},
		"a sale":                         {60, []int64{20, 20, 20}, domain.Hours{Now: 400, Before: []int64{100, 100, 100}}, 0},
		"more than a sale explains":      {240, []int64{20, 20, 20}, domain.Hours{Now: 400, Before: []int64{100, 100, 100}}, 240},
		"fewer orders than usual":        {60, []int64{20, 20, 20}, domain.Hours{Now: 1, Before: []int64{100, 100, 100}}, 60},
		"no orders so far":               {60, []int64{20, 20, 20}, domain.Hours{Now: 50, Before: []int64{0, 0, 0}}, 60},
	} {
		tc.orders.Kind = domain.PaidOrders
		all := []domain.Hours{{Kind: domain.Refunds, Now: tc.now, Before: tc.before}, tc.orders}
		var want []domain.Finding
		if tc.want > 0 {
			want = []domain.Finding{{
				Kind: domain.Refunds, Subject: domain.Marketplace, Count: tc.now, Threshold: tc.want, Window: time.Hour,
			}}
		}
		require.Equal(t, want, domain.Spikes(all, limits), name)
	}
	all := []domain.Hours{{Kind: domain.Refunds, Now: 1e6, Before: []int64{1, 1, 1}}}
	require.Empty(t, domain.Spikes(all, domain.Thresholds{SpikeFactor: 3}), "0 turns the detector off")
}

func TestNobodyIsInTwoCountriesAtOnce(t *testing.T) {
	t.Parallel()
	limits := domain.Thresholds{TravelWithin: time.Hour, Near: []string{"ES-PT"}}
	at := func(country string, minutes int) domain.Sighting {
		return domain.Sighting{UserID: "usr_1", Country: country, At: noon.Add(time.Duration(minutes) * time.Minute)}
	}
	f, found := domain.Travel(at("BR", 0), at("PT", 59), limits)
	require.True(t, found)
	require.Equal(t, domain.Finding{
		Kind: domain.ImpossibleTravel, Subject: "usr_1", Count: 59, Threshold: 60, Countries: []string{"BR", "PT"},
	}, f)
	_, found = domain.Travel(at("BR", 59), at("PT", 0), limits)
	require.True(t, found, "reports arrive in any order")
	for name, now := range map[string]domain.Sighting{
		"the same country": at("BR", 1), "a flight": at("PT", 60),
	} {
		_, found = domain.Travel(at("BR", 0), now, limits)
		require.False(t, found, name)
	}
	for _, pair := range [][2]string{{"ES", "PT"}, {"PT", "ES"}} {
		_, found = domain.Travel(at(pair[0], 0), at(pair[1], 1), limits)
		require.False(t, found, "these are near")
	}
	_, found = domain.Travel(at("BR", 0), at("PT", 0), domain.Thresholds{})
	require.False(t, found, "0 turns the detector off")
}

func TestAnEventIsAcknowledgedOnce(t *testing.T) {
	t.Parallel()
	e := domain.NewEvent(domain.Finding{Kind: domain.Refunds, Subject: domain.Marketplace}, noon)
	require.True(t, id.Valid(id.SecurityEvent, e.ID))
	require.True(t, e.Acknowledge("usr_1", "looked", noon))
	require.False(t, e.Acknowledge("usr_2", "too", noon.Add(time.Hour)))
	require.Equal(t, "usr_1", e.AcknowledgedBy)
	require.Equal(t, "looked", e.Note)
	require.Equal(t, noon, *e.AcknowledgedAt)
	require.EqualValues(t, 2, e.Version)
}

func TestUnknownKindsAreLeftOut(t *testing.T) {
	t.Parallel()
	all := []domain.Observation{
		{Kind: "of a newer version", Count: 1}, {Kind: domain.RateLimits, Count: 2},
		{Kind: domain.Refunds, Count: 3}, // which gateways do not observe
	}
	require.Equal(t, []domain.Observation{{Kind: domain.RateLimits, Count: 2}}, domain.Known(all))
	require.Len(t, all, 3)
}

// The contract lists the kinds of security events.
func TestTheContractHasTheKinds(t *testing.T) {
	t.Parallel()
	kinds := domain.Kinds()
	fields := (&securityv1.SecurityEvent{}).ProtoReflect().Descriptor().Fields()
	rule := fmt.Sprint(fields.ByName("kind").Options())
	for _, k := range kinds {
		require.Contains(t, rule, fmt.Sprintf("%q", k))
	}
	require.Len(t, kinds, 13)
	for k := range domain.Ages() {
		require.Greater(t, domain.Ages()[k], time.Hour, k)
	}
}
