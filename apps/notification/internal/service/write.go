package service

import (
	"context"
	"net/mail"
	"strings"

	"souk/apps/notification/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/weblink"
)

// letter is what a mail is rendered from. Which fields are set depends on the mail's kind.
type letter struct {
	order      *orderv1.Order       // a mail to a customer
	parts      []*orderv1.ShopOrder // new orders of a shop; or the one that was shipped or delivered
	numbers    []string             // the numbers of the orders of parts
	shop       *shopv1.Shop
	invitation *shopv1.Invitation
}

// write requests the content and the recipient of a mail, counts the mail to the recipient, and renders it, within
// Timeout.
func (s *Sender) write(ctx context.Context, m domain.Mail) (domain.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	l, to, err := s.read(ctx, m)
	if err != nil {
		return domain.Message{}, err
	}
	switch ok, err := s.Mails.Reserve(ctx, m, to.Digest(), s.Clock.Now()); {
	case err != nil:
		return domain.Message{}, err
	case !ok:
		return domain.Message{}, errTooMany
	}
	msg, err := s.Renderer.render(m, l, to.Address, s.Clock.Now())
	if err != nil {
		return domain.Message{}, domain.Permanent("it cannot be written")
	}
	return msg, nil
}

// read requests what a mail is rendered from, and where it goes.
func (s *Sender) read(ctx context.Context, m domain.Mail) (letter, domain.Recipient, error) {
	switch {
	case m.Kind == domain.ShopInvitation:
		return s.readInvitation(ctx, m)
	case m.Kind.ToShop():
		return s.readShop(ctx, m)
	}
	return s.readOrder(ctx, m)
}

func (s *Sender) readOrder(ctx context.Context, m domain.Mail) (letter, domain.Recipient, error) {
	orderID := m.OrderID
	if len(m.Items) > 0 {
		orderID = m.Items[0].OrderID
	}
	res, err := s.Orders.GetOrderForNotice(ctx, &orderv1.GetOrderForNoticeRequest{Id: orderID})
	if errs.Is(err, errs.NotFound) {
		return letter{}, domain.Recipient{}, domain.Permanent("there is no such order")
	}
	if err != nil {
		return letter{}, domain.Recipient{}, err
	}
	l := letter{order: res.GetOrder()}
	if m.Kind == domain.OrderConfirmed && l.order.GetStatus() == statusCancelled {
		return letter{}, domain.Recipient{}, domain.Skip("the order was cancelled")
	}
	if len(m.Items) > 0 && m.Items[0].ShopOrderID != "" {
		part := partOf(l.order, m.Items[0].ShopOrderID)
		if part == nil {
			return letter{}, domain.Recipient{}, domain.Permanent("there is no such shop order")
		}
		l.parts = append(l.parts, part)
	}
	to, err := s.customer(ctx, res)
	return l, to, err
}

// readShop reads a mail to an owner of a shop. Orders that were cancelled meanwhile are left out.
func (s *Sender) readShop(ctx context.Context, m domain.Mail) (letter, domain.Recipient, error) {
	res, err := s.Shops.GetShopForNotice(ctx, &shopv1.GetShopForNoticeRequest{Id: m.ShopID})
	if err != nil {
		return letter{}, domain.Recipient{}, err
	}
	l := letter{shop: res.GetShop()}
	if m.Kind == domain.NewOrders {
		for _, item := range m.Items {
			res, err := s.Orders.GetOrderForNotice(ctx, &orderv1.GetOrderForNoticeRequest{Id: item.OrderID})
			if err != nil {
				return letter{}, domain.Recipient{}, err
			}
			part := partOf(res.GetOrder(), item.ShopOrderID)
			if part == nil || part.GetStatus() == statusCancelled {
				continue
			}
			l.parts = append(l.parts, part)
			l.numbers = append(l.numbers, res.GetOrder().GetNumber())
		}
		if len(l.parts) == 0 {
			return letter{}, domain.Recipient{}, domain.Skip("the orders were cancelled")
		}
	}
	to, err := s.user(ctx, m.UserID)
	return l, to, err
}

func (s *Sender) readInvitation(ctx context.Context, m domain.Mail) (letter, domain.Recipient, error) {
	res, err := s.Shops.GetInvitationForNotice(ctx, &shopv1.GetInvitationForNoticeRequest{Id: m.About})
	if errs.Is(err, errs.NotFound) {
		return letter{}, domain.Recipient{}, domain.Skip("the invitation has ended")
	}
	if err != nil {
		return letter{}, domain.Recipient{}, err
	}
	to, err := recipient(res.GetInvitation().GetEmail(), "", false)
	return letter{invitation: res.GetInvitation()}, to, err
}

func partOf(o *orderv1.Order, partID string) *orderv1.ShopOrder {
	for _, part := range o.GetShopOrders() {
		if part.GetId() == partID {
			return part
		}
	}
	return nil
}

// customer returns the address given at checkout, else the user's.
func (s *Sender) customer(ctx context.Context, o *orderv1.GetOrderForNoticeResponse) (domain.Recipient, error) {
	if o.GetEmail() != "" || !strings.HasPrefix(o.GetCustomerId(), string(id.User)+"_") {
		return recipient(o.GetEmail(), o.GetOrder().GetShippingAddress().GetName(), false)
	}
	to, err := s.user(ctx, o.GetCustomerId())
	if err == nil && to.Address.Name == "" {
		to.Address.Name = person(o.GetOrder().GetShippingAddress().GetName())
	}
	return to, err
}

// user returns a user's address.
func (s *Sender) user(ctx context.Context, userID string) (domain.Recipient, error) {
	res, err := s.Users.BatchGetUsers(ctx, &userv1.BatchGetUsersRequest{Ids: []string{userID}})
	if err != nil {
		return domain.Recipient{}, err
	}
	var u *userv1.User
	if len(res.GetUsers()) > 0 {
		u = res.GetUsers()[0]
	}
	return recipient(u.GetEmail(), u.GetName(), u.GetEmailVerified())
}

func recipient(address, name string, own bool) (domain.Recipient, error) {
	if address == "" {
		return domain.Recipient{}, domain.Permanent("there is no address to send it to")
	}
	to, err := mail.ParseAddress(address)
	if err != nil || to.Name != "" {
		return domain.Recipient{}, domain.Permanent("the address to send it to is invalid")
	}
	to.Name = person(name)
	return domain.Recipient{Address: to, Own: own}, nil
}

// person returns the name of a person on one line. It is empty if it holds a web address, which older names may.
func person(name string) string {
	if weblink.In(name) {
		return ""
	}
	return oneLine(name)
}
