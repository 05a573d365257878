package handler

import (
	"context"
	"net/mail"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/notification/internal/domain"
	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/page"
)

// Suppressions keeps the mailboxes that get no mails.
type Suppressions interface {
	Suppress(ctx context.Context, mailbox []byte, v domain.Suppression) (domain.Suppression, error)
	Suppressions(ctx context.Context, now time.Time, r page.Request) (rows []domain.Suppression, next string, err error)
	Lift(ctx context.Context, mailbox []byte) error
}

// Mailboxes names mailboxes on the suppression list.
type Mailboxes interface {
	Name(ctx context.Context, address string) ([]byte, error)
}

// ListSuppressions shows the suppression list, newest first.
//
// Errors: invalid_argument (a made-up page token).
func (r *RPC) ListSuppressions(
	ctx context.Context, req *notificationv1.ListSuppressionsRequest,
) (*notificationv1.ListSuppressionsResponse, error) {
	rows, next, err := r.suppressions.Suppressions(ctx, r.clock.Now(), page.Of(req, "suppressions"))
	if err != nil {
		return nil, err
	}
	res := &notificationv1.ListSuppressionsResponse{NextPageToken: next}
	for _, v := range rows {
		res.Suppressions = append(res.Suppressions, suppressionToProto(v))
	}
	return res, nil
}

// SuppressMailbox adds a mailbox to the suppression list, or prolongs its suppression.
//
// Errors: invalid_argument.
func (r *RPC) SuppressMailbox(
	ctx context.Context, req *notificationv1.SuppressMailboxRequest,
) (*notificationv1.SuppressMailboxResponse, error) {
	mailbox, err := r.mailbox(ctx, req.GetEmail())
	if err != nil {
		return nil, err
	}
	if strings.Contains(req.GetReason(), "@") {
		return nil, errs.InvalidField("reason", "must not hold an address")
	}
	now := r.clock.Now()
	v, err := r.suppressions.Suppress(ctx, mailbox, domain.Suppression{
		ID: id.New(id.Suppression), Source: domain.Operator, Reason: req.GetReason(), CreatedAt: now,
		ExpiresAt: now.Add(domain.SuppressFor),
	})
	if err != nil {
		return nil, err
	}
	return &notificationv1.SuppressMailboxResponse{Suppression: suppressionToProto(v)}, nil
}

// LiftSuppression takes a mailbox off the suppression list, if it is there.
//
// Errors: invalid_argument.
func (r *RPC) LiftSuppression(
	ctx context.Context, req *notificationv1.LiftSuppressionRequest,
) (*notificationv1.LiftSuppressionResponse, error) {
	mailbox, err := r.mailbox(ctx, req.GetEmail())
	if err != nil {
		return nil, err
	}
	return &notificationv1.LiftSuppressionResponse{}, r.suppressions.Lift(ctx, mailbox)
}

func (r *RPC) mailbox(ctx context.Context, address string) ([]byte, error) {
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address {
		return nil, errs.InvalidField("email", "must be an e-mail address")
	}
	return r.mailboxes.Name(ctx, address)
}

func suppressionToProto(v domain.Suppression) *notificationv1.Suppression {
	return &notificationv1.Suppression{
		Id: v.ID, Source: string(v.Source), Reason: v.Reason,
		CreatedAt: timestamppb.New(v.CreatedAt), ExpiresAt: timestamppb.New(v.ExpiresAt),
	}
}
