package service

import (
	"cmp"
	"embed"
	"errors"
	htmltemplate "html/template"
	"io"
	"maps"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"
	"unicode/utf8"

	"souk/apps/notification/internal/domain"
	moneyv1 "souk/gen/go/souk/money/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/weblink"
)

//go:embed templates/*.tmpl
var templates embed.FS

// Renderer renders mails. It is safe for concurrent use.
type Renderer struct {
	publicURL string
	// The templates of mails about whole orders, and of all others.
	orderText, noticeText *texttemplate.Template
	orderHTML, noticeHTML *htmltemplate.Template
}

// NewRenderer returns a Renderer that links to publicURL; an empty publicURL: no links.
func NewRenderer(publicURL string) (*Renderer, error) {
	text, err := texttemplate.ParseFS(templates, "templates/*.txt.tmpl")
	if err != nil {
		return nil, err
	}
	html, err := htmltemplate.ParseFS(templates, "templates/*.html.tmpl")
	if err != nil {
		return nil, err
	}
	return &Renderer{
		publicURL:  strings.TrimRight(publicURL, "/"),
		orderText:  text.Lookup("order.txt.tmpl"),
		noticeText: text.Lookup("notice.txt.tmpl"),
		orderHTML:  html.Lookup("order.html.tmpl"),
		noticeHTML: html.Lookup("notice.html.tmpl"),
	}, nil
}

// statusCancelled is the status of cancelled shop orders.
const statusCancelled = "cancelled"

// page is the data of the templates of mails about whole orders.
type page struct {
	Cancelled bool
	// Partly reports that other shop orders of the order stay.
	Partly       bool
	Name, Number string
	Shops        []shopPart
	Sums         []sum
	Address      []string
	Link         string
}

type shopPart struct {
	Name string
	// Reason is what the shop or an operator wrote who cancelled it.
	Reason string
	Items  []item
}

type item struct {
	Quantity              int64
	Title, Options, Total string
}

type sum struct{ Label, Amount string }

// Render renders the mail about a whole order to the address.
func (r *Renderer) Render(
	d domain.Delivery, o *orderv1.Order, to *mail.Address, now time.Time,
) (domain.Message, error) {
	return r.render(d, letter{order: o}, to, "", now)
}

