package repository

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"souk/apps/order/internal/domain"
	"souk/apps/order/internal/repository/sqlc"
	"souk/pkg/personal"
	"souk/pkg/postgres"
)

// private is what an order says about the customer. It is stored encrypted, under a key of who placed the order.
type private struct {
	Email   string         `json:"email,omitempty"`
	Address domain.Address `json:"address"`
}

func place(orderID string) string { return "order/" + orderID }

// encrypt sets what is stored of an order's address and e-mail address.
func (s *Store) encrypt(ctx context.Context, o *domain.Order) error {
	var err error
	o.Private, err = s.cipher.EncryptJSON(ctx, o.CustomerID, place(o.ID), private{o.Email, o.Address})
	return err
}

// decrypt sets the addresses and e-mail addresses of orders. Those of erased people stay empty.
func (s *Store) decrypt(ctx context.Context, orders ...*domain.Order) error {
	sealed := make([][]byte, len(orders))
	for i, o := range orders {
		sealed[i] = o.Private
	}
	s.cipher.Prefetch(ctx, sealed...)
	for _, o := range orders {
		if len(o.Private) == 0 {
			continue // written before souk encrypted orders
		}
		var p private
		if err := s.cipher.DecryptJSON(ctx, place(o.ID), o.Private, &p); err != nil {
			return err
		}
		o.Email, o.Address = p.Email, p.Address
	}
	return nil
}

// Unshipped reports whether something of a customer's orders is to be shipped, and whether users have adopted orders of
// the customer, a guest.
func (s *Store) Unshipped(ctx context.Context, customerID string) (unshipped, adopted bool, err error) {
	r, err := s.q.Unshipped(ctx, customerID)
	return r.Unshipped, r.Adopted, postgres.Err(err)
}

// EncryptBatch is the most orders that EncryptPlain encrypts at once.
const EncryptBatch = 100

// EncryptPlain encrypts addresses and e-mail addresses that souk has stored before it encrypted them, and returns of how
// many orders.
//
// Errors: those of [postgres.Err], unavailable.
func (s *Store) EncryptPlain(ctx context.Context, _ time.Time) (int, error) {
	rows, err := s.q.PlainOrders(ctx, EncryptBatch)
	if err != nil {
		return 0, postgres.Err(err)
	}
	for _, r := range rows {
		o := domain.Order{ID: r.ID, CustomerID: r.CustomerID, Email: r.Email}
		if err := json.Unmarshal(r.ShippingAddress, &o.Address); err != nil {
			return 0, unreadable(err)
		}
		if err := s.encrypt(ctx, &o); err != nil && !errors.Is(err, personal.ErrErased) {
			return 0, err
		}
		// Of an erased person nothing is left.
		if err := s.q.EncryptOrder(ctx, sqlc.EncryptOrderParams{ID: o.ID, Private: o.Private}); err != nil {
			return 0, postgres.Err(err)
		}
	}
	return len(rows), nil
}
