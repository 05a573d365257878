package service

import (
	"fmt"
	"net/url"

	"souk/apps/notification/internal/domain"
	orderv1 "souk/gen/go/souk/order/v1"
)

// notice is the data of the layout of all mails but those about whole orders.
type notice struct {
	words
	LinkText string
	Lists    []list
}

type list struct {
	Title string
	Lines []string
}

// notice returns what a mail shows.
func (r *Renderer) notice(m domain.Notice, l letter, w words) notice {
	n := notice{words: w}
	link := "shop"
	switch m.Kind {
	case domain.PaymentRefunded:
		link = "order"
	case domain.OrderShipped, domain.OrderDelivered:
		link = "order"
		n.Lists = []list{w.part(w.shop(l.parts[0].GetShopName()), l.parts[0])}
	case domain.NewOrders:
		link = "shopOrders"
		for i, part := range l.parts {
			title := w.Labels["orderNumber"] + " " + oneLine(l.numbers[i]) + ", " + amount(part.GetTotal())
			n.Lists = append(n.Lists, w.part(title, part))
		}
	case domain.ShopOrderCancelled:
		link = "shopOrders"
		n.Lists = []list{w.part(w.Labels["orderNumber"]+" "+oneLine(l.numbers[0]), l.parts[0])}
	case domain.LowStock:
		link = "shopProducts"
		low := list{Title: w.shop(l.shop.GetName())}
		for _, it := range m.Items {
			line := w.item(it.Title)
			if sku := foreign(it.SKU); sku != "" {
				line += " (" + sku + ")"
			}
			low.Lines = append(low.Lines, fmt.Sprintf("%s: %d %s", line, it.Available, w.Labels["available"]))
		}
		n.Lists = []list{low}
	case domain.ShopSuspended:
		link = "shopOrders"
	case domain.ShopInvitation:
		link = "invitations"
	}
	n.LinkText = w.Labels[link]
	return n
}

// fields returns what the templates of a notice show.
func (r *Renderer) fields(m domain.Notice, l letter, lang language) Fields {
	w := words{Labels: lang.Labels}
	f := Fields{Count: len(l.parts)}
	switch {
	case l.invitation != nil:
		f.Shop, f.Role = w.shop(l.invitation.GetShopName()), l.invitation.GetRole()
	case l.shop != nil:
		f.Shop = w.shop(l.shop.GetName())
	case len(l.parts) > 0:
		part := l.parts[0]
		f.Shop = w.shop(part.GetShopName())
		if f.TrackingNumber = foreign(part.GetTrackingNumber()); f.TrackingNumber != "" {
			f.Carrier = foreign(part.GetCarrier())
		}
	}
	switch {
	case len(l.numbers) > 0:
		f.Number = oneLine(l.numbers[0])
	case l.order != nil:
		f.Number = oneLine(l.order.GetNumber())
		f.Partly = m.Kind == domain.OrderCancelled && partlyCancelled(l.order)
	}
	if len(m.Items) > 0 {
		f.Amount = m.Items[0].Amount
	}
	if m.Kind == domain.LowStock {
		f.Count = len(m.Items)
	}
	return f
}

// path returns the path of the API of what a notice is about.
func path(kind domain.Kind, l letter) string {
	switch kind {
	case domain.ShopInvitation:
		return "/v1/me/invitations"
	case domain.NewOrders, domain.ShopOrderCancelled, domain.ShopSuspended:
		return "/v1/shops/" + url.PathEscape(l.shop.GetId()) + "/orders"
	case domain.LowStock:
		return "/v1/shops/" + url.PathEscape(l.shop.GetId()) + "/products"
	case domain.ShopVerified:
		return "/v1/shops/" + url.PathEscape(l.shop.GetId())
	}
	return "/v1/orders/" + url.PathEscape(l.order.GetId())
}

func (w words) part(title string, part *orderv1.ShopOrder) list {
	l := list{Title: title}
	for _, it := range part.GetItems() {
		line := fmt.Sprintf("%d x %s", it.GetQuantity(), w.item(it.GetTitle()))
		if o := options(it.GetOptions()); o != "" {
			line += " (" + o + ")"
		}
		l.Lines = append(l.Lines, line+"  "+amount(it.GetLineTotal()))
	}
	return l
}
