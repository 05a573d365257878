package service

import (
	"context"
	"slices"
	"time"

	"souk/apps/order/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
)

// begin writes an order of the caller's cart. The order claims the cart: until its items have left the cart, or it is
// refused, no other order of the cart is written.
//
// Errors: those of place and admit, already_exists (the key has an order), checkout_in_progress (another order holds
// the claim).
func (s *Service) begin(ctx context.Context, r domain.Request) (domain.Order, error) {
	var left []string
	for attempt := 1; ; attempt++ {
		o, cart, err := s.place(ctx, r)
		if err == nil {
			err = s.admit(ctx, &o)
		}
		if err != nil {
			return domain.Order{}, err
		}
		cart.LeftIDs = append(cart.LeftIDs, left...)
		created, err := event.New(ctx, SubjectCreated, o.ID, o.Version, o.PlacedAt, &orderv1.OrderCreated{
			OrderId: o.ID, CustomerId: o.CustomerID, Total: o.Totals.Total.ToProto(),
		})
		if err != nil {
			return domain.Order{}, err
		}
		token, err := s.Cipher.Encrypt(ctx, o.CustomerID, tokenPlace(o.ID), []byte(r.Token))
		if err != nil {
			return domain.Order{}, err
		}
		o, err = s.Store.Create(ctx, o, cart, created, func(o domain.Order) any { return inputOf(o, r, cart, token) })
		if !errs.Is(err, errs.CheckoutInProgress) || attempt > 1 {
			return o, err
		}
		if left, err = s.removeHolders(ctx, cart); err != nil {
			return domain.Order{}, err
		}
	}
}

// removeHolders takes the items of the orders that hold the cart's claims out of the cart, and returns those orders. An
// order whose checkout has ended holds a claim if the cart was lost right after the items had left it, or if a guest's
// cart was ordered under the name of the user that it was merged into.
//
// Errors: checkout_in_progress (the checkout of such an order has not ended).
func (s *Service) removeHolders(ctx context.Context, c domain.Cart) ([]string, error) {
	holders, err := s.Store.ClaimHolders(ctx, c.ClaimIDs)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, h := range holders {
		if slices.Contains(c.LeftIDs, h.OrderID) {
			continue
		}
		switch ended, err := s.Store.CheckoutEnded(ctx, h.OrderID); {
		case errs.Is(err, errs.Conflict):
			return nil, errs.Wrap(err, errs.CheckoutInProgress,
				"a checkout of this cart is held up; our staff is looking into it").WithRetryAfter(time.Minute)
		case err != nil:
			return nil, err
		case !ended:
			return nil, errs.New(errs.CheckoutInProgress, "a checkout of this cart is in progress").
				WithRetryAfter(time.Second)
		}
		if h.Confirmed {
			o, err := s.Store.ByID(ctx, h.OrderID)
			if err != nil {
				return nil, err
			}
			req := &cartv1.RemoveOrderedRequest{OwnerId: h.CartOwnerID, OrderId: h.OrderID, CartVersion: h.CartVersion}
			for _, p := range o.Parts {
				for _, it := range p.Items {
					req.Lines = append(req.Lines, &cartv1.Line{VariantId: it.VariantID, Quantity: it.Quantity})
				}
			}
			if _, err := s.Carts.RemoveOrdered(ctx, req); err != nil {
				return nil, err
			}
		}
		left = append(left, h.OrderID)
	}
	return left, nil
}

// priceChanged returns the error of a checkout that expected another total than that of o.
//
// Errors: price_changed.
func priceChanged(o domain.Order) error {
	e := errs.New(errs.PriceChanged, "the total is now %s", o.Totals.Total)
	e.Fields = []errs.Field{{Path: "expectedTotal", Message: "must be " + o.Totals.Total.String()}}
	e.Detail = quoteToProto(o)
	return e
}
