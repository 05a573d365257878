package settings

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/identity"
)

// ListApprovals lists calls that need a second operator.
//
// Errors: unavailable.
func (r *RPC) ListApprovals(
	ctx context.Context, in *settingsv1.ListApprovalsRequest,
) (*settingsv1.ListApprovalsResponse, error) {
	found, err := r.Store.Approvals(ctx, in.GetStatus(), r.Clock.Now())
	out := &settingsv1.ListApprovalsResponse{}
	for _, a := range found {
		out.Approvals = append(out.Approvals, a.toProto())
	}
	return out, err
}

// ApproveCall approves another person's call.
//
// Errors: not_found, forbidden, conflict, unavailable.
func (r *RPC) ApproveCall(
	ctx context.Context, in *settingsv1.ApproveCallRequest,
) (*settingsv1.ApproveCallResponse, error) {
	a, err := r.decide(ctx, in.GetId(), approvalApproved)
	return &settingsv1.ApproveCallResponse{Approval: a}, err
}

// RejectCall rejects another person's call.
//
// Errors: not_found, forbidden, conflict, unavailable.
func (r *RPC) RejectCall(
	ctx context.Context, in *settingsv1.RejectCallRequest,
) (*settingsv1.RejectCallResponse, error) {
	a, err := r.decide(ctx, in.GetId(), approvalRejected)
	return &settingsv1.RejectCallResponse{Approval: a}, err
}

func (r *RPC) decide(ctx context.Context, approvalID, status string) (*settingsv1.Approval, error) {
	caller := identity.FromContext(ctx)
	a, err := r.Store.Decide(ctx, approvalID, caller.ID, status, caller.Can, r.Clock.Now())
	if err != nil {
		return nil, err
	}
	return a.toProto(), nil
}

// ClaimApproval claims the approval of a call, or asks for one.
//
// Errors: forbidden (rejected), conflict (the call is in flight), rate_limited, unavailable.
func (r *RPC) ClaimApproval(
	ctx context.Context, in *settingsv1.ClaimApprovalRequest,
) (*settingsv1.ClaimApprovalResponse, error) {
	a, err := r.Store.ClaimApproval(ctx, Approval{
		ID:       approvalID(in.GetCallerId(), in.GetMethod(), in.GetDigest()),
		CallerID: in.GetCallerId(), Method: in.GetMethod(), Permission: in.GetPermission(), Request: in.GetRequest(),
		Idempotent: in.GetIdempotent(),
	}, time.Duration(in.GetTimeoutSeconds())*time.Second, r.Clock.Now())
	if err != nil {
		return nil, err
	}
	out := &settingsv1.ClaimApprovalResponse{Id: a.ID}
	if a.Status == approvalRunning {
		out.Claim = a.Claim
	}
	return out, nil
}

// SettleApproval says what became of the call of a claim.
//
// Errors: unavailable.
func (r *RPC) SettleApproval(
	ctx context.Context, in *settingsv1.SettleApprovalRequest,
) (*settingsv1.SettleApprovalResponse, error) {
	return &settingsv1.SettleApprovalResponse{}, r.Store.SettleApproval(ctx, in.GetId(), in.GetClaim(), in.GetUsed())
}

func (a Approval) toProto() *settingsv1.Approval {
	out := &settingsv1.Approval{
		Id:         a.ID,
		CallerId:   a.CallerID,
		Method:     a.Method,
		Permission: a.Permission,
		Request:    a.Request,
		Status:     a.Status,
		CreatedAt:  timestamppb.New(a.CreatedAt),
		ExpiresAt:  timestamppb.New(a.ExpiresAt),
	}
	if a.DecidedBy != "" {
		out.DecidedBy = &a.DecidedBy
	}
	return out
}
