package handler

import (
	"context"
	"slices"
	"time"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
)

// Preferences keeps what recipients want.
type Preferences interface {
	Preferences(ctx context.Context, owners ...string) (map[string]domain.Preferences, error)
	SetPreferences(ctx context.Context, p domain.Preferences, at time.Time) error
	OptOut(ctx context.Context, owner string, kind domain.Kind, at time.Time) error
}

// Links reads the links in mails that end mails of their kind.
type Links interface {
	Parse(ctx context.Context, token string) (owner string, kind domain.Kind, err error)
}

// GetNotificationPreferences shows what the caller wants.
func (r *RPC) GetNotificationPreferences(
	ctx context.Context, _ *notificationv1.GetNotificationPreferencesRequest,
) (*notificationv1.GetNotificationPreferencesResponse, error) {
	owner := identity.FromContext(ctx).ID
	found, err := r.preferences.Preferences(ctx, owner)
	if err != nil {
		return nil, err
	}
	return &notificationv1.GetNotificationPreferencesResponse{Preferences: preferencesToProto(found[owner])}, nil
}

// SetNotificationPreferences replaces what the caller wants.
//
// Errors: invalid_argument.
func (r *RPC) SetNotificationPreferences(
	ctx context.Context, req *notificationv1.SetNotificationPreferencesRequest,
) (*notificationv1.SetNotificationPreferencesResponse, error) {
	p := domain.Preferences{Owner: identity.FromContext(ctx).ID, Kinds: map[domain.Kind]map[domain.Channel]bool{}}
	for name, choices := range req.GetKinds() {
		kind := domain.Kind(name)
		if !slices.Contains(domain.Kinds(), kind) {
			return nil, errs.InvalidField("kinds", "%q is not a kind of notifications", name)
		}
		if kind.Rule().Required && choices.Email != nil && !choices.GetEmail() {
			return nil, errs.InvalidField("kinds", "mails of the kind %s cannot be switched off", name)
		}
		chosen := map[domain.Channel]bool{}
		for channel, wanted := range map[domain.Channel]*bool{
			domain.Email: choices.Email, domain.Inbox: choices.Inbox, domain.SMS: choices.Sms, domain.Push: choices.Push,
		} {
			if wanted != nil && *wanted != (domain.Preferences{}).Wants(kind, channel) {
				chosen[channel] = *wanted
			}
		}
		if len(chosen) > 0 {
			p.Kinds[kind] = chosen
		}
	}
	if q := req.GetQuietHours(); q != nil {
		if _, err := time.LoadLocation(q.GetTimeZone()); err != nil || q.GetTimeZone() == "Local" {
			return nil, errs.InvalidField("quietHours.timeZone", "must be an IANA time zone such as America/Sao_Paulo")
		}
		if q.GetFrom() == q.GetTo() {
			return nil, errs.InvalidField("quietHours.to", "must differ from the beginning")
		}
		p.Quiet = domain.QuietHours{From: q.GetFrom(), To: q.GetTo(), TimeZone: q.GetTimeZone()}
	}
	if err := r.preferences.SetPreferences(ctx, p, r.clock.Now()); err != nil {
		return nil, err
	}
	return &notificationv1.SetNotificationPreferencesResponse{Preferences: preferencesToProto(p)}, nil
}

// GetSubscription says what a link ends.
//
// Errors: not_found.
func (r *RPC) GetSubscription(
	ctx context.Context, req *notificationv1.GetSubscriptionRequest,
) (*notificationv1.GetSubscriptionResponse, error) {
	_, kind, err := r.links.Parse(ctx, req.GetToken())
	return &notificationv1.GetSubscriptionResponse{Kind: string(kind)}, err
}

// Unsubscribe ends the mails of a kind to the owner of a link.
//
// Errors: not_found.
func (r *RPC) Unsubscribe(
	ctx context.Context, req *notificationv1.UnsubscribeRequest,
) (*notificationv1.UnsubscribeResponse, error) {
	owner, kind, err := r.links.Parse(ctx, req.GetToken())
	if err != nil {
		return nil, err
	}
	return &notificationv1.UnsubscribeResponse{
			Kind: string(kind),
		}, r.preferences.OptOut(
			ctx,
			owner,
			kind,
			r.clock.Now(),
		)
}

func preferencesToProto(p domain.Preferences) *notificationv1.NotificationPreferences {
	out := &notificationv1.NotificationPreferences{Kinds: map[string]*notificationv1.ChannelChoices{}}
	for _, kind := range domain.Kinds() {
		wants := func(c domain.Channel) *bool {
			yes := p.Wants(kind, c)
			return &yes
		}
		out.Kinds[string(kind)] = &notificationv1.ChannelChoices{
			Email: wants(domain.Email), Inbox: wants(domain.Inbox), Sms: wants(domain.SMS), Push: wants(domain.Push),
		}
	}
	if p.Quiet.From != "" {
		out.QuietHours = &notificationv1.QuietHours{From: p.Quiet.From, To: p.Quiet.To, TimeZone: p.Quiet.TimeZone}
	}
	return out
}
