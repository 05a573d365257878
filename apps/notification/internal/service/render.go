package service

import (
	"cmp"
	"embed"
	"errors"
	htmltemplate "html/template"
	"io"
	"maps"
	"net/mail"
	"slices"
	"strings"
	texttemplate "text/template"
	"time"

	"souk/apps/notification/internal/domain"
	moneyv1 "souk/gen/go/souk/money/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/weblink"
)

//go:embed templates/*.tmpl
var templates embed.FS

// Renderer renders mails and notifications. It is safe for concurrent use.
type Renderer struct {
	publicURL string
	languages map[string]language
	// The layouts of mails about whole orders, and of all others.
	orderText, noticeText *texttemplate.Template
	orderHTML, noticeHTML *htmltemplate.Template
}

// NewRenderer returns a Renderer that links to publicURL; an empty publicURL: no links.
func NewRenderer(publicURL string) (*Renderer, error) {
	languages, err := readLanguages()
	if err != nil {
		return nil, err
	}
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
		languages:  languages,
		orderText:  text.Lookup("order.txt.tmpl"),
		noticeText: text.Lookup("notice.txt.tmpl"),
		orderHTML:  html.Lookup("order.html.tmpl"),
		noticeHTML: html.Lookup("notice.html.tmpl"),
	}, nil
}

// statusCancelled is the status of cancelled shop orders. The others are those of reviews.
const (
	statusCancelled = "cancelled"
	statusHeld      = "held"
	statusPublished = "published"
)

// words are what all layouts show.
type words struct {
	Locale        string
	Labels        map[string]string
	Subject, Name string
	Text          []string // paragraphs
	Link          string
	// Unsubscribe is the link that ends mails of the kind; may be empty.
	Unsubscribe string
}

// page is the data of the layout of mails about whole orders.
type page struct {
	words
	Cancelled bool
	Shops     []shopPart
	Sums      []sum
	Address   []string
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

// Render renders the mail about a whole order to the address, in the default language.
func (r *Renderer) Render(
	d domain.Delivery, o *orderv1.Order, to *mail.Address, now time.Time,
) (domain.Message, error) {
	l, lang := letter{order: o}, r.languages[DefaultLocale]
	t, err := fill(lang.text(d.Notice.Kind, domain.Email), r.fields(d.Notice, l, lang))
	if err != nil {
		return domain.Message{}, err
	}
	return r.render(d, l, domain.Recipient{Address: to, Locale: DefaultLocale}, t, "", now)
}

// render renders a mail with a text that is filled in. Unsubscribe is the link that ends mails of its kind; may be
// empty.
func (r *Renderer) render(
	d domain.Delivery, l letter, to domain.Recipient, t domain.Text, unsubscribe string, now time.Time,
) (domain.Message, error) {
	lang := r.languages[to.Locale]
	w := words{
		Locale: to.Locale, Labels: lang.Labels, Subject: t.Subject, Name: to.Address.Name, Text: paragraphs(t.Body),
		Unsubscribe: unsubscribe,
	}
	if r.publicURL != "" {
		w.Link = r.publicURL + linkOf(d.Notice.Kind).path(l)
	}
	if k := d.Notice.Kind; k == domain.OrderConfirmed || k == domain.OrderCancelled {
		w.Name = person(l.order.GetShippingAddress().GetName())
		return r.message(d, to.Address, now, w, r.page(d.Notice, l.order, w), r.orderText, r.orderHTML)
	}
	return r.message(d, to.Address, now, w, r.notice(d.Notice, l, w), r.noticeText, r.noticeHTML)
}

// template is a text or HTML template.
type template interface {
	Execute(w io.Writer, data any) error
}

func (r *Renderer) message(
	d domain.Delivery, to *mail.Address, now time.Time, w words, page any, text, html template,
) (domain.Message, error) {
	var plain, rich strings.Builder
	if err := errors.Join(text.Execute(&plain, page), html.Execute(&rich, page)); err != nil {
		return domain.Message{}, err
	}
	headers := map[string]string{"Auto-Submitted": "auto-generated"}
	if w.Unsubscribe != "" { // RFC 8058
		headers["List-Unsubscribe"] = "<" + w.Unsubscribe + ">"
		headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
	}
	return domain.Message{
		ID: d.ID, ToName: to.Name, To: to.Address, Subject: w.Subject, Text: plain.String(), HTML: rich.String(),
		MessageID: d.MessageID(), Date: now, Headers: headers,
	}, nil
}

func (r *Renderer) page(m domain.Notice, o *orderv1.Order, w words) page {
	a := o.GetShippingAddress()
	p := page{words: w, Cancelled: m.Kind == domain.OrderCancelled}
	partly := partlyCancelled(o)
	for _, so := range o.GetShopOrders() {
		if partly && p.Cancelled != (so.GetStatus() == statusCancelled) {
			continue // one mail is about what was cancelled, the other about what is confirmed
		}
		part := shopPart{Name: w.shop(so.GetShopName())}
		if by := so.GetCancellation().GetBy(); by == "shop" || by == "operator" {
			part.Reason = foreign(so.GetCancellation().GetReason())
		}
		for _, it := range so.GetItems() {
			part.Items = append(part.Items, item{
				Quantity: it.GetQuantity(),
				Title:    w.item(it.GetTitle()),
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
		{"items", o.GetSubtotal(), true}, {"discount", o.GetDiscount(), false}, {"shipping", o.GetShipping(), true},
		{"tax", o.GetTax(), false}, {"total", o.GetTotal(), true},
	} {
		if !partly && s.amount != nil && (s.always || strings.ContainsAny(s.amount.GetAmount(), "123456789")) {
			p.Sums = append(p.Sums, sum{w.Labels[s.label], amount(s.amount)})
		}
	}
	if partly {
		p.Sums = append(p.Sums, sum{w.Labels["remaining"], amount(o.GetRemaining())})
	}
	for _, line := range []string{
		a.GetName(), a.GetLine1(), a.GetLine2(), strings.TrimSpace(a.GetPostalCode() + " " + a.GetCity()),
		a.GetRegion(), a.GetCountryCode(),
	} {
		if line = foreign(line); line != "" {
			p.Address = append(p.Address, line)
		}
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

// item returns the title of an item as a mail names it.
func (w words) item(title string) string { return cmp.Or(foreign(title), w.Labels["anItem"]) }

// shop returns a shop's name as a mail names it.
func (w words) shop(name string) string { return cmp.Or(foreign(name), w.Labels["aShop"]) }

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
