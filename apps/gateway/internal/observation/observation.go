// Package observation adds up what a gateway observes, and reports the sums to the security service.
//
// An attacker cannot make a gateway keep much: a report has a bounded number of subjects, and a bounded number of
// reports waits while the service is down.
package observation

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/chore"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/metric"
)

const (
	// reportEvery is the time between two reports.
	reportEvery = 5 * time.Second
	// callTimeout is of one attempt to send a report.
	callTimeout = 3 * time.Second
	// maxSubjects is how many subjects a report has. Further ones are counted as others.
	maxSubjects = 1000
	// others is the subject of observations about too many subjects.
	others = "others"
	// maxWaiting is how many reports wait while the service is down.
	maxWaiting = 60
	// maxKnown is how many users' countries are remembered.
	maxKnown = 10_000
	// seenAgain is after which time the same country of a user is reported again.
	seenAgain = 10 * time.Minute
)

// Service is the part of the security service that a reporter calls.
type Service interface {
	ReportObservations(
		ctx context.Context, in *securityv1.ReportObservationsRequest, opts ...grpc.CallOption,
	) (*securityv1.ReportObservationsResponse, error)
}

// Deps are what a reporter is built from. All are required.
type Deps struct {
	Service Service
	Clock   clock.Clock
	Logger  *zap.Logger
	Metrics prometheus.Registerer
}

// Reporter adds up observations and reports them. It is safe for concurrent use.
type Reporter struct {
	Deps
	dropped prometheus.Counter

	mu     sync.Mutex
	counts map[subject]int64
	seen   map[sighting]time.Time
	known  map[string]known // by user

	waiting []*securityv1.ReportObservationsRequest // only Run's goroutine uses it
}

type (
	subject  struct{ kind, id string }
	sighting struct{ userID, country string }
	known    struct {
		country string
		at      time.Time
	}
)

// New returns a reporter. Run must run.
func New(d Deps) (*Reporter, error) {
	dropped, err := metric.Register(d.Metrics, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "security_report_dropped_total",
		Help: "Reports of observations that were given up, because the security service did not take them.",
	}))
	return &Reporter{
		Deps: d, dropped: dropped, counts: map[subject]int64{}, seen: map[sighting]time.Time{},
		known: map[string]known{},
	}, err
}

// Observe notes that something of a kind was observed n times about a subject.
func (r *Reporter) Observe(kind, id string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := subject{kind, id}
	if _, counted := r.counts[key]; !counted && len(r.counts) >= maxSubjects {
		key.id = others
	}
	r.counts[key] += int64(n)
}

// See notes the country from which a user sent a request. It is reported if it is another one than before, and now and
// then.
func (r *Reporter) See(userID, country string) {
	now := r.Clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if k, ok := r.known[userID]; ok && k.country == country && now.Sub(k.at) < seenAgain {
		return
	}
	if len(r.seen) >= maxSubjects { // the next request of the user is as good
		return
	}
	if len(r.known) >= maxKnown {
		r.forget(now)
	}
	r.known[userID] = known{country, now}
	r.seen[sighting{userID, country}] = now
}

// forget makes room in known: it drops what is reported again anyway, and a tenth in no order.
func (r *Reporter) forget(now time.Time) {
	n := 0
	for id, k := range r.known {
		if n < maxKnown/10 || now.Sub(k.at) >= seenAgain {
			delete(r.known, id)
			n++
		}
	}
}

// Run reports every few seconds until ctx ends, and then once more.
func (r *Reporter) Run(ctx context.Context) error {
	report := chore.Chore{
		Name:   "report observations",
		Pass:   r.pass,
		Every:  reportEvery,
		Clock:  r.Clock,
		Logger: r.Logger,
	}
	err := report.Run(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, failed := r.pass(last, r.Clock.Now()); failed != nil {
		r.Logger.Warn("the last observations are not reported", zap.Error(failed))
	}
	return err
}

// pass makes a report and sends all that wait, the oldest first. A report whose outcome is unknown is sent again; the
// service counts it once.
func (r *Reporter) pass(ctx context.Context, now time.Time) (int, error) {
	if next := r.take(now); next != nil {
		r.waiting = append(r.waiting, next)
	}
	for len(r.waiting) > maxWaiting {
		r.drop()
	}
	n := 0
	for len(r.waiting) > 0 {
		err := r.send(ctx, r.waiting[0])
		switch {
		case err == nil:
			r.waiting = r.waiting[1:]
			n++
		case errs.OutcomeUnknown(err):
			return n, err
		default:
			r.drop()
			return n, errors.Join(errors.New("a report of observations was refused"), err)
		}
	}
	r.waiting = nil
	return n, nil
}

func (r *Reporter) drop() {
	r.waiting = r.waiting[1:]
	r.dropped.Inc()
}

func (r *Reporter) send(ctx context.Context, report *securityv1.ReportObservationsRequest) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := r.Service.ReportObservations(ctx, report)
	return err
}

// take returns a report of what was observed since the last one; nil if nothing was.
func (r *Reporter) take(now time.Time) *securityv1.ReportObservationsRequest {
	r.mu.Lock()
	counts, seen := r.counts, r.seen
	if len(counts)+len(seen) > 0 {
		r.counts, r.seen = map[subject]int64{}, map[sighting]time.Time{}
	}
	r.mu.Unlock()
	if len(counts)+len(seen) == 0 {
		return nil
	}
	out := &securityv1.ReportObservationsRequest{ReportId: rand.Text(), At: timestamppb.New(now)}
	for k, n := range counts {
		out.Observations = append(out.Observations, &securityv1.Observation{Kind: k.kind, Subject: k.id, Count: n})
	}
	for s, at := range seen {
		out.Sightings = append(out.Sightings, &securityv1.Sighting{
			UserId: s.userID, CountryCode: s.country, At: timestamppb.New(at),
		})
	}
	return out
}
