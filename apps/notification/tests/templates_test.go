package tests

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
)

// prefer sets the language of the user who placed an order.
func (h *harness) prefer(orderID, locale string) (userID string) {
	userID = h.customer(orderID)
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	h.others.users[userID].Preferences = &userv1.Preferences{Locale: &locale}
	return userID
}

func TestRecipientsReadTheirLanguage(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for locale, want := range map[string][]string{
		"pt-BR": {"Seu pedido S-Ünïcode-42 foi confirmado", "Olá Zoë Müller,", "Frete: BRL 9.90", "Seu pedido: https://"},
		"vi": {
			"Đơn hàng S-Ünïcode-42 của bạn đã được xác nhận", "Xin chào Zoë Müller,", "Tổng cộng: BRL 63.88",
			"Đơn hàng của bạn: https://",
		},
		"fr": {"Your order S-Ünïcode-42 is confirmed", "Hello Zoë Müller,", "Total: BRL 63.88", "Your order: https://"},
	} {
		order := h.place(locale+"@example.com", "")
		userID := h.prefer(order, locale)
		h.Deliver("order", h.confirmed(order))
		m := h.mails(locale+"@example.com", 1)[0]
		require.Equal(t, want[0], m.Subject)
		for _, text := range want[1:] {
			require.Contains(t, m.Text, text)
		}
		require.Equal(t, want[0], h.inbox(userID, 1).GetNotifications()[0].GetTitle())
	}
}

func TestOperatorsChangeTexts(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, moduletest.Clock(c))
	operator := h.AsUser(id.New(id.User), "operator")
	set := func(subject, body string, expected int32) (*notificationv1.SetTemplateResponse, error) {
		return h.gateway().SetTemplate(operator, &notificationv1.SetTemplateRequest{
			Kind:            "order_confirmed",
			Channel:         "email",
			Locale:          "en",
			Subject:         subject,
			Body:            body,
			ExpectedVersion: expected,
		})
	}
	list := func() (of *notificationv1.Template) {
		res, err := h.gateway().ListTemplates(operator, &notificationv1.ListTemplatesRequest{})
		require.NoError(t, err)
		require.Len(t, res.GetTemplates(), len(domain.Kinds())*2*3)
		for _, got := range res.GetTemplates() {
			if got.GetKind() == "order_confirmed" && got.GetChannel() == "email" && got.GetLocale() == "en" {
				of = got
			}
		}
		return of
	}
	require.Zero(t, list().GetVersion())
	for _, wrong := range []string{
		"{{.Email}}", "{{", "{{range 9}}x{{end}}", `{{printf "%1000000d" 1}}`, `{{define "x"}}{{end}}`, "{{.Number.Foo}}",
		"{{if .Partly}}{{.Wrong}}{{end}}", "{{template \"x\"}}", "{{if eq .Count 1}}{{.Shop}}{{end}}", "",
	} {
		_, err := set("Hello", wrong, 0)
		require.Equal(t, errs.Invalid, errs.CodeOf(err), wrong)
	}
	first, err := set("{{.Number}} is ours", "one <b>\n\ntwo {{.Number}}", 0)
	require.NoError(t, err)
	require.EqualValues(t, 1, first.GetTemplate().GetVersion())
	_, err = set("late", "late", 0)
	require.Equal(t, errs.Conflict, errs.CodeOf(err))
	require.Equal(t, first.GetTemplate().GetBody(), list().GetBody())

	order := h.place("zoe@example.com", "")
	h.Deliver("order", h.confirmed(order))
	m := h.mails("zoe@example.com", 1)[0]
	require.Equal(t, "S-Ünïcode-42 is ours", m.Subject)
	require.Contains(t, m.Text, "one <b>\n\ntwo S-Ünïcode-42\n")
	require.Contains(t, m.HTML, "<p>one &lt;b&gt;</p>\n<p>two S-Ünïcode-42</p>")

	// A text that cannot be filled in, as one of another version of souk may be, is replaced by the default.
	_, err = h.Pool.Exec(
		t.Context(),
		`insert into template (kind, channel, locale, version, subject, body, author, created_at)
		values ('order_confirmed', 'email', 'en', 2, '{{.Gone}}', 'x', 'usr_1', now())`,
	)
	require.NoError(t, err)
	c.Advance(5 * time.Second)
	another := h.place("guest@example.com", "")
	h.Deliver("order", h.confirmed(another))
	require.Equal(t, "Your order S-Ünïcode-42 is confirmed", h.mails("guest@example.com", 1)[0].Subject)
	h.Stop()
	require.Contains(t, h.Logs(), "a template cannot be filled in")
}

// Each default text can be filled in, and shows no address.
func TestPreviewShowsEachText(t *testing.T) {
	t.Parallel()
	h := setup(t)
	operator := h.AsUser(id.New(id.User), "operator")
	for _, kind := range domain.Kinds() {
		for _, channel := range []string{"email", "inbox"} {
			for _, locale := range []string{"en", "pt", "vi"} {
				got, err := h.gateway().PreviewTemplate(operator, &notificationv1.PreviewTemplateRequest{
					Kind: string(kind), Channel: channel, Locale: locale,
				})
				require.NoError(t, err, "%s %s %s", kind, channel, locale)
				require.NotEmpty(t, got.GetSubject())
				require.NotEmpty(t, got.GetText())
				require.NotContains(t, got.GetText()+got.GetHtml(), "<no value>")
				require.Equal(t, channel == "email", strings.Contains(got.GetHtml(), `lang="`+locale+`"`))
			}
		}
	}
	_, err := h.gateway().PreviewTemplate(operator, &notificationv1.PreviewTemplateRequest{
		Kind: "order_confirmed", Channel: "email", Locale: "fr",
	})
	require.Equal(t, errs.NotFound, errs.CodeOf(err))
}
