package service

import (
	"context"
	"net/mail"
	"slices"
	"strings"

	"souk/apps/notification/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	commentv1 "souk/gen/go/souk/comment/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/mailbox"
	"souk/pkg/money"
	"souk/pkg/phone"
	"souk/pkg/weblink"
)

// letter is what a delivery is rendered from. Which fields are set depends on the kind of its notice.
type letter struct {
	answer     *orderv1.GetOrderForNoticeResponse
	order      *orderv1.Order       // a notice to a customer
	parts      []*orderv1.ShopOrder // new orders of a shop; or the one that was shipped, delivered or cancelled
	numbers    []string             // the numbers of the orders of parts
	shop       *shopv1.Shop
	owners     []string
	invitation *shopv1.Invitation
	cart       *cartv1.Cart // without what cannot be bought
	reviews    []*commentv1.Review
	voucher    *voucherv1.GetVoucherForNoticeResponse
}

// write requests the content and the recipient of a delivery, counts the delivery to the recipient, and renders it.
func (s *Service) write(ctx context.Context, d domain.Delivery) (domain.Message, error) {
	device, err := s.device(ctx, &d)
	if err != nil {
		return domain.Message{}, err
	}
	if !d.Preferences.Wants(d.Notice.Kind, d.Channel) {
		return domain.Message{}, errUnwanted
	}
	if wait := d.Preferences.Wait(d.Notice.Kind, d.Channel, s.Clock.Now()); wait > 0 {
		return domain.Message{}, domain.Wait("the recipient has quiet hours", wait)
	}
	l, err := s.read(ctx, d.Notice)
	if err != nil {
		return domain.Message{}, err
	}
	if d.Channel != domain.Email {
		return s.short(ctx, d, l, device)
	}
	to, err := s.recipient(ctx, d, l)
	if err != nil {
		return domain.Message{}, err
	}
	owner, err := s.owner(ctx, d, to)
	if err != nil {
		return domain.Message{}, err
	}
	mailbox, err := s.Mailboxes.Name(ctx, to.Address.Address)
	if err != nil {
		return domain.Message{}, err
	}
	if err := s.reserve(ctx, d, to.Digest(), mailbox); err != nil {
		return domain.Message{}, err
	}
	unsubscribe, err := s.Links.link(ctx, owner, d.Notice.Kind)
	if err != nil {
		return domain.Message{}, err
	}
	t, err := s.text(ctx, d, l, to.Locale)
	if err != nil {
		return domain.Message{}, err
	}
	msg, err := s.Renderer.render(d, l, to, t, unsubscribe, s.Clock.Now())
	if err != nil {
		return domain.Message{}, domain.Permanent("it cannot be written")
	}
	msg.Mailbox = mailbox
	return msg, nil
}

// reserve counts a delivery to a recipient.
//
// Errors: *domain.Failure (the recipient has got too many, or the mailbox is suppressed).
func (s *Service) reserve(ctx context.Context, d domain.Delivery, recipient, mailbox []byte) error {
	switch r, err := s.Store.Reserve(ctx, d.ID, recipient, mailbox, s.Clock.Now()); {
	case err != nil:
		return err
	case r == domain.TooMany:
		return domain.Wait("the recipient has got too many in the last hour", domain.LimitBackoff)
	case r == domain.Suppressed:
		return domain.Skip("the mailbox is on the suppression list")
	}
	return nil
}

// device returns the device of a push message, and gives the delivery the preferences of its user.
//
// Errors: *domain.Failure (it does not exist any more).
func (s *Service) device(ctx context.Context, d *domain.Delivery) (domain.Device, error) {
	if d.Channel != domain.Push {
		return domain.Device{}, nil
	}
	device, err := s.Store.Device(ctx, d.Recipient)
	if errs.Is(err, errs.NotFound) {
		return device, domain.Skip("the device does not exist any more")
	}
	if err != nil {
		return device, err
	}
	preferences, err := s.Store.Preferences(ctx, device.UserID)
	d.Preferences = preferences[device.UserID]
	return device, err
}

