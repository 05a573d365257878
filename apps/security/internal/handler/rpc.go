// Package handler serves the security service's contract, and decodes the events that it consumes.
package handler

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/security/internal/domain"
	"souk/apps/security/internal/service"
	securityv1 "souk/gen/go/souk/security/v1"
	"souk/pkg/identity"
	"souk/pkg/page"
)

// RPC serves souk.security.v1.SecurityService. The contract says who may call which method.
type RPC struct {
	securityv1.UnimplementedSecurityServiceServer
	service *service.Service
}

// New returns the server.
func New(s *service.Service) *RPC { return &RPC{service: s} }

// ReportObservations counts what a gateway has observed.
//
// Errors: invalid_argument, unavailable.
func (r *RPC) ReportObservations(
	ctx context.Context, req *securityv1.ReportObservationsRequest,
) (*securityv1.ReportObservationsResponse, error) {
	report := domain.Report{ID: req.GetReportId()}
	for _, o := range req.GetObservations() {
		report.Observations = append(report.Observations, domain.Observation{
			Kind: domain.Kind(o.GetKind()), Subject: o.GetSubject(), Count: o.GetCount(),
		})
	}
	for _, s := range req.GetSightings() {
		report.Sightings = append(report.Sightings, domain.Sighting{
			UserID: s.GetUserId(), Country: s.GetCountryCode(), At: s.GetAt().AsTime(),
		})
	}
	return &securityv1.ReportObservationsResponse{}, r.service.Report(ctx, report, req.GetAt().AsTime())
}

// lastID sorts after every ID of a security event.
const lastID = "sec_~"

// ListSecurityEvents lists security events, newest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListSecurityEvents(
	ctx context.Context, req *securityv1.ListSecurityEventsRequest,
) (*securityv1.ListSecurityEventsResponse, error) {
	list := page.Of(req, "security", req.GetKind(), req.GetSubject(), strconv.FormatBool(req.GetOpen()))
	found, next, err := page.List(ctx, list, lastID,
		func(ctx context.Context, before string, limit int) ([]domain.Event, error) {
			return r.service.List(ctx, domain.Kind(req.GetKind()), req.GetSubject(), req.GetOpen(), before, limit)
		},
		func(v domain.Event) string { return v.ID })
	if err != nil {
		return nil, err
	}
	res := &securityv1.ListSecurityEventsResponse{NextPageToken: next}
	for _, v := range found {
		res.Events = append(res.Events, toProto(v))
	}
	return res, nil
}

// AcknowledgeSecurityEvent notes that the caller takes care of a security event.
//
// Errors: not_found.
func (r *RPC) AcknowledgeSecurityEvent(
	ctx context.Context, req *securityv1.AcknowledgeSecurityEventRequest,
) (*securityv1.AcknowledgeSecurityEventResponse, error) {
	v, err := r.service.Acknowledge(ctx, req.GetId(), identity.FromContext(ctx).ID, req.GetNote())
	if err != nil {
		return nil, err
	}
	return &securityv1.AcknowledgeSecurityEventResponse{Event: toProto(v)}, nil
}

func toProto(v domain.Event) *securityv1.SecurityEvent {
	out := &securityv1.SecurityEvent{
		Id: v.ID, Kind: string(v.Kind), Subject: v.Subject, FirstAt: timestamppb.New(v.FirstAt),
		LastAt: timestamppb.New(v.LastAt), Count: v.Count, Threshold: v.Threshold,
		WindowSeconds: int32(v.Window / time.Second), //nolint:gosec // a day at most
		CountryCodes:  v.Countries, AcknowledgedBy: v.AcknowledgedBy, Note: v.Note,
	}
	if v.AcknowledgedAt != nil {
		out.AcknowledgedAt = timestamppb.New(*v.AcknowledgedAt)
	}
	return out
}
