package tests

import (
	"net/mail"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/domain"
	"souk/apps/notification/internal/repository"
	"souk/apps/notification/internal/service"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/money"
)

const wholeText = `Hello Zoë "Zo" Müller,

thank you for your order S-42. It is confirmed.

Aurora & Söhne
  2 x <b>chá</b> 100 %s = nice, and a title that is longer than a line of a mail may be (Color: "red", Size: M)  BRL 39.80
  1 x .dot  BRL 14.18

Items: BRL 53.98
Discount: BRL -1.00
Shipping: BRL 0.00
Total: BRL 52.98

It goes to:
  Zoë "Zo" Müller
  Secret Street 7
  01000-000 São Paulo
  BR

Your order: https://souk.example/v1/orders/order_1

`

const wholeHTML = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Your order S-42 is confirmed</title></head>
<body style="font-family: sans-serif; color: #222; max-width: 40em">
<p>Hello Zoë &#34;Zo&#34; Müller,</p>
<p>thank you for your order S-42. It is confirmed.</p>
<h3>Aurora &amp; Söhne</h3>
<table width="100%">
<tr><td>2 ×</td><td>&lt;b&gt;chá&lt;/b&gt; 100 %s = nice, and a title that is longer than a line of a mail may be <small>(Color: &#34;red&#34;, Size: M)</small></td><td align="right">BRL 39.80</td></tr>
<tr><td>1 ×</td><td>.dot</td><td align="right">BRL 14.18</td></tr>
</table>
<table>
<tr><td>Items</td><td align="right">BRL 53.98</td></tr>
<tr><td>Discount</td><td align="right">BRL -1.00</td></tr>
<tr><td>Shipping</td><td align="right">BRL 0.00</td></tr>
<tr><td>Total</td><td align="right">BRL 52.98</td></tr>
</table>
<p>It goes to:<br>Zoë &#34;Zo&#34; Müller<br>Secret Street 7<br>01000-000 São Paulo<br>BR<br></p>
<p><a href="https://souk.example/v1/orders/order_1">Your order</a></p>
</body>
</html>
`

const cancelledText = `Hello Zoë "Zo" Müller,

your order S-42 was cancelled. What was charged is refunded.

Items: BRL 53.98
Shipping: BRL 0.00
Total: BRL 52.98


`

const cancelledHTML = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Your order S-42 was cancelled</title></head>
<body style="font-family: sans-serif; color: #222; max-width: 40em">
<p>Hello Zoë &#34;Zo&#34; Müller,</p>
<p>your order S-42 was cancelled. What was charged is refunded.</p>
<table>
<tr><td>Items</td><td align="right">BRL 53.98</td></tr>
<tr><td>Shipping</td><td align="right">BRL 0.00</td></tr>
<tr><td>Total</td><td align="right">BRL 52.98</td></tr>
</table>
</body>
</html>
`

// TestRenderedMailsArriveUnchanged compares mails, as they arrive, from the first line to the last.
func TestRenderedMailsArriveUnchanged(t *testing.T) {
	t.Parallel()
	sink := mailServer(t)
	post := &repository.SMTP{
		Addr: sink.Addr(), TLS: repository.TLSAuto, FromName: "Søuk", From: "shop@souk.example",
	}
	t.Cleanup(post.Close)
	item := func(quantity, minor int64, title string, options map[string]string) *orderv1.OrderItem {
		return &orderv1.OrderItem{
			Title: title, Quantity: quantity, Options: options, LineTotal: money.New(minor, "BRL").ToProto(),
		}
	}
	order := &orderv1.Order{
		Id: "order_1", Number: "S-42",
		Subtotal: money.New(5398, "BRL").ToProto(), Discount: money.New(-100, "BRL").ToProto(),
		Shipping: money.New(0, "BRL").ToProto(), Tax: money.New(0, "BRL").ToProto(),
		Total: money.New(5298, "BRL").ToProto(),
		ShopOrders: []*orderv1.ShopOrder{{ShopName: "Aurora & Söhne", Items: []*orderv1.OrderItem{
			item(2, 3980, "<b>chá</b> 100 %s = nice, and a title that is longer than a line of a mail may be",
				map[string]string{"Size": "M", "Color": `"red"`}),
			item(1, 1418, ".dot", nil),
		}}},
		ShippingAddress: &orderv1.ShippingAddress{
			Name:        `Zoë "Zo" Müller`,
			Line1:       "Secret Street 7",
			City:        "São Paulo",
			PostalCode:  "01000-000",
			CountryCode: "BR",
		},
	}
	empty := &orderv1.Order{
		Id: "order_1", Number: "S-42", Subtotal: order.GetSubtotal(), Shipping: order.GetShipping(),
		Total: order.GetTotal(), ShippingAddress: order.GetShippingAddress(),
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	to := &mail.Address{Name: `Zoë "Zo" Müller`, Address: "zoe@example.com"}
	for _, c := range []struct {
		kind                domain.Kind
		order               *orderv1.Order
		url                 string
		subject, text, html string
	}{
		{domain.OrderConfirmed, order, "https://souk.example/", "Your order S-42 is confirmed", wholeText, wholeHTML},
		{domain.OrderCancelled, empty, "", "Your order S-42 was cancelled", cancelledText, cancelledHTML},
	} {
		d := domain.Delivery{ID: "mail_1", Notice: domain.Notice{Kind: c.kind, OrderID: "order_1"}}
		renderer, err := service.NewRenderer(c.url)
		require.NoError(t, err)
		msg, err := renderer.Render(d, c.order, to, now)
		require.NoError(t, err)
		require.NoError(t, post.Send(t.Context(), msg))
		got := sink.Messages()[0]
		require.Equal(t, c.text, got.Text)
		require.Equal(t, c.html, got.HTML)
		require.Equal(t, map[string][]string{
			"From":           {"Søuk <shop@souk.example>"},
			"To":             {"Zoë  Zo  Müller <zoe@example.com>"},
			"Subject":        {c.subject},
			"Date":           {"Fri, 02 Jan 2026 03:04:05 +0000"},
			"Message-Id":     {"<order_1." + string(c.kind) + "@souk>"},
			"Auto-Submitted": {"auto-generated"},
			"Mime-Version":   {"1.0"},
			"Content-Type":   {"multipart/alternative; boundary=souk-mail_1"},
		}, got.Headers)
	}
}

// The mail about a cancelled part names that part, why its shop cancelled it, and what the rest costs.
func TestMailAboutACancelledPartNamesThatPart(t *testing.T) {
	t.Parallel()
	shop := func(name, status, by, reason string) *orderv1.ShopOrder {
		return &orderv1.ShopOrder{
			ShopName: name, Status: status, Items: []*orderv1.OrderItem{{Quantity: 1, Title: "Thing of " + name}},
			Cancellation: &orderv1.Cancellation{By: by, Reason: reason},
		}
	}
	order := &orderv1.Order{
		Id: "order_1", Number: "S-42", Status: "confirmed", Total: money.New(5298, "BRL").ToProto(),
		Remaining: money.New(2000, "BRL").ToProto(),
		ShopOrders: []*orderv1.ShopOrder{
			shop("Stays", "confirmed", "", ""), shop("Broken", "cancelled", "shop", "the last one\nbroke"),
			shop("Unwanted", "cancelled", "customer", "my own words"),
		},
	}
	renderer, err := service.NewRenderer("")
	require.NoError(t, err)
	msg, err := renderer.Render(
		domain.Delivery{ID: "mail_1", Notice: domain.Notice{Kind: domain.OrderCancelled}},
		order,
		&mail.Address{Address: "zoe@example.com"},
		time.Now(),
	)
	require.NoError(t, err)
	got := "Subject: " + msg.Subject + "\n" + msg.Text + msg.HTML
	for _, want := range []string{
		"Subject: A part of your order S-42 was cancelled", "Broken: the last one broke", "Thing of Unwanted",
		"Your order now costs: BRL 20.00",
	} {
		require.Contains(t, got, want)
	}
	for _, other := range []string{"Thing of Stays", "my own words", "52.98"} {
		require.NotContains(t, got, other)
	}
}
