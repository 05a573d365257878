// Package service implements the use cases of the security service.
package service

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"souk/apps/security/internal/domain"
	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// The events of this service.
const (
	SubjectDetected     = "evt.security.detected"
	SubjectAcknowledged = "evt.security.acknowledged"
)

// Store stores counts, sightings and security events.
type Store interface {
	// Report counts a report, once.
	Report(
		ctx context.Context, r domain.Report, judge func(before, now domain.Sighting) (domain.Finding, bool),
		announce func(domain.Event) (event.Event, error),
	) (raised []domain.Event, isNew bool, err error)
	// Detect writes what judge finds.
	Detect(
		ctx context.Context, queries []domain.Query, now time.Time,
		judge func([]domain.Sum, []domain.Hours) []domain.Finding, announce func(domain.Event) (event.Event, error),
	) (raised []domain.Event, err error)
	// List returns security events from before an ID, newest first.
	List(
		ctx context.Context, kind domain.Kind, subject string, open bool, before string, limit int,
	) ([]domain.Event, error)
	// Acknowledge lets f change a security event.
	//
	// Errors: not_found.
	Acknowledge(
		ctx context.Context, eventID string, f func(*domain.Event) bool, announce func(domain.Event) (event.Event, error),
	) (domain.Event, error)
	// Open returns how many security events nobody has acknowledged, by kind.
	Open(ctx context.Context) (map[domain.Kind]int, error)
}

// Deps are what the service is built from. All are required.
type Deps struct {
	Store   Store
	Clock   clock.Clock
	Logger  *zap.Logger
	Metrics *Metrics
	// Thresholds returns the settings of the detectors as they are now.
	Thresholds func() domain.Thresholds
}

// Service implements the use cases.
type Service struct{ Deps }

// New returns the service.
func New(d Deps) *Service { return &Service{Deps: d} }

// clockDifference is how far the clock of a gateway may be ahead.
const clockDifference = 5 * time.Minute

// Report counts what a gateway has observed, and looks for users who are in two countries. A report counts once. What
// this version of souk does not know is left out.
//
// Errors: invalid_argument (the report is too old, or from the future), unavailable.
func (s *Service) Report(ctx context.Context, r domain.Report, at time.Time) error {
	r.ReceivedAt = s.Clock.Now()
	if at.Before(r.ReceivedAt.Add(-domain.ReportAge)) || at.After(r.ReceivedAt.Add(clockDifference)) {
		return errs.InvalidField("at", "must be of the last hour")
	}
	r.Observations = domain.Known(r.Observations)
	for i := range r.Observations {
		r.Observations[i].At = at
	}
	slices.SortFunc(r.Sightings, func(a, b domain.Sighting) int {
		return cmp.Or(strings.Compare(a.UserID, b.UserID), a.At.Compare(b.At))
	})
	t := s.Thresholds()
	raised, isNew, err := s.Store.Report(ctx, r, func(before, now domain.Sighting) (domain.Finding, bool) {
		return domain.Travel(before, now, t)
	}, s.detected(ctx))
	if err != nil || !isNew {
		return err
	}
	s.Metrics.observed(r.Observations)
	s.noted(raised)
	return nil
}

// Detect runs the detectors once, and returns how many new security events they found.
//
// Errors: unavailable.
func (s *Service) Detect(ctx context.Context, now time.Time) (int, error) {
	t := s.Thresholds()
	raised, err := s.Store.Detect(ctx, domain.BurstQueries(t, now), now,
		func(sums []domain.Sum, hours []domain.Hours) []domain.Finding {
			return slices.Concat(domain.Bursts(sums, t), domain.Spikes(hours, t))
		}, s.detected(ctx))
	if err != nil {
		return 0, err
	}
	s.noted(raised)
	open, err := s.Store.Open(ctx)
	if err != nil {
		return 0, err
	}
	s.Metrics.passed(open, now)
	return len(raised), nil
}

// detected returns a function that makes the event of a new security event.
func (*Service) detected(ctx context.Context) func(domain.Event) (event.Event, error) {
	return func(v domain.Event) (event.Event, error) {
		return event.New(ctx, SubjectDetected, v.ID, v.Version, v.FirstAt, &securityv1.Detected{
			SecurityEventId: v.ID, Kind: string(v.Kind), Count: v.Count, Threshold: v.Threshold,
		})
	}
}

// noted counts and logs new security events. The subject stays out of the log: it may be an address.
func (s *Service) noted(raised []domain.Event) {
	for _, v := range raised {
		s.Metrics.events.WithLabelValues(string(v.Kind)).Inc()
		s.Logger.Warn("security event", zap.String("id", v.ID), zap.String("kind", string(v.Kind)),
			zap.Int64("count", v.Count), zap.Int64("threshold", v.Threshold))
	}
}

// List returns at most limit security events from before an ID, newest first.
//
// Errors: unavailable.
func (s *Service) List(
	ctx context.Context, kind domain.Kind, subject string, open bool, before string, limit int,
) ([]domain.Event, error) {
	return s.Store.List(ctx, kind, subject, open, before, limit)
}

// Acknowledge notes that a user takes care of a security event. The first one who does stays noted.
//
// Errors: not_found, unavailable.
func (s *Service) Acknowledge(ctx context.Context, eventID, userID, note string) (domain.Event, error) {
	now := s.Clock.Now()
	return s.Store.Acknowledge(ctx, eventID,
		func(v *domain.Event) bool { return v.Acknowledge(userID, note, now) },
		func(v domain.Event) (event.Event, error) {
			return event.New(ctx, SubjectAcknowledged, v.ID, v.Version, now, &securityv1.Acknowledged{
				SecurityEventId: v.ID, Kind: string(v.Kind), By: userID,
			})
		})
}
