// Package service implements the use cases of webhooks: managing them, and sending messages to them.
package service

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"google.golang.org/grpc"

	"souk/apps/webhook/internal/domain"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
)

// secretBytes is the length of a secret; Standard Webhooks asks for 24 to 64.
const secretBytes = 32

// Store stores webhooks and deliveries; see package repository.
type Store interface {
	Create(ctx context.Context, w domain.Webhook, secret string) error
	Get(ctx context.Context, webhookID string) (domain.Webhook, error)
	List(ctx context.Context, shopID, before string, limit int) ([]domain.Webhook, error)
	Update(
		ctx context.Context, webhookID string, f func(*domain.Webhook) (changed bool, err error),
	) (domain.Webhook, error)
	Delete(ctx context.Context, webhookID string) error
	Rotate(ctx context.Context, webhookID, secret string, at time.Time) error
	Deliveries(
		ctx context.Context, webhookID string, status domain.Status, before string, limit int,
	) ([]domain.Delivery, error)
	Delivery(ctx context.Context, deliveryID string) (domain.Delivery, error)
	Test(ctx context.Context, webhookID string, m domain.Message) (domain.Delivery, error)
	Redeliver(ctx context.Context, deliveryID string, at time.Time) (domain.Delivery, error)
	Next(ctx context.Context, deliveryID string, round int, at time.Time) (a domain.Attempt, found bool, err error)
	Finish(ctx context.Context, a domain.Attempt, o domain.Outcome, next *time.Time) error
}

// Shops is the shop service, as far as webhook needs it.
type Shops interface {
	CheckMembership(
		ctx context.Context, r *shopv1.CheckMembershipRequest, opts ...grpc.CallOption,
	) (*shopv1.CheckMembershipResponse, error)
}

// Deps are what the service is built from. All but AllowLocal are required.
type Deps struct {
	Store Store
	Shops Shops
	// HTTP sends messages. It refuses addresses that are not public.
	HTTP  *http.Client
	Clock clock.Clock
	// ShopEvents are the events that webhooks of shops get, and AllEvents those of the marketplace's.
	ShopEvents, AllEvents []string
	// AllowLocal allows webhooks with http.
	AllowLocal bool
}

// Service implements the use cases. It is safe for concurrent use.
type Service struct {
	Deps
	lines *lines
}

// New returns the service.
func New(d Deps) *Service { return &Service{Deps: d, lines: newLines()} }

// CreateForShop creates a webhook of a shop, for its members and operators, and returns it with its secret. shop is its
// ID or handle.
//
// Errors: invalid_argument, not_found (also if the caller is neither), conflict (too many).
func (s *Service) CreateForShop(ctx context.Context, shop string, c domain.Change) (domain.Webhook, string, error) {
	shopID, err := s.shop(ctx, shop)
	if err != nil {
		return domain.Webhook{}, "", err
	}
	return s.create(ctx, shopID, c)
}

// Create creates a webhook of the marketplace and returns it with its secret.
//
// Errors: invalid_argument, conflict (too many).
func (s *Service) Create(ctx context.Context, c domain.Change) (domain.Webhook, string, error) {
	return s.create(ctx, "", c)
}

func (s *Service) create(ctx context.Context, shopID string, c domain.Change) (domain.Webhook, string, error) {
	w, err := domain.New(shopID, c, s.events(shopID), s.AllowLocal, s.Clock.Now())
	if err != nil {
		return w, "", err
	}
	secret := newSecret()
	return w, secret, s.Store.Create(ctx, w, secret)
}

// events returns the events that a webhook of a shop, or of the marketplace, may get.
func (s *Service) events(shopID string) []string {
	if shopID == "" {
		return s.AllEvents
	}
	return s.ShopEvents
}

func newSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

// ListOfShop returns at most limit webhooks of a shop from before an ID, newest first, for its members and operators.
//
// Errors: not_found (also if the caller is neither).
func (s *Service) ListOfShop(ctx context.Context, shop, before string, limit int) ([]domain.Webhook, error) {
	shopID, err := s.shop(ctx, shop)
	if err != nil {
		return nil, err
	}
	return s.Store.List(ctx, shopID, before, limit)
}

// List returns at most limit webhooks of the marketplace from before an ID, newest first.
func (s *Service) List(ctx context.Context, before string, limit int) ([]domain.Webhook, error) {
	return s.Store.List(ctx, "", before, limit)
}

// Get returns a webhook to members of its shop and operators.
//
// Errors: not_found (also if the caller is neither).
func (s *Service) Get(ctx context.Context, webhookID string) (domain.Webhook, error) {
	if !id.Valid(id.Webhook, webhookID) {
		return domain.Webhook{}, noWebhook()
	}
	w, err := s.Store.Get(ctx, webhookID)
	if err != nil || identity.FromContext(ctx).IsOperator() {
		return w, err
	}
	if w.ShopID == "" {
		return domain.Webhook{}, noWebhook()
	}
	if _, err := s.shop(ctx, w.ShopID); errs.Is(err, errs.NotFound) {
		return domain.Webhook{}, noWebhook()
	} else if err != nil {
		return domain.Webhook{}, err
	}
	return w, nil
}