// render renders a mail to the address. Unsubscribe is the link that ends mails of its kind; "": there is none.
func (r *Renderer) render(
	d domain.Delivery, l letter, to *mail.Address, unsubscribe string, now time.Time,
) (domain.Message, error) {
	switch d.Notice.Kind {
	case domain.OrderConfirmed, domain.OrderCancelled:
		p := r.page(d.Notice, l.order)
		return r.message(d, to, now, p.subject(), p, r.orderText, r.orderHTML)
	}
	n := r.notice(d.Notice, l, to.Name)
	n.Unsubscribe = unsubscribe
	msg, err := r.message(d, to, now, n.Subject, n, r.noticeText, r.noticeHTML)
	if err == nil && unsubscribe != "" { // RFC 8058
		msg.Headers["List-Unsubscribe"] = "<" + unsubscribe + ">"
		msg.Headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	return msg, err
}

func (p page) subject() string {
	switch {
	case p.Partly:
		return "A part of your order " + p.Number + " was cancelled"
	case p.Cancelled:
		return "Your order " + p.Number + " was cancelled"
	}
	return "Your order " + p.Number + " is confirmed"
}

// short renders a notice for an inbox.
func (r *Renderer) short(m domain.Notice, l letter) domain.Message {
	switch m.Kind {
	case domain.OrderConfirmed, domain.OrderCancelled:
		p := r.page(m, l.order)
		body := "Thank you for your order."
		if p.Cancelled {
			body = "What was charged for it is refunded."
		}
		return domain.Message{Subject: oneLine(p.subject()), Body: body, Link: "/v1/orders/" + url.PathEscape(l.order.GetId())}
	}
	n := r.notice(m, l, "")
	body := strings.Join(n.Text, " ")
	if first, size := utf8.DecodeRuneInString(body); size > 0 {
		body = string(unicode.ToUpper(first)) + body[size:]
	}
	return domain.Message{Subject: oneLine(n.Subject), Body: body, Link: n.path}
}

// template is a text or HTML template.
type template interface {
	Execute(w io.Writer, data any) error
}

func (r *Renderer) message(
	d domain.Delivery, to *mail.Address, now time.Time, subject string, page any, text, html template,
) (domain.Message, error) {
	var plain, rich strings.Builder
	if err := errors.Join(text.Execute(&plain, page), html.Execute(&rich, page)); err != nil {
		return domain.Message{}, err
	}
	return domain.Message{
		ID: d.ID, ToName: to.Name, To: to.Address, Subject: oneLine(subject), Text: plain.String(), HTML: rich.String(),
		MessageID: d.MessageID(), Date: now, Headers: map[string]string{"Auto-Submitted": "auto-generated"},
	}, nil
}

func (r *Renderer) page(m domain.Notice, o *orderv1.Order) page {
	a := o.GetShippingAddress()
	p := page{Cancelled: m.Kind == domain.OrderCancelled, Name: person(a.GetName()), Number: oneLine(o.GetNumber())}
	partly := partlyCancelled(o)
	p.Partly = p.Cancelled && partly
	for _, so := range o.GetShopOrders() {
		if partly && p.Cancelled != (so.GetStatus() == statusCancelled) {
			continue // one mail is about what was cancelled, the other about what is confirmed
		}
		part := shopPart{Name: shopName(so.GetShopName())}
		if by := so.GetCancellation().GetBy(); by == "shop" || by == "operator" {
			part.Reason = foreign(so.GetCancellation().GetReason())
		}
		for _, it := range so.GetItems() {
			part.Items = append(part.Items, item{
				Quantity: it.GetQuantity(),
				Title:    itemTitle(it.GetTitle()),
				Options:  options(it.GetOptions()),
				Total:    amount(it.GetLineTotal()),
			})
		}
		p.Shops = append(p.Shops, part)
	}
	for _, s := range []struct {
		label  string
		amount *moneyv1.Money
		always bool
	}{
		{"Items", o.GetSubtotal(), true}, {"Discount", o.GetDiscount(), false}, {"Shipping", o.GetShipping(), true},
		{"Tax", o.GetTax(), false}, {"Total", o.GetTotal(), true},
	} {
		if !partly && s.amount != nil && (s.always || strings.ContainsAny(s.amount.GetAmount(), "123456789")) {
			p.Sums = append(p.Sums, sum{s.label, amount(s.amount)})
		}
	}
	if partly {
		p.Sums = append(p.Sums, sum{"Your order now costs", amount(o.GetRemaining())})
	}
	for _, line := range []string{
		a.GetName(), a.GetLine1(), a.GetLine2(), strings.TrimSpace(a.GetPostalCode() + " " + a.GetCity()),
		a.GetRegion(), a.GetCountryCode(),
	} {
		if line = foreign(line); line != "" {
			p.Address = append(p.Address, line)
		}
	}
	if r.publicURL != "" {
		p.Link = r.publicURL + "/v1/orders/" + url.PathEscape(o.GetId())
	}
	return p
}

// partlyCancelled reports whether some of the order's shop orders are cancelled, and others stay.
func partlyCancelled(o *orderv1.Order) bool {
	cancelled := 0
	for _, so := range o.GetShopOrders() {
		if so.GetStatus() == statusCancelled {
			cancelled++
		}
	}
	return cancelled > 0 && cancelled < len(o.GetShopOrders())
}

func amount(m *moneyv1.Money) string { return m.GetCurrencyCode() + " " + m.GetAmount() }

func options(o map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if name, value := foreign(name), foreign(o[name]); name != "" && value != "" {
			out = append(out, name+": "+value)
		}
	}
	return strings.Join(out, ", ")
}

// foreign returns what somebody else wrote on one line, without web addresses: anybody can have a mail of ours sent to
// anybody, and it must not carry their links.
func foreign(s string) string {
	s = oneLine(s)
	if !weblink.In(s) {
		return s
	}
	s = strings.Join(slices.DeleteFunc(strings.Fields(s), weblink.In), " ")
	if weblink.In(s) { // an address with spaces in it
		return ""
	}
	return s
}

// itemTitle returns the title of an item as a mail names it.
func itemTitle(s string) string { return cmp.Or(foreign(s), "an item") }

// shopName returns a shop's name as a mail names it.
func shopName(s string) string { return cmp.Or(foreign(s), "a shop") }

// oneLine replaces line breaks and other control characters by spaces, so that foreign text cannot start a
// line of a mail.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if weblink.Reorders(r) {
			return ' '
		}
		return r
	}, s))
}
