package service

import (
	"fmt"
	"net/url"
	"strings"

	"souk/apps/notification/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
)

// notice is the data of the templates of all mails but those about whole orders.
type notice struct {
	Subject, Name  string
	Text           []string // paragraphs
	Lists          []list
	Link, LinkText string
	Unsubscribe    string
	path           string // of what Link leads to
}

type list struct {
	Title string
	Lines []string
}

// notice returns what a mail says.
func (r *Renderer) notice(m domain.Notice, l letter, name string) notice {
	n := notice{Name: name}
	switch m.Kind {
	case domain.OrderShipped:
		part, number := l.parts[0], oneLine(l.order.GetNumber())
		n.Subject = "Your order " + number + " is on its way"
		n.Text = []string{fmt.Sprintf("%s has sent its part of your order %s.", shopName(part.GetShopName()), number)}
		if number := foreign(part.GetTrackingNumber()); number != "" {
			n.Text = append(n.Text, strings.TrimPrefix(foreign(part.GetCarrier())+", tracking number "+number, ", "))
		}
		n.Lists = []list{partList(shopName(part.GetShopName()), part)}
		r.link(&n, "Your order", "orders", l.order.GetId())
	case domain.OrderDelivered:
		part, number := l.parts[0], oneLine(l.order.GetNumber())
		n.Subject = "Your order " + number + " was delivered"
		n.Text = []string{
			fmt.Sprintf("the part of your order %s from %s was delivered.", number, shopName(part.GetShopName())),
		}
		n.Lists = []list{partList(shopName(part.GetShopName()), part)}
		r.link(&n, "Your order", "orders", l.order.GetId())
	case domain.NewOrders:
		shop := shopName(l.shop.GetName())
		n.Subject = fmt.Sprintf("%d new orders for %s", len(l.parts), shop)
		if len(l.parts) == 1 {
			n.Subject = fmt.Sprintf("New order %s for %s", oneLine(l.numbers[0]), shop)
		}
		n.Text = []string{"customers have ordered from " + shop + ". Your list of orders shows where to send it."}
		for i, part := range l.parts {
			n.Lists = append(n.Lists, partList("Order "+oneLine(l.numbers[i])+", "+amount(part.GetTotal()), part))
		}
		r.link(&n, "Orders of your shop", "shops", l.shop.GetId(), "orders")
	case domain.ShopOrderCancelled:
		number := oneLine(l.numbers[0])
		n.Subject = "Order " + number + " was cancelled"
		n.Text = []string{"the part of order " + number + " that " + shopName(l.shop.GetName()) +
			" sells was cancelled. Please do not send it."}
		n.Lists = []list{partList("Order "+number, l.parts[0])}
		r.link(&n, "Orders of your shop", "shops", l.shop.GetId(), "orders")
	case domain.LowStock:
		shop := shopName(l.shop.GetName())
		n.Subject = "Low stock at " + shop
		n.Text = []string{"few pieces are left of what " + shop + " sells:"}
		low := list{Title: shop}
		for _, it := range m.Items {
			line := itemTitle(it.Title)
			if sku := foreign(it.SKU); sku != "" {
				line += " (" + sku + ")"
			}
			low.Lines = append(low.Lines, fmt.Sprintf("%s: %d available", line, it.Available))
		}
		n.Lists = []list{low}
		r.link(&n, "Products of your shop", "shops", l.shop.GetId(), "products")
	case domain.ShopVerified:
		n.Subject = "Your shop " + shopName(l.shop.GetName()) + " is verified"
		n.Text = []string{"we have verified your shop. Its products are shown and sold."}
		r.link(&n, "Your shop", "shops", l.shop.GetId())
	case domain.ShopSuspended:
		n.Subject = "Your shop " + shopName(l.shop.GetName()) + " is suspended"
		n.Text = []string{
			"we have suspended your shop. Its products are neither shown nor sold, and you cannot change them.",
			"Please send what was ordered.",
		}
		r.link(&n, "Orders of your shop", "shops", l.shop.GetId(), "orders")
	case domain.ShopInvitation:
		shop := shopName(l.invitation.GetShopName())
		n.Subject = "An invitation to " + shop
		n.Text = []string{
			fmt.Sprintf("the shop %s invites you to become a member (%s).", shop, l.invitation.GetRole()),
			"Sign in with this e-mail address to accept or decline. If you do not know the shop, ignore this mail.",
		}
		r.link(&n, "Your invitations", "me", "invitations")
	}
	return n
}

// link sets what is at a path of the API. Mails link to it if souk's address is known.
func (r *Renderer) link(n *notice, text string, path ...string) {
	n.path = "/v1"
	for _, p := range path {
		n.path += "/" + url.PathEscape(p)
	}
	if r.publicURL != "" {
		n.Link, n.LinkText = r.publicURL+n.path, text
	}
}

func partList(title string, part *orderv1.ShopOrder) list {
	l := list{Title: title}
	for _, it := range part.GetItems() {
		line := fmt.Sprintf("%d x %s", it.GetQuantity(), itemTitle(it.GetTitle()))
		if o := options(it.GetOptions()); o != "" {
			line += " (" + o + ")"
		}
		l.Lines = append(l.Lines, line+"  "+amount(it.GetLineTotal()))
	}
	return l
}