// Update changes a webhook, for members of its shop and operators.
//
// Errors: invalid_argument, not_found (also if the caller is neither).
func (s *Service) Update(ctx context.Context, webhookID string, c domain.Change) (domain.Webhook, error) {
	if _, err := s.Get(ctx, webhookID); err != nil { // a webhook never moves to another shop
		return domain.Webhook{}, err
	}
	return s.Store.Update(ctx, webhookID, func(w *domain.Webhook) (bool, error) {
		return w.Apply(c, s.events(w.ShopID), s.AllowLocal, s.Clock.Now())
	})
}

// Delete deletes a webhook, for members of its shop and operators.
//
// Errors: not_found (also if the caller is neither).
func (s *Service) Delete(ctx context.Context, webhookID string) error {
	if _, err := s.Get(ctx, webhookID); err != nil {
		return err
	}
	return s.Store.Delete(ctx, webhookID)
}

// Rotate gives a webhook a new secret, for members of its shop and operators. The earlier ones are valid for a day.
//
// Errors: not_found (also if the caller is neither), conflict (too many secrets are valid).
func (s *Service) Rotate(ctx context.Context, webhookID string) (domain.Webhook, string, error) {
	w, err := s.Get(ctx, webhookID)
	if err != nil {
		return w, "", err
	}
	secret := newSecret()
	return w, secret, s.Store.Rotate(ctx, webhookID, secret, s.Clock.Now())
}

// Test sends a test message, for members of the webhook's shop and operators.
//
// Errors: not_found (also if the caller is neither), conflict (the webhook is disabled).
func (s *Service) Test(ctx context.Context, webhookID string) (domain.Delivery, error) {
	w, err := s.Get(ctx, webhookID)
	if err != nil {
		return domain.Delivery{}, err
	}
	data, err := json.Marshal(map[string]string{"webhookId": w.ID})
	if err != nil {
		return domain.Delivery{}, errs.Wrap(err, errs.Internal, "a test message cannot be written")
	}
	now := s.Clock.Now().UTC()
	return s.Store.Test(ctx, w.ID, domain.Message{
		EventID: id.New(id.Event), Event: domain.TestEvent, ShopID: w.ShopID, At: now,
		Body: domain.Body(domain.TestEvent, now.Format(time.RFC3339Nano), data),
	})
}

// Deliveries returns at most limit deliveries of a webhook from before an ID, newest first: those with the status, or
// all if it is "". It is for members of the webhook's shop and operators.
//
// Errors: not_found (also if the caller is neither).
func (s *Service) Deliveries(
	ctx context.Context, webhookID string, status domain.Status, before string, limit int,
) ([]domain.Delivery, error) {
	if _, err := s.Get(ctx, webhookID); err != nil {
		return nil, err
	}
	return s.Store.Deliveries(ctx, webhookID, status, before, limit)
}

// Redeliver sends a message again, for members of the webhook's shop and operators.
//
// Errors: not_found (also if the caller is neither), conflict (the webhook is disabled).
func (s *Service) Redeliver(ctx context.Context, deliveryID string) (domain.Delivery, error) {
	noDelivery := errs.New(errs.NotFound, "there is no such delivery")
	if !id.Valid(id.WebhookDelivery, deliveryID) {
		return domain.Delivery{}, noDelivery
	}
	d, err := s.Store.Delivery(ctx, deliveryID)
	if err != nil {
		return d, err
	}
	if _, err := s.Get(ctx, d.WebhookID); errs.Is(err, errs.NotFound) {
		return domain.Delivery{}, noDelivery
	} else if err != nil {
		return domain.Delivery{}, err
	}
	return s.Store.Redeliver(ctx, deliveryID, s.Clock.Now())
}

// shop returns the ID of a shop of which the caller is a member; operators may act for any shop.
//
// Errors: not_found.
func (s *Service) shop(ctx context.Context, shop string) (string, error) {
	caller := identity.FromContext(ctx)
	res, err := s.Shops.CheckMembership(ctx, &shopv1.CheckMembershipRequest{ShopId: shop, UserId: caller.ID})
	switch {
	case err != nil:
		return "", err
	case res.GetShopId() == "" || !res.GetMember() && !caller.IsOperator():
		return "", errs.New(errs.NotFound, "there is no such shop")
	}
	return res.GetShopId(), nil
}

func noWebhook() error { return errs.New(errs.NotFound, "there is no such webhook") }
