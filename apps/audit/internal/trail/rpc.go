package trail

import (
	"context"
	"math"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "souk/gen/go/souk/audit/v1"
	"souk/pkg/audit"
	"souk/pkg/page"
)

// RPC serves souk.audit.v1.AuditService. The contract says who may call which method.
type RPC struct {
	auditv1.UnimplementedAuditServiceServer
	store *Store
}

// NewRPC returns the server of a store.
func NewRPC(store *Store) *RPC { return &RPC{store: store} }

// ListEntries lists entries, newest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListEntries(ctx context.Context, req *auditv1.ListEntriesRequest) (*auditv1.ListEntriesResponse, error) {
	f := Filter{ActorID: req.GetActorId(), Object: req.GetObject(), Action: req.GetAction()}
	if req.From != nil {
		f.From = req.GetFrom().AsTime()
	}
	if req.To != nil {
		f.To = req.GetTo().AsTime()
	}
	list := page.Of(req, "audit", f.ActorID, f.Object, f.Action, f.From.Format(time.RFC3339Nano),
		f.To.Format(time.RFC3339Nano))
	found, next, err := page.List(ctx, list, int64(math.MaxInt64),
		func(ctx context.Context, before int64, limit int) ([]audit.Entry, error) {
			return r.store.List(ctx, f, before, limit)
		},
		func(e audit.Entry) int64 { return e.Seq })
	if err != nil {
		return nil, err
	}
	res := &auditv1.ListEntriesResponse{NextPageToken: next}
	for _, e := range found {
		res.Entries = append(res.Entries, toProto(e))
	}
	return res, nil
}

func toProto(e audit.Entry) *auditv1.Entry {
	return &auditv1.Entry{
		Seq:        e.Seq,
		At:         timestamppb.New(e.At),
		ActorKind:  e.GetActorKind(),
		ActorId:    e.GetActorId(),
		Roles:      e.GetRoles(),
		Permission: e.GetPermission(),
		Method:     e.GetMethod(),
		Action:     e.GetAction(),
		Object:     e.GetObject(),
		Result:     e.GetResult(),
		Address:    e.GetAddress(),
		RequestId:  e.GetRequestId(),
	}
}