// short writes what goes into an inbox, to a device, or as an SMS.
func (s *Service) short(
	ctx context.Context, d domain.Delivery, l letter, device domain.Device,
) (domain.Message, error) {
	userID := d.Recipient
	if device.ID != "" {
		userID = device.UserID
	}
	u, err := s.profile(ctx, userID)
	if err != nil {
		return domain.Message{}, err
	}
	t, err := s.text(ctx, d, l, localeOf(u.GetPreferences().GetLocale()))
	if err != nil {
		return domain.Message{}, err
	}
	m := domain.Message{
		ID:      d.ID,
		Kind:    d.Notice.Kind,
		Channel: d.Channel,
		Subject: t.Subject,
		Body:    t.Body,
		Link:    linkOf(d.Notice.Kind).path(l),
		Device:  device,
	}
	if d.Channel != domain.SMS {
		return m, nil
	}
	number, ok := phone.Normalize(u.GetPhone(), "")
	if !ok || number == "" {
		return m, domain.Skip("the profile has no phone number with the prefix of its country")
	}
	m.To = number
	return m, s.reserve(ctx, d, mailbox.Digest("phone", number), nil)
}

var errUnwanted = domain.Skip("the recipient does not want it")

// owner returns whose preferences a mail follows: those of a user, or of a mailbox whose address was typed in.
//
// Errors: *domain.Failure (the mailbox does not want it).
func (s *Service) owner(ctx context.Context, d domain.Delivery, to domain.Recipient) (string, error) {
	if strings.HasPrefix(d.Recipient, string(id.User)+"_") {
		return d.Recipient, nil
	}
	mailbox := to.Mailbox()
	if d.Notice.Kind.Rule().Required {
		return mailbox, nil
	}
	preferences, err := s.Store.Preferences(ctx, mailbox)
	if err == nil && !preferences[mailbox].Wants(d.Notice.Kind, domain.Email) {
		err = errUnwanted
	}
	return mailbox, err
}

// read requests what a notice is about.
func (s *Service) read(ctx context.Context, n domain.Notice) (letter, error) {
	switch rule := n.Kind.Rule(); {
	case n.Kind == domain.ShopInvitation:
		return s.readInvitation(ctx, n)
	case n.Kind == domain.CartAbandoned:
		return s.readCart(ctx, n)
	case n.Kind == domain.ReviewReplied || n.Kind == domain.ReviewModerated:
		return s.readReview(ctx, n)
	case rule.ToUser:
		return letter{}, nil
	case rule.ToShop:
		return s.readShop(ctx, n)
	}
	return s.readOrder(ctx, n)
}

// order requests an order.
func (s *Service) order(ctx context.Context, orderID string) (*orderv1.GetOrderForNoticeResponse, error) {
	res, err := s.Orders.GetOrderForNotice(ctx, &orderv1.GetOrderForNoticeRequest{Id: orderID})
	if errs.Is(err, errs.NotFound) {
		return nil, domain.Permanent("there is no such order")
	}
	return res, err
}

func (s *Service) readOrder(ctx context.Context, n domain.Notice) (l letter, err error) {
	orderID := n.OrderID
	if len(n.Items) > 0 {
		orderID = n.Items[0].OrderID
	}
	if l.answer, err = s.order(ctx, orderID); err != nil {
		return letter{}, err
	}
	l.order = l.answer.GetOrder()
	if n.Kind == domain.OrderConfirmed && l.order.GetStatus() == statusCancelled {
		return letter{}, domain.Skip("the order was cancelled")
	}
	if len(n.Items) > 0 && n.Items[0].ShopOrderID != "" {
		part := partOf(l.order, n.Items[0].ShopOrderID)
		if part == nil {
			return letter{}, domain.Permanent("there is no such shop order")
		}
		l.parts = append(l.parts, part)
	}
	return l, nil
}

