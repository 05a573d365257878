package service

import (
	"context"
	"net/mail"
	"sync"
	"time"

	"go.uber.org/zap"

	"souk/apps/notification/internal/domain"
	cartv1 "souk/gen/go/souk/cart/v1"
	commentv1 "souk/gen/go/souk/comment/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
)

// templatesFor is how long the operators' templates are used without a look for new ones.
const templatesFor = 5 * time.Second

// Templates keeps what operators wrote.
type Templates interface {
	// Templates returns the versions in use.
	Templates(ctx context.Context) ([]domain.Template, error)
	// AddTemplate adds a version after the expected one.
	AddTemplate(ctx context.Context, t domain.Template) error
}

// written caches the operators' templates.
type written struct {
	mu   sync.Mutex
	at   time.Time
	text map[domain.Template]domain.Text // by kind, channel and locale
}

func (s *Service) written(ctx context.Context, d domain.Delivery, locale string) (domain.Text, bool, error) {
	s.templates.mu.Lock()
	defer s.templates.mu.Unlock()
	if now := s.Clock.Now(); s.templates.text == nil || now.Sub(s.templates.at) >= templatesFor {
		all, err := s.Templates.Templates(ctx)
		if err != nil {
			return domain.Text{}, false, err
		}
		s.templates.at, s.templates.text = now, map[domain.Template]domain.Text{}
		for _, t := range all {
			s.templates.text[domain.Template{Kind: t.Kind, Channel: t.Channel, Locale: t.Locale}] = t.Text
		}
	}
	channel := domain.Inbox // all short texts
	if d.Channel == domain.Email {
		channel = domain.Email
	}
	t, ok := s.templates.text[domain.Template{Kind: d.Notice.Kind, Channel: channel, Locale: locale}]
	return t, ok, nil
}

// text returns the text of a delivery, filled in: the one that operators wrote, or the default. The default also
// replaces one that cannot be filled in.
func (s *Service) text(ctx context.Context, d domain.Delivery, l letter, locale string) (domain.Text, error) {
	lang := s.Renderer.languages[locale]
	f := s.Renderer.fields(d.Notice, l, lang)
	t, ok, err := s.written(ctx, d, locale)
	if err != nil {
		return domain.Text{}, err
	}
	if ok {
		filled, err := fill(t, f)
		if err == nil {
			return filled, nil
		}
		s.Logger.Error("a template cannot be filled in; the default is used", zap.String("kind", string(d.Notice.Kind)),
			zap.String("channel", string(d.Channel)), zap.String("locale", locale), zap.Error(err))
	}
	filled, err := fill(lang.text(d.Notice.Kind, d.Channel), f)
	if err != nil {
		return domain.Text{}, domain.Permanent("it cannot be written")
	}
	return filled, nil
}

// AllTemplates returns the text in use of each kind, channel and locale. A default has the version 0.
func (s *Service) AllTemplates(ctx context.Context) ([]domain.Template, error) {
	all, err := s.Templates.Templates(ctx)
	if err != nil {
		return nil, err
	}
	own := map[domain.Template]domain.Template{}
	for _, t := range all {
		own[domain.Template{Kind: t.Kind, Channel: t.Channel, Locale: t.Locale}] = t
	}
	var out []domain.Template
	for _, kind := range domain.Kinds() {
		for _, channel := range []domain.Channel{domain.Email, domain.Inbox} {
			for _, locale := range Locales {
				t := domain.Template{Kind: kind, Channel: channel, Locale: locale}
				if written, ok := own[t]; ok {
					t = written
				} else {
					t.Text = s.Renderer.languages[locale].text(kind, channel)
				}
				out = append(out, t)
			}
		}
	}
	return out, nil
}

// SetTemplate adds a version of a text, and returns it. Its version is the expected one, and the new one is the next.
//
// Errors: not_found, invalid_argument, conflict.
func (s *Service) SetTemplate(ctx context.Context, t domain.Template) (domain.Template, error) {
	if _, err := s.Preview(t); err != nil {
		return domain.Template{}, err
	}
	t.Version++
	t.CreatedAt = s.Clock.Now()
	return t, s.Templates.AddTemplate(ctx, t)
}

// Preview renders a text as a recipient would see it, with sample data. An empty text stands for the default.
//
// Errors: not_found, invalid_argument.
func (s *Service) Preview(t domain.Template) (domain.Message, error) {
	lang, ok := s.Renderer.languages[t.Locale]
	if _, known := lang.Kinds[t.Kind]; !ok || !known || t.Channel != domain.Email && t.Channel != domain.Inbox {
		return domain.Message{}, errs.New(errs.NotFound, "there is no such kind, channel or locale")
	}
	if t.Text == (domain.Text{}) {
		t.Text = lang.text(t.Kind, t.Channel)
	}
	// Both branches of a condition must be right.
	for _, f := range []Fields{{Count: 1}, {Partly: true}} {
		if _, err := fill(t.Text, f); err != nil {
			return domain.Message{}, errs.InvalidField("body", "cannot be filled in: %v", err)
		}
	}
	filled, err := fill(t.Text, sample)
	if err != nil {
		return domain.Message{}, errs.InvalidField("body", "cannot be filled in: %v", err)
	}
	if filled.Subject == "" || filled.Body == "" {
		return domain.Message{}, errs.InvalidField("body", "subject and body must not be empty")
	}
	if t.Channel == domain.Inbox {
		return domain.Message{Subject: filled.Subject, Text: filled.Body}, nil
	}
	to := domain.Recipient{Address: &mail.Address{Name: "Ana Souza", Address: "ana@example.com"}, Locale: t.Locale}
	d := domain.Delivery{
		Notice: domain.Notice{Kind: t.Kind, Items: []domain.Item{{Title: "Tea", SKU: "T-1", Available: 2}}},
	}
	return s.Renderer.render(d, sampleLetter(), to, filled, "", s.Clock.Now())
}

// sampleLetter is what a preview is about.
func sampleLetter() letter {
	total := money.New(3980, "BRL").ToProto()
	part := &orderv1.ShopOrder{
		ShopName: sample.Shop, Total: total, Carrier: sample.Carrier, TrackingNumber: sample.TrackingNumber,
		Items: []*orderv1.OrderItem{{Title: "Tea", Quantity: 2, LineTotal: total}},
	}
	order := &orderv1.Order{
		Number:     sample.Number,
		Subtotal:   total,
		Shipping:   money.New(0, "BRL").ToProto(),
		Total:      total,
		ShopOrders: []*orderv1.ShopOrder{part},
		ShippingAddress: &orderv1.ShippingAddress{
			Name:        "Ana Souza",
			Line1:       "Rua A 1",
			City:        "São Paulo",
			CountryCode: "BR",
		},
	}
	return letter{
		order: order, parts: order.GetShopOrders(), numbers: []string{sample.Number},
		shop:       &shopv1.Shop{Name: sample.Shop},
		invitation: &shopv1.Invitation{ShopName: sample.Shop, Role: sample.Role},
		voucher:    &voucherv1.GetVoucherForNoticeResponse{Code: sample.Code, UsedUp: true},
		reviews: []*commentv1.Review{{
			ProductId: "prd_1", Rating: sample.Rating, Title: "Tea", Text: "Very good.", Status: statusPublished,
			Reply: &commentv1.Reply{Text: "Thank you!"},
		}},
		cart: &cartv1.Cart{
			Items: []*cartv1.CartItem{{Title: "Tea", Quantity: 2, LineTotal: total, Available: true}}, Total: total,
		},
	}
}
