package rest

import (
	"context"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/rpc"
)

const (
	// shownRequest is the most bytes of a request that who approves it sees.
	shownRequest = 8000
	// settleTimeout is of the report of what became of a call.
	settleTimeout = 2 * time.Second
)

// secondOperator is a connection that lets calls with some permissions pass only if another operator has approved them.
// It is about callers who have the permission in the whole marketplace: what members do in their shops is their own
// business.
type secondOperator struct {
	grpc.ClientConnInterface
	// required are the permissions; none: every call passes.
	required  func() []string
	approvals settingsv1.SettingsServiceClient
	logger    *zap.Logger
	methods   *sync.Map // full method name to rpc.Method; bounded by the contracts
}

// Invoke makes the call.
//
// Errors: those of the method; approval_required, forbidden (another operator has rejected the call), conflict (the
// same call is in flight), rate_limited.
func (c secondOperator) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	required := c.required()
	if len(required) == 0 {
		return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
	}
	m, err := c.method(method)
	if err != nil {
		return err
	}
	request, isMessage := args.(proto.Message)
	caller := identity.FromContext(ctx)
	if m.ReadOnly || !isMessage || !caller.Can(m.Access.GetPermission()) ||
		!contains(required, m.Access.GetPermission()) {
		return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
	}
	own := identity.WithToken(ctx, "") // the gateway itself asks
	approvalID, claim, err := c.claim(own, m, caller.ID, request)
	if err != nil {
		return err
	}
	err = c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
	c.settle(own, approvalID, claim, err)
	return err
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

func (c secondOperator) method(name string) (rpc.Method, error) {
	if m, ok := c.methods.Load(name); ok {
		return m.(rpc.Method), nil //nolint:forcetypeassert // nothing else is stored
	}
	m, err := rpc.FindMethod(name)
	if err != nil {
		return m, errs.Wrap(err, errs.Unimplemented, "there is no method %s", name)
	}
	c.methods.Store(name, m)
	return m, nil
}

// claim takes the approval of a call.
//
// Errors: approval_required, and those of SettingsService.ClaimApproval.
func (c secondOperator) claim(
	ctx context.Context, m rpc.Method, callerID string, request proto.Message,
) (approvalID, claim string, err error) {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(request)
	if err != nil {
		return "", "", errs.Wrap(err, errs.Internal, "the request cannot be encoded")
	}
	shown, err := protojson.Marshal(request)
	if err != nil {
		return "", "", errs.Wrap(err, errs.Internal, "the request cannot be shown")
	}
	digest := sha256.Sum256(raw)
	res, err := c.approvals.ClaimApproval(ctx, &settingsv1.ClaimApprovalRequest{
		CallerId:   callerID,
		Method:     m.FullMethod,
		Permission: m.Access.GetPermission(),
		Digest:     digest[:],
		Request:    strings.ToValidUTF8(string(shown[:min(len(shown), shownRequest)]), ""),
		TimeoutSeconds: int32(
			max(1, m.Timeout/time.Second),
		),
		Idempotent: m.Idempotent, //nolint:gosec // by the contracts
	})
	if err != nil {
		return "", "", err
	}
	if res.GetClaim() == "" {
		return "", "", errs.New(errs.ApprovalRequired, "another operator must approve this call: "+
			"POST /v1/operator/approvals/%s:approve; then repeat it", res.GetId())
	}
	return res.GetId(), res.GetClaim(), nil
}

// settle says what became of a call. Nothing is said of one whose outcome is unknown: its claim lapses.
func (c secondOperator) settle(ctx context.Context, approvalID, claim string, outcome error) {
	switch errs.CodeOf(outcome) {
	case errs.Timeout, errs.Unavailable, errs.Internal:
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	_, err := c.approvals.SettleApproval(ctx,
		&settingsv1.SettleApprovalRequest{Id: approvalID, Claim: claim, Used: outcome == nil})
	if err != nil {
		c.logger.Warn("the use of an approval is not stored; its claim lapses", zap.String("approval", approvalID),
			zap.Error(err))
	}
}
