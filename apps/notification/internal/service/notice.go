package service

import (
	"fmt"
	"net/url"

	"souk/apps/notification/internal/domain"
	commentv1 "souk/gen/go/souk/comment/v1"
	moneyv1 "souk/gen/go/souk/money/v1"
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
	n := notice{words: w, LinkText: w.Labels[linkOf(m.Kind).label]}
	switch m.Kind {
	case domain.OrderShipped, domain.OrderDelivered:
		n.Lists = []list{w.part(w.shop(l.parts[0].GetShopName()), l.parts[0])}
	case domain.NewOrders:
		for i, part := range l.parts {
			title := w.Labels["orderNumber"] + " " + oneLine(l.numbers[i]) + ", " + amount(part.GetTotal())
			n.Lists = append(n.Lists, w.part(title, part))
		}
	case domain.ShopOrderCancelled:
		n.Lists = []list{w.part(w.Labels["orderNumber"]+" "+oneLine(l.numbers[0]), l.parts[0])}
	case domain.LowStock:
		low := list{Title: w.shop(l.shop.GetName())}
		for _, it := range m.Items {
			line := w.item(it.Title)
			if sku := foreign(it.SKU); sku != "" {
				line += " (" + sku + ")"
			}
			low.Lines = append(low.Lines, fmt.Sprintf("%s: %d %s", line, it.Available, w.Labels["available"]))
		}
		n.Lists = []list{low}
	case domain.ReviewPosted:
		for _, review := range l.reviews {
			n.Lists = append(n.Lists, w.review(review))
		}
	case domain.ReviewModerated:
		n.Lists = []list{w.review(l.reviews[0])}
	case domain.ReviewReplied:
		n.Lists = []list{w.review(l.reviews[0]), w.quote(w.Labels["reply"], l.reviews[0].GetReply().GetText())}
	case domain.CartAbandoned:
		cart := list{Title: w.Labels["items"]}
		for _, it := range l.cart.GetItems() {
			cart.Lines = append(cart.Lines, w.line(it))
		}
		n.Lists = []list{cart}
	}
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
	switch m.Kind {
	case domain.LowStock:
		f.Count = len(m.Items)
	case domain.ReviewPosted, domain.ReviewReplied, domain.ReviewModerated:
		f.Count, f.Rating = len(l.reviews), l.reviews[0].GetRating()
		f.Published = l.reviews[0].GetStatus() == statusPublished
	case domain.VoucherUsedUp:
		f.Code = foreign(l.voucher.GetCode())
	case domain.CartAbandoned:
		f.Count, f.Amount = len(l.cart.GetItems()), amount(l.cart.GetTotal())
	}
	return f
}

// link is what a notice is about: the label of its link, and its path in the API.
type link struct {
	label string
	path  func(l letter) string
}

// links are the links of the kinds. Those of other kinds lead to the order.
var links = map[domain.Kind]link{
	domain.AccountReinstated:  {"account", fixed("/v1/me")},
	domain.AccountSuspended:   {"account", fixed("/v1/me")},
	domain.CartAbandoned:      {"cart", fixed("/v1/cart")},
	domain.EmailChanged:       {"account", fixed("/v1/me")},
	domain.LowStock:           {"shopProducts", ofShop("/products")},
	domain.NewDevice:          {"account", fixed("/v1/me")},
	domain.NewOrders:          {"shopOrders", ofShop("/orders")},
	domain.ReviewModerated:    {"reviews", fixed("/v1/me/reviews")},
	domain.ReviewPosted:       {"reviews", ofReview},
	domain.ReviewReplied:      {"reviews", ofReview},
	domain.ShopInvitation:     {"invitations", fixed("/v1/me/invitations")},
	domain.ShopOrderCancelled: {"shopOrders", ofShop("/orders")},
	domain.ShopSuspended:      {"shopOrders", ofShop("/orders")},
	domain.ShopVerified:       {"shop", ofShop("")},
	domain.VoucherUsedUp:      {"vouchers", ofShop("/vouchers")},
}

func linkOf(kind domain.Kind) link {
	if l, ok := links[kind]; ok {
		return l
	}
	return link{"order", func(l letter) string { return "/v1/orders/" + url.PathEscape(l.order.GetId()) }}
}

func fixed(path string) func(letter) string { return func(letter) string { return path } }

func ofShop(rest string) func(letter) string {
	return func(l letter) string { return "/v1/shops/" + url.PathEscape(l.shop.GetId()) + rest }
}

// ofReview is the path of the reviews of the product that a review is about.
func ofReview(l letter) string {
	return "/v1/products/" + url.PathEscape(l.reviews[0].GetProductId()) + "/reviews"
}

// review shows a review.
func (w words) review(v *commentv1.Review) list {
	title := fmt.Sprintf("%d/5", v.GetRating())
	if t := foreign(v.GetTitle()); t != "" {
		title += " " + t
	}
	return w.quote(title, v.GetText())
}

// maxQuote is the most runes of a text that a mail shows.
const maxQuote = 500

// quote shows the beginning of what somebody else wrote.
func (w words) quote(title, text string) list {
	l := list{Title: title}
	quoted := []rune(foreign(text))
	if len(quoted) > maxQuote {
		quoted = append(quoted[:maxQuote], '…')
	}
	if len(quoted) > 0 {
		l.Lines = []string{string(quoted)}
	}
	return l
}

func (w words) part(title string, part *orderv1.ShopOrder) list {
	l := list{Title: title}
	for _, it := range part.GetItems() {
		l.Lines = append(l.Lines, w.line(it))
	}
	return l
}

// line shows an item of an order or a cart.
func (w words) line(it interface {
	GetQuantity() int64
	GetTitle() string
	GetOptions() map[string]string
	GetLineTotal() *moneyv1.Money
}) string {
	line := fmt.Sprintf("%d x %s", it.GetQuantity(), w.item(it.GetTitle()))
	if o := options(it.GetOptions()); o != "" {
		line += " (" + o + ")"
	}
	return line + "  " + amount(it.GetLineTotal())
}
