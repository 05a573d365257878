package handler

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/identity"
)

// Templates are the texts of notices.
type Templates interface {
	AllTemplates(ctx context.Context) ([]domain.Template, error)
	SetTemplate(ctx context.Context, t domain.Template) (domain.Template, error)
	Preview(t domain.Template) (domain.Message, error)
}

// ListTemplates shows the texts in use.
func (r *RPC) ListTemplates(
	ctx context.Context, _ *notificationv1.ListTemplatesRequest,
) (*notificationv1.ListTemplatesResponse, error) {
	all, err := r.templates.AllTemplates(ctx)
	if err != nil {
		return nil, err
	}
	res := &notificationv1.ListTemplatesResponse{}
	for _, t := range all {
		res.Templates = append(res.Templates, templateToProto(t))
	}
	return res, nil
}

// SetTemplate adds a version of a text.
//
// Errors: not_found, invalid_argument, conflict.
func (r *RPC) SetTemplate(
	ctx context.Context, req *notificationv1.SetTemplateRequest,
) (*notificationv1.SetTemplateResponse, error) {
	t, err := r.templates.SetTemplate(ctx, domain.Template{
		Kind:    domain.Kind(req.GetKind()),
		Channel: domain.Channel(req.GetChannel()),
		Locale:  req.GetLocale(),
		Version: req.GetExpectedVersion(),
		Text:    domain.Text{Subject: req.GetSubject(), Body: req.GetBody()},
		Author:  identity.FromContext(ctx).ID,
	})
	if err != nil {
		return nil, err
	}
	return &notificationv1.SetTemplateResponse{Template: templateToProto(t)}, nil
}

// PreviewTemplate renders a text with sample data.
//
// Errors: not_found, invalid_argument.
func (r *RPC) PreviewTemplate(
	_ context.Context, req *notificationv1.PreviewTemplateRequest,
) (*notificationv1.PreviewTemplateResponse, error) {
	m, err := r.templates.Preview(domain.Template{
		Kind:    domain.Kind(req.GetKind()),
		Channel: domain.Channel(req.GetChannel()),
		Locale:  req.GetLocale(),
		Text:    domain.Text{Subject: req.GetSubject(), Body: req.GetBody()},
	})
	if err != nil {
		return nil, err
	}
	return &notificationv1.PreviewTemplateResponse{Subject: m.Subject, Text: m.Text, Html: m.HTML}, nil
}

func templateToProto(t domain.Template) *notificationv1.Template {
	out := &notificationv1.Template{
		Kind:    string(t.Kind),
		Channel: string(t.Channel),
		Locale:  t.Locale,
		Version: t.Version,
		Subject: t.Subject,
		Body:    t.Body,
		Author:  t.Author,
	}
	if t.Version > 0 {
		out.CreatedAt = timestamppb.New(t.CreatedAt)
	}
	return out
}