// readShop reads what a notice to the owners of a shop is about. Orders that were cancelled meanwhile are left out of a
// list of new ones. A cancelled order is news only if it was listed before.
func (s *Service) readShop(ctx context.Context, n domain.Notice) (l letter, err error) {
	shopID := n.ShopID
	switch n.Kind {
	case domain.NewOrders:
		for _, item := range n.Items {
			res, err := s.order(ctx, item.OrderID)
			if err != nil {
				return letter{}, err
			}
			part := partOf(res.GetOrder(), item.ShopOrderID)
			if part == nil || part.GetStatus() == statusCancelled {
				continue
			}
			l.parts = append(l.parts, part)
			l.numbers = append(l.numbers, res.GetOrder().GetNumber())
		}
		if len(l.parts) == 0 {
			return letter{}, domain.Skip("the orders were cancelled")
		}
	case domain.ShopOrderCancelled:
		if l, err = s.readOrder(ctx, n); err != nil {
			return letter{}, err
		}
		switch listed, err := s.Store.Listed(ctx, n.About, n.CreatedAt); {
		case err != nil:
			return letter{}, err
		case !listed:
			return letter{}, domain.Skip("the shop was not told of the order")
		}
		shopID, l.numbers = l.parts[0].GetShopId(), []string{l.order.GetNumber()}
	case domain.ReviewPosted:
		if l, err = s.readReviews(ctx, n); err != nil {
			return letter{}, err
		}
	case domain.VoucherUsedUp:
		l.voucher, err = s.Vouchers.GetVoucherForNotice(ctx,
			&voucherv1.GetVoucherForNoticeRequest{Id: n.Items[0].VoucherID})
		if err != nil {
			return letter{}, err
		}
		if !l.voucher.GetUsedUp() {
			return letter{}, domain.Skip("the voucher can be used again")
		}
	}
	res, err := s.Shops.GetShopForNotice(ctx, &shopv1.GetShopForNoticeRequest{Id: shopID})
	if errs.Is(err, errs.NotFound) {
		return letter{}, domain.Skip("there is no such shop")
	}
	l.shop, l.owners = res.GetShop(), res.GetOwnerIds()
	return l, err
}

func (s *Service) readInvitation(ctx context.Context, n domain.Notice) (letter, error) {
	res, err := s.Shops.GetInvitationForNotice(ctx, &shopv1.GetInvitationForNoticeRequest{Id: n.About})
	if errs.Is(err, errs.NotFound) {
		return letter{}, domain.Skip("the invitation has ended")
	}
	return letter{invitation: res.GetInvitation()}, err
}

// readCart requests an abandoned cart. It is not abandoned if it has changed since.
func (s *Service) readCart(ctx context.Context, n domain.Notice) (letter, error) {
	res, err := s.Carts.GetCartForNotice(ctx, &cartv1.GetCartForNoticeRequest{
		UserId: n.Items[0].UserID, Version: n.Items[0].CartVersion,
	})
	if errs.Is(err, errs.NotFound) {
		return letter{}, domain.Skip("the cart has changed")
	}
	if err != nil {
		return letter{}, err
	}
	c := res.GetCart()
	c.Items = slices.DeleteFunc(c.GetItems(), func(it *cartv1.CartItem) bool { return !it.GetAvailable() })
	if len(c.GetItems()) == 0 {
		return letter{}, domain.Skip("nothing in the cart can be bought")
	}
	totals := make([]money.Money, len(c.GetItems()))
	for i, it := range c.GetItems() {
		if totals[i], err = money.FromProto(it.GetLineTotal()); err != nil {
			return letter{}, err
		}
	}
	total, err := money.Sum(totals[0].Currency(), totals...)
	if err != nil {
		return letter{}, err
	}
	c.Total = total.ToProto()
	return letter{cart: c}, nil
}

// readReviews requests the new reviews of a shop. Those that are not published any more are left out.
func (s *Service) readReviews(ctx context.Context, n domain.Notice) (l letter, err error) {
	for _, item := range n.Items {
		res, err := s.Reviews.GetReviewForNotice(ctx, &commentv1.GetReviewForNoticeRequest{Id: item.ReviewID})
		if err != nil && !errs.Is(err, errs.NotFound) {
			return letter{}, err
		}
		if res.GetReview().GetStatus() == statusPublished {
			l.reviews = append(l.reviews, res.GetReview())
		}
	}
	if len(l.reviews) == 0 {
		return letter{}, domain.Skip("the reviews are not published")
	}
	return l, nil
}

