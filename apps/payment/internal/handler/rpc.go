// Package handler serves payment's contract and runs its jobs.
package handler

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/service"
	paymentv1 "souk/gen/go/souk/payment/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/money"
	"souk/pkg/page"
	"souk/pkg/rpc"
)

// RPC is the gRPC server of PaymentService.
type RPC struct {
	paymentv1.UnimplementedPaymentServiceServer
	service *service.Service
}

// New returns the server.
func New(s *service.Service) *RPC { return &RPC{service: s} }

// Authorize holds an order's total.
//
// Errors: those of service.Service.Authorize.
func (h *RPC) Authorize(ctx context.Context, r *paymentv1.AuthorizeRequest) (*paymentv1.AuthorizeResponse, error) {
	amount, err := money.FromProto(r.GetAmount())
	if err != nil {
		return nil, err
	}
	p, err := h.service.Authorize(ctx, domain.Request{
		OrderID:    r.GetOrderId(),
		CustomerID: r.GetCustomerId(),
		Amount:     amount,
		Method:     domain.Method(r.GetMethod()),
		Token:      r.GetToken(),
	})
	if err != nil {
		return nil, err
	}
	return &paymentv1.AuthorizeResponse{Payment: toProto(p)}, nil
}

// Capture takes authorized money.
//
// Errors: those of service.Service.Capture.
func (h *RPC) Capture(ctx context.Context, r *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error) {
	p, err := h.service.Capture(ctx, r.GetOrderId())
	if err != nil {
		return nil, err
	}
	return &paymentv1.CaptureResponse{Payment: toProto(p)}, nil
}

// Void gives up a payment.
//
// Errors: those of service.Service.Void.
func (h *RPC) Void(ctx context.Context, r *paymentv1.VoidRequest) (*paymentv1.VoidResponse, error) {
	p, err := h.service.Void(ctx, r.GetOrderId())
	if err != nil {
		return nil, err
	}
	if p.IsTombstone() {
		return &paymentv1.VoidResponse{}, nil
	}
	return &paymentv1.VoidResponse{Payment: toProto(p)}, nil
}

// Refund pays captured money back.
//
// Errors: those of service.Service.Refund.
func (h *RPC) Refund(ctx context.Context, r *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error) {
	var amount *money.Money
	if r.Amount != nil {
		m, err := money.FromProto(r.GetAmount())
		if err != nil {
			return nil, err
		}
		amount = &m
	}
	p, err := h.service.Refund(ctx, r.GetOrderId(), r.GetIdempotencyKey(), amount)
	if err != nil {
		return nil, err
	}
	return &paymentv1.RefundResponse{Payment: toProto(p)}, nil
}

// GetPayment returns one of the caller's payments, or any if the caller has the permission in the marketplace.
//
// Errors: not_found (also if it is another customer's).
func (h *RPC) GetPayment(ctx context.Context, r *paymentv1.GetPaymentRequest) (*paymentv1.GetPaymentResponse, error) {
	caller := identity.FromContext(ctx)
	if caller.ID == "" {
		return nil, errs.New(errs.NotFound, "there is no such payment")
	}
	var p domain.Payment
	var err error
	if rpc.Permitted(ctx) {
		p, err = h.service.Any(ctx, r.GetId())
	} else {
		p, err = h.service.Get(ctx, r.GetId(), caller.ID)
	}
	if err != nil {
		return nil, err
	}
	return &paymentv1.GetPaymentResponse{Payment: toProto(p)}, nil
}

// ReconcilePayments compares the provider's charges with the payments.
//
// Errors: those of service.Service.Compare.
func (h *RPC) ReconcilePayments(
	ctx context.Context, r *paymentv1.ReconcilePaymentsRequest,
) (*paymentv1.ReconcilePaymentsResponse, error) {
	since := r.GetSince().AsTime()
	got, err := h.service.Compare(ctx, since, page.Of(r, since.String()), r.GetGiveBack())
	if err != nil {
		return nil, err
	}
	out := &paymentv1.ReconcilePaymentsResponse{
		Compared: int32(got.Compared), Applied: int32(got.Applied), NextPageToken: got.Next, //nolint:gosec // of a page
	}
	for _, d := range got.Differences {
		out.Differences = append(out.Differences, &paymentv1.ChargeDifference{
			PaymentId:     d.Charge.PaymentID,
			OrderId:       d.Payment.OrderID,
			PaymentStatus: string(d.Payment.Status),
			ChargeStatus:  string(d.Charge.State),
			Captured:      d.Charge.Captured.ToProto(),
			Refunded:      d.Charge.Refunded.ToProto(),
			CreatedAt:     timestamppb.New(d.Charge.CreatedAt),
			GivenBack:     d.GivenBack,
		})
	}
	return out, nil
}

// AdoptPayments gives a guest's payments to a user.
//
// Errors: unavailable, timeout.
func (h *RPC) AdoptPayments(
	ctx context.Context, r *paymentv1.AdoptPaymentsRequest,
) (*paymentv1.AdoptPaymentsResponse, error) {
	if err := h.service.Adopt(ctx, r.GetGuestId(), r.GetUserId(), r.GetOrderIds()); err != nil {
		return nil, err
	}
	return &paymentv1.AdoptPaymentsResponse{}, nil
}

// ReceiveWebhook applies a provider's notices.
//
// Errors: those of service.Service.ReceiveWebhook.
func (h *RPC) ReceiveWebhook(
	ctx context.Context, r *paymentv1.ReceiveWebhookRequest,
) (*paymentv1.ReceiveWebhookResponse, error) {
	duplicate, err := h.service.ReceiveWebhook(ctx, r.GetProvider(), r.GetBody(), r.GetSignature())
	if err != nil {
		return nil, err
	}
	return &paymentv1.ReceiveWebhookResponse{Duplicate: duplicate}, nil
}

func toProto(p domain.Payment) *paymentv1.Payment {
	return &paymentv1.Payment{
		Id:            p.ID,
		OrderId:       p.OrderID,
		Status:        string(p.Status),
		Method:        string(p.Method),
		Amount:        p.Amount.ToProto(),
		Captured:      p.CapturedAmount().ToProto(),
		Refunded:      p.RefundedAmount().ToProto(),
		Waived:        p.WaivedAmount().ToProto(),
		Version:       p.Version,
		FailureReason: p.FailureReason,
		CreatedAt:     timestamppb.New(p.CreatedAt),
		UpdatedAt:     timestamppb.New(p.UpdatedAt),
	}
}
