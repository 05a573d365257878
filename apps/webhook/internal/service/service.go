// Package service implements the use cases of webhooks: managing them, and sending messages to them.
package service

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"time"

	"souk/apps/webhook/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/membership"
	"souk/pkg/rpc"
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

// Deps are what the service is built from. All but AllowLocal are required.
type Deps struct {
	Store Store
	Shops membership.Shops
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

// CreateForShop creates a webhook of a shop, for callers with the permission, and returns it with its secret. shop is
// its ID or handle.
//
// Errors: invalid_argument, not_found (also if the caller is a stranger to the shop), forbidden, conflict (too many).
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

// ListOfShop returns at most limit webhooks of a shop from before an ID, newest first, for callers with the permission.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
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

// Get returns a webhook to callers who have the method's permission in its shop.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) Get(ctx context.Context, webhookID string) (domain.Webhook, error) {
	if !id.Valid(id.Webhook, webhookID) {
		return domain.Webhook{}, noWebhook()
	}
	w, err := s.Store.Get(ctx, webhookID)
	if err != nil || rpc.Permitted(ctx) {
		return w, err
	}
	if w.ShopID == "" {
		return domain.Webhook{}, noWebhook()
	}
	if _, err := membership.CheckKnown(ctx, s.Shops, w.ShopID, noWebhook()); err != nil {
		return domain.Webhook{}, err
	}
	return w, nil
}

// Update changes a webhook, for callers with the permission in its shop.
//
// Errors: invalid_argument, not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) Update(ctx context.Context, webhookID string, c domain.Change) (domain.Webhook, error) {
	if _, err := s.Get(ctx, webhookID); err != nil { // a webhook never moves to another shop
		return domain.Webhook{}, err
	}
	return s.Store.Update(ctx, webhookID, func(w *domain.Webhook) (bool, error) {
		return w.Apply(c, s.events(w.ShopID), s.AllowLocal, s.Clock.Now())
	})
}

// Delete deletes a webhook, for callers with the permission in its shop.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) Delete(ctx context.Context, webhookID string) error {
	if _, err := s.Get(ctx, webhookID); err != nil {
		return err
	}
	return s.Store.Delete(ctx, webhookID)
}

// Rotate gives a webhook a new secret, for callers with the permission in its shop. The earlier ones are valid for a
// day.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden, conflict (too many secrets are valid).
func (s *Service) Rotate(ctx context.Context, webhookID string) (domain.Webhook, string, error) {
	w, err := s.Get(ctx, webhookID)
	if err != nil {
		return w, "", err
	}
	secret := newSecret()
	return w, secret, s.Store.Rotate(ctx, webhookID, secret, s.Clock.Now())
}

// Test sends a test message, for callers with the permission in its shop.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden, conflict (the webhook is disabled).
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
// all if it is "". It is for callers with the permission in its shop.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden.
func (s *Service) Deliveries(
	ctx context.Context, webhookID string, status domain.Status, before string, limit int,
) ([]domain.Delivery, error) {
	if _, err := s.Get(ctx, webhookID); err != nil {
		return nil, err
	}
	return s.Store.Deliveries(ctx, webhookID, status, before, limit)
}

// Redeliver sends a message again, for callers with the permission in its shop.
//
// Errors: not_found (also if the caller is a stranger to the shop), forbidden, conflict (the webhook is disabled).
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

// shop returns the ID of a shop in which the caller has the method's permission.
//
// Errors: not_found, forbidden.
func (s *Service) shop(ctx context.Context, shop string) (string, error) {
	in, err := membership.Check(ctx, s.Shops, shop, errs.New(errs.NotFound, "there is no such shop"))
	return in.ShopID, err
}

func noWebhook() error { return errs.New(errs.NotFound, "there is no such webhook") }
