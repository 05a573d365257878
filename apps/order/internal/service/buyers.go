package service

import (
	"context"
	"strings"

	"souk/apps/order/internal/domain"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
)

// addEmails completes the buyers of shop orders: a customer who gave no address at the checkout is reached at the one
// of the account.
func (s *Service) addEmails(ctx context.Context, parts []domain.ShopOrder) error {
	req := &userv1.BatchGetUsersRequest{}
	missing := map[string][]*domain.Buyer{}
	for i := range parts {
		b := &parts[i].Buyer
		if b.Email != "" || !strings.HasPrefix(b.CustomerID, string(id.User)+"_") {
			continue
		}
		if missing[b.CustomerID] == nil {
			req.Ids = append(req.Ids, b.CustomerID)
		}
		missing[b.CustomerID] = append(missing[b.CustomerID], b)
	}
	if len(missing) == 0 {
		return nil
	}
	res, err := s.Users.BatchGetUsers(ctx, req)
	if err != nil {
		return err
	}
	for _, u := range res.GetUsers() {
		for _, b := range missing[u.GetId()] {
			b.Email = u.GetEmail()
		}
	}
	return nil
}

// GetPart returns a shop order to a member of its shop or an operator.
//
// Errors: not_found (also if the caller is neither, or if its checkout was refused), unavailable.
func (s *Service) GetPart(ctx context.Context, partID string) (domain.ShopOrder, error) {
	orderID, err := s.orderOfPart(ctx, partID)
	if err != nil {
		return domain.ShopOrder{}, err
	}
	o, err := s.Store.ByID(ctx, orderID)
	if err != nil {
		return domain.ShopOrder{}, err
	}
	if o.Status == domain.Cancelled && o.ConfirmedAt.IsZero() {
		return domain.ShopOrder{}, errs.New(errs.NotFound, noShopOrder)
	}
	parts := []domain.ShopOrder{o.ForShop(partID)}
	err = s.addEmails(ctx, parts)
	return parts[0], err
}
