package observation

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service fakes the security service.
type service struct {
	got []*securityv1.ReportObservationsRequest
	err error
}

func (s *service) ReportObservations(
	_ context.Context, r *securityv1.ReportObservationsRequest, _ ...grpc.CallOption,
) (*securityv1.ReportObservationsResponse, error) {
	s.got = append(s.got, r)
	return &securityv1.ReportObservationsResponse{}, s.err
}

// counts returns what the reports add up to.
func (s *service) counts() map[string]int64 {
	out := map[string]int64{}
	for _, r := range s.got {
		for _, o := range r.GetObservations() {
			out[o.GetKind()+" "+o.GetSubject()] += o.GetCount()
		}
	}
	return out
}

// run runs a reporter in a synctest bubble, and stops it after test.
func run(t *testing.T, test func(t *testing.T, r *Reporter, s *service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		r, err := New(Deps{Service: s, Clock: clock.System{}, Logger: zap.NewNop(), Metrics: prometheus.NewRegistry()})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		test(t, r, s)
		cancel()
		synctest.Wait()
		select {
		case err := <-done:
			require.NoError(t, err)
		default:
			t.Fatal("the reporter goes on after its context has ended")
		}
	})
}

// wait lets the reporter make its next report.
func wait() {
	<-time.After(reportEvery)
	synctest.Wait()
}

func TestSumsAreReported(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, r *Reporter, s *service) {
		r.Observe("card_testing", "usr_1", 2)
		r.Observe("card_testing", "usr_1", 1)
		r.Observe("card_testing", "usr_2", 1)
		wait()
		require.Len(t, s.got, 1)
		require.Equal(t, map[string]int64{"card_testing usr_1": 3, "card_testing usr_2": 1}, s.counts())
		require.GreaterOrEqual(t, len(s.got[0].GetReportId()), 16)
		wait()
		require.Len(t, s.got, 1, "nothing was observed")
		r.Observe("card_testing", "usr_1", 1)
		wait()
		require.NotEqual(t, s.got[0].GetReportId(), s.got[1].GetReportId())
	})
}

func TestTheLastReportIsSentAtTheEnd(t *testing.T) {
	t.Parallel()
	var last *service
	run(t, func(_ *testing.T, r *Reporter, s *service) {
		r.Observe("card_testing", "usr_1", 1)
		last = s
	})
	require.Equal(t, map[string]int64{"card_testing usr_1": 1}, last.counts())
}

func TestAReportIsRepeatedWithItsID(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, r *Reporter, s *service) {
		s.err = errs.New(errs.Unavailable, "down")
		r.Observe("card_testing", "usr_1", 1)
		wait()
		r.Observe("card_testing", "usr_1", 1)
		wait()
		s.err = nil
		wait()
		require.Len(t, s.got, 4)
		require.Equal(t, s.got[0], s.got[1])
		require.Equal(t, s.got[0], s.got[2])
		require.NotEqual(t, s.got[0].GetReportId(), s.got[3].GetReportId())
		require.Zero(t, testutil.ToFloat64(r.dropped))
	})
}

func TestReportsThatCannotBeDeliveredAreDropped(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, r *Reporter, s *service) {
		s.err = errs.New(errs.Unavailable, "down")
		for range maxWaiting + 7 {
			r.Observe("card_testing", "usr_1", 1)
			wait()
		}
		require.EqualValues(t, 7, testutil.ToFloat64(r.dropped))
		s.err, s.got = nil, nil
		wait()
		require.Len(t, s.got, maxWaiting)

		s.err = errs.New(errs.Invalid, "of another version")
		r.Observe("card_testing", "usr_1", 1)
		wait()
		s.err, s.got = nil, nil
		wait()
		require.Empty(t, s.got, "a refused report is not sent again")
		require.EqualValues(t, 8, testutil.ToFloat64(r.dropped))
	})
}

func TestTooManySubjectsAreOthers(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, r *Reporter, s *service) {
		for i := range 3 * maxSubjects {
			r.Observe("failed_sign_ins", fmt.Sprint(i), 1)
			r.See(fmt.Sprint(i), "BR")
		}
		r.Observe("failed_sign_ins", "0", 1)
		r.Observe("rate_limits", "0", 1)
		wait()
		counts := s.counts()
		require.EqualValues(t, 2, counts["failed_sign_ins 0"])
		require.EqualValues(t, 2*maxSubjects, counts["failed_sign_ins others"])
		require.EqualValues(t, 1, counts["rate_limits others"])
		require.Len(t, s.got[0].GetObservations(), maxSubjects+2)
		require.Len(t, s.got[0].GetSightings(), maxSubjects)
	})
}

func TestCountriesAreReportedWhenTheyChange(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, r *Reporter, s *service) {
		seen := func() (out []string) {
			wait()
			for _, report := range s.got {
				for _, x := range report.GetSightings() {
					out = append(out, x.GetUserId()+" "+x.GetCountryCode())
				}
			}
			s.got = nil
			return out
		}
		r.See("usr_1", "BR")
		r.See("usr_1", "BR")
		r.See("usr_2", "PT")
		require.ElementsMatch(t, []string{"usr_1 BR", "usr_2 PT"}, seen())
		r.See("usr_1", "BR")
		require.Empty(t, seen(), "known")
		r.See("usr_1", "PT")
		r.See("usr_1", "BR")
		require.ElementsMatch(t, []string{"usr_1 BR", "usr_1 PT"}, seen(), "both")
		<-time.After(seenAgain)
		r.See("usr_1", "BR")
		require.Equal(t, []string{"usr_1 BR"}, seen(), "now and then")
	})
}

func TestFewUsersAreRemembered(t *testing.T) {
	t.Parallel()
	run(t, func(t *testing.T, r *Reporter, _ *service) {
		for range 3 * maxKnown / maxSubjects {
			for i := range maxSubjects {
				r.See(fmt.Sprint(time.Now().Unix(), i), "BR")
			}
			wait()
		}
		require.LessOrEqual(t, len(r.known), maxKnown)
		require.Greater(t, len(r.known), maxKnown/2)
	})
}
