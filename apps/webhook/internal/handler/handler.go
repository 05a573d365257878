// Package handler serves the webhook service's contract, and reads the events that are sent to webhooks.
package handler

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/webhook/internal/domain"
	"souk/apps/webhook/internal/service"
	webhookv1 "souk/gen/go/souk/webhook/v1"
	"souk/pkg/page"
)

// RPC serves souk.webhook.v1.WebhookService. The contract says who may call which method.
type RPC struct {
	webhookv1.UnimplementedWebhookServiceServer
	service *service.Service
}

// New returns the server.
func New(s *service.Service) *RPC { return &RPC{service: s} }

// CreateShopWebhook creates a webhook of a shop.
//
// Errors: those of service.Service.CreateForShop.
func (h *RPC) CreateShopWebhook(
	ctx context.Context, r *webhookv1.CreateShopWebhookRequest,
) (*webhookv1.CreateShopWebhookResponse, error) {
	w, secret, err := h.service.CreateForShop(ctx, r.GetShopId(), domain.Change{URL: &r.Url, Events: r.GetEvents()})
	if err != nil {
		return nil, err
	}
	return &webhookv1.CreateShopWebhookResponse{Webhook: toProto(w, &secret)}, nil
}

// CreateMarketplaceWebhook creates a webhook of the marketplace.
//
// Errors: those of service.Service.Create.
func (h *RPC) CreateMarketplaceWebhook(
	ctx context.Context, r *webhookv1.CreateMarketplaceWebhookRequest,
) (*webhookv1.CreateMarketplaceWebhookResponse, error) {
	w, secret, err := h.service.Create(ctx, domain.Change{URL: &r.Url, Events: r.GetEvents()})
	if err != nil {
		return nil, err
	}
	return &webhookv1.CreateMarketplaceWebhookResponse{Webhook: toProto(w, &secret)}, nil
}

// lastWebhook and lastDelivery sort after the IDs of all webhooks and deliveries.
const (
	lastWebhook  = "whk_g"
	lastDelivery = "whd_g"
)

func idOf(w domain.Webhook) string { return w.ID }

// ListShopWebhooks lists a shop's webhooks, newest first.
//
// Errors: invalid_argument (the page token is invalid), not_found (the caller is neither a member nor an operator).
func (h *RPC) ListShopWebhooks(
	ctx context.Context, r *webhookv1.ListShopWebhooksRequest,
) (*webhookv1.ListShopWebhooksResponse, error) {
	read := func(ctx context.Context, before string, limit int) ([]domain.Webhook, error) {
		return h.service.ListOfShop(ctx, r.GetShopId(), before, limit)
	}
	found, next, err := page.List(ctx, page.Of(r, "webhooks of "+r.GetShopId()), lastWebhook, read, idOf)
	if err != nil {
		return nil, err
	}
	return &webhookv1.ListShopWebhooksResponse{Webhooks: toProtos(found), NextPageToken: next}, nil
}

// ListMarketplaceWebhooks lists the webhooks of the marketplace, newest first.
//
// Errors: invalid_argument (the page token is invalid).
func (h *RPC) ListMarketplaceWebhooks(
	ctx context.Context, r *webhookv1.ListMarketplaceWebhooksRequest,
) (*webhookv1.ListMarketplaceWebhooksResponse, error) {
	found, next, err := page.List(ctx, page.Of(r, "marketplace webhooks"), lastWebhook, h.service.List, idOf)
	if err != nil {
		return nil, err
	}
	return &webhookv1.ListMarketplaceWebhooksResponse{Webhooks: toProtos(found), NextPageToken: next}, nil
}