// readReview requests the review of a customer, and its shop if that has replied.
func (s *Service) readReview(ctx context.Context, n domain.Notice) (l letter, err error) {
	res, err := s.Reviews.GetReviewForNotice(ctx, &commentv1.GetReviewForNoticeRequest{Id: n.Items[0].ReviewID})
	if errs.Is(err, errs.NotFound) {
		return letter{}, domain.Skip("the review was deleted")
	}
	if err != nil {
		return letter{}, err
	}
	review := res.GetReview()
	l.reviews = []*commentv1.Review{review}
	if n.Kind == domain.ReviewModerated {
		if review.GetStatus() == statusHeld {
			return letter{}, domain.Skip("the review is held again")
		}
		return l, nil
	}
	if review.GetStatus() != statusPublished || review.GetReply() == nil {
		return letter{}, domain.Skip("the reply is not shown")
	}
	shop, err := s.Shops.GetShopForNotice(ctx, &shopv1.GetShopForNoticeRequest{Id: n.ShopID})
	l.shop = shop.GetShop()
	return l, err
}

func partOf(o *orderv1.Order, partID string) *orderv1.ShopOrder {
	for _, part := range o.GetShopOrders() {
		if part.GetId() == partID {
			return part
		}
	}
	return nil
}

// typed reports whether an order's mails go to an address that was typed at checkout.
func typed(o *orderv1.GetOrderForNoticeResponse) bool {
	return o.GetEmail() != "" || !strings.HasPrefix(o.GetCustomerId(), string(id.User)+"_")
}

// recipient looks up where a delivery goes.
func (s *Service) recipient(ctx context.Context, d domain.Delivery, l letter) (domain.Recipient, error) {
	switch {
	case l.invitation != nil:
		return recipient(l.invitation.GetEmail(), "", false)
	case d.Notice.Kind == domain.EmailChanged && d.Recipient == d.Notice.About:
		return s.former(ctx, d.Notice.Items[0].UserID)
	case l.answer == nil || d.Notice.Kind.Rule().ToShop:
		return s.user(ctx, d.Recipient)
	case typed(l.answer):
		return recipient(l.answer.GetEmail(), l.order.GetShippingAddress().GetName(), false)
	}
	to, err := s.user(ctx, l.answer.GetCustomerId())
	if err == nil && to.Address.Name == "" {
		to.Address.Name = person(l.order.GetShippingAddress().GetName())
	}
	return to, err
}

// former returns the address that a user had before the last change of it.
func (s *Service) former(ctx context.Context, userID string) (domain.Recipient, error) {
	res, err := s.Users.GetFormerEmail(ctx, &userv1.GetFormerEmailRequest{UserId: userID})
	if errs.Is(err, errs.NotFound) {
		return domain.Recipient{}, domain.Permanent("there is no former address")
	}
	if err != nil {
		return domain.Recipient{}, err
	}
	u, err := s.profile(ctx, userID)
	if err != nil {
		return domain.Recipient{}, err
	}
	to, err := recipient(res.GetEmail(), u.GetName(), res.GetVerified())
	to.Locale = localeOf(u.GetPreferences().GetLocale())
	return to, err
}

// profile returns a user's profile; nil if there is no such user.
func (s *Service) profile(ctx context.Context, userID string) (*userv1.User, error) {
	res, err := s.Users.BatchGetUsers(ctx, &userv1.BatchGetUsersRequest{Ids: []string{userID}})
	if err != nil || len(res.GetUsers()) == 0 {
		return nil, err
	}
	return res.GetUsers()[0], nil
}

// user returns a user's address.
func (s *Service) user(ctx context.Context, userID string) (domain.Recipient, error) {
	u, err := s.profile(ctx, userID)
	if err != nil {
		return domain.Recipient{}, err
	}
	to, err := recipient(u.GetEmail(), u.GetName(), u.GetEmailVerified())
	to.Locale = localeOf(u.GetPreferences().GetLocale())
	return to, err
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
	return domain.Recipient{Address: to, Own: own, Locale: DefaultLocale}, nil
}

// person returns the name of a person on one line. It is empty if it holds a web address, which older names may.
func person(name string) string {
	if weblink.In(name) {
		return ""
	}
	return oneLine(name)
}