// GetWebhook returns a webhook to members of its shop and operators.
//
// Errors: not_found.
func (h *RPC) GetWebhook(
	ctx context.Context, r *webhookv1.GetWebhookRequest,
) (*webhookv1.GetWebhookResponse, error) {
	w, err := h.service.Get(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &webhookv1.GetWebhookResponse{Webhook: toProto(w, nil)}, nil
}

// UpdateWebhook changes a webhook.
//
// Errors: those of service.Service.Update.
func (h *RPC) UpdateWebhook(
	ctx context.Context, r *webhookv1.UpdateWebhookRequest,
) (*webhookv1.UpdateWebhookResponse, error) {
	c := domain.Change{URL: r.Url, Events: r.GetEvents()}
	if r.Status != nil {
		c.Status = new(domain.Status(r.GetStatus()))
	}
	w, err := h.service.Update(ctx, r.GetId(), c)
	if err != nil {
		return nil, err
	}
	return &webhookv1.UpdateWebhookResponse{Webhook: toProto(w, nil)}, nil
}

// DeleteWebhook deletes a webhook.
//
// Errors: not_found.
func (h *RPC) DeleteWebhook(
	ctx context.Context, r *webhookv1.DeleteWebhookRequest,
) (*webhookv1.DeleteWebhookResponse, error) {
	return &webhookv1.DeleteWebhookResponse{}, h.service.Delete(ctx, r.GetId())
}

// RotateWebhookSecret gives a webhook a new secret.
//
// Errors: those of service.Service.Rotate.
func (h *RPC) RotateWebhookSecret(
	ctx context.Context, r *webhookv1.RotateWebhookSecretRequest,
) (*webhookv1.RotateWebhookSecretResponse, error) {
	w, secret, err := h.service.Rotate(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &webhookv1.RotateWebhookSecretResponse{Webhook: toProto(w, &secret)}, nil
}

// TestWebhook sends a test message.
//
// Errors: those of service.Service.Test.
func (h *RPC) TestWebhook(
	ctx context.Context, r *webhookv1.TestWebhookRequest,
) (*webhookv1.TestWebhookResponse, error) {
	d, err := h.service.Test(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &webhookv1.TestWebhookResponse{Delivery: deliveryToProto(d)}, nil
}

// ListWebhookDeliveries lists the deliveries of a webhook, newest first.
//
// Errors: invalid_argument (the page token is invalid), not_found.
func (h *RPC) ListWebhookDeliveries(
	ctx context.Context, r *webhookv1.ListWebhookDeliveriesRequest,
) (*webhookv1.ListWebhookDeliveriesResponse, error) {
	read := func(ctx context.Context, before string, limit int) ([]domain.Delivery, error) {
		return h.service.Deliveries(ctx, r.GetId(), domain.Status(r.GetStatus()), before, limit)
	}
	request := page.Of(r, "deliveries of "+r.GetId(), r.GetStatus())
	found, next, err := page.List(ctx, request, lastDelivery, read, func(d domain.Delivery) string { return d.ID })
	if err != nil {
		return nil, err
	}
	res := &webhookv1.ListWebhookDeliveriesResponse{NextPageToken: next}
	for _, d := range found {
		res.Deliveries = append(res.Deliveries, deliveryToProto(d))
	}
	return res, nil
}

// RedeliverWebhook sends a message again.
//
// Errors: those of service.Service.Redeliver.
func (h *RPC) RedeliverWebhook(
	ctx context.Context, r *webhookv1.RedeliverWebhookRequest,
) (*webhookv1.RedeliverWebhookResponse, error) {
	d, err := h.service.Redeliver(ctx, r.GetId())
	if err != nil {
		return nil, err
	}
	return &webhookv1.RedeliverWebhookResponse{Delivery: deliveryToProto(d)}, nil
}

// toProto returns a webhook, with its secret if that is shown.
func toProto(w domain.Webhook, secret *string) *webhookv1.Webhook {
	return &webhookv1.Webhook{
		Id: w.ID, ShopId: w.ShopID, Url: w.URL, Events: w.Events, Status: string(w.Status),
		DisabledReason: w.DisabledReason, Secret: secret,
		CreatedAt: timestamppb.New(w.CreatedAt), UpdatedAt: timestamppb.New(w.UpdatedAt),
	}
}

func toProtos(found []domain.Webhook) []*webhookv1.Webhook {
	out := make([]*webhookv1.Webhook, len(found))
	for i, w := range found {
		out[i] = toProto(w, nil)
	}
	return out
}

func deliveryToProto(d domain.Delivery) *webhookv1.WebhookDelivery {
	return &webhookv1.WebhookDelivery{
		Id: d.ID, WebhookId: d.WebhookID, EventId: d.EventID, Event: d.Event, Status: string(d.Status),
		Attempts: d.Attempts, ResponseStatus: d.ResponseStatus, Failure: d.Failure,
		CreatedAt:     timestamppb.New(d.CreatedAt),
		LastAttemptAt: optionalTime(d.LastAttemptAt), NextAttemptAt: optionalTime(d.NextAttemptAt),
	}
}

func optionalTime(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}
