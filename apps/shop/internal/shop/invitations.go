package shop

import (
	"context"
	"encoding/base64"
	"time"

	"souk/apps/shop/internal/shop/sqlc"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/postgres"
)

// Invite stores an invitation to a shop, on behalf of the user by (see lockFor), and appends its event. It returns
// the invitation with what the shop adds.
//
// Errors: not_found, forbidden, already_exists, conflict, rate_limited.
func (s *Store) Invite(
	ctx context.Context, key, by string, in Invitation, invited func(Invitation) (event.Event, error),
) (Invitation, error) {
	digest, sealed, err := s.encrypt(ctx, in.ID, in.Email)
	if err != nil {
		return Invitation{}, err
	}
	err = s.changeMembers(ctx, key, by, func(q *sqlc.Queries, sh *Shop) ([]event.Event, error) {
		in.ShopID, in.ShopName, in.ExpiresAt = sh.ID, sh.Name, in.CreatedAt.Add(s.limits().InvitationTTL)
		if err := s.roomForInvitation(ctx, q, sh.ID, by, in.CreatedAt); err != nil {
			return nil, err
		}
		err := q.DropExpired(ctx, sqlc.DropExpiredParams{ShopID: sh.ID, Email: digest, Now: in.CreatedAt})
		if err != nil {
			return nil, err
		}
		err = q.Invite(ctx, sqlc.InviteParams{
			ID:          in.ID,
			ShopID:      sh.ID,
			Email:       digest,
			Sealed:      sealed,
			Role:        string(in.Role),
			Permissions: stored(in.Permissions),
			At:          in.CreatedAt,
			ExpiresAt:   in.ExpiresAt,
		})
		if err != nil {
			return nil, err
		}
		e, err := invited(in)
		return []event.Event{e}, err
	})
	if postgres.IsUnique(err, "invitation_open") {
		return in, errs.New(errs.AlreadyExists, "this address is invited already")
	}
	return in, err
}

// roomForInvitation returns an error if a shop may not send another invitation. Operators may send any number a day.
//
// Errors: conflict, rate_limited.
func (s *Store) roomForInvitation(ctx context.Context, q *sqlc.Queries, shopID, by string, now time.Time) error {
	most := s.limits().Members
	n, err := q.CountPeople(ctx, sqlc.CountPeopleParams{ShopID: shopID, Now: now, Since: now.Add(-invitationDay)})
	switch {
	case err != nil:
		return err
	case int(n.Members+n.Open) >= most:
		return errs.New(errs.Conflict, "the shop has %d members and open invitations, which is the most", most)
	case by != "" && n.Sent >= dailyInvitations:
		return errs.New(errs.RateLimited, "the shop has sent %d invitations in 24 hours, which is the most", n.Sent).
			WithRetryAfter(time.Hour)
	}
	return nil
}

// InvitationsOfShop returns up to limit of a shop's open invitations that are older than the moment, newest first.
func (s *Store) InvitationsOfShop(
	ctx context.Context, shopID string, now time.Time, before moment, limit int,
) ([]Invitation, error) {
	rows, err := sqlc.New(s.pool).InvitationsOfShop(ctx, sqlc.InvitationsOfShopParams{
		ShopID:   shopID,
		Now:      now,
		Before:   before.Time,
		BeforeID: before.ID,
		Most:     int32(limit), //nolint:gosec // a page is small
	})
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := make([]Invitation, len(rows))
	for i, r := range rows {
		if out[i], err = s.invitation(ctx, sqlc.OpenInvitationRow(r)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// InvitationsTo returns up to limit of the open invitations to an address that are older than the moment, newest first.
func (s *Store) InvitationsTo(
	ctx context.Context, email string, now time.Time, before moment, limit int,
) ([]Invitation, error) {
	digest, err := s.mailbox(ctx, email)
	if err != nil {
		return nil, err
	}
	rows, err := sqlc.New(s.pool).InvitationsTo(ctx, sqlc.InvitationsToParams{
		Email:    digest,
		Now:      now,
		Before:   before.Time,
		BeforeID: before.ID,
		Most:     int32(limit), //nolint:gosec // a page is small
	})
	if err != nil {
		return nil, postgres.Err(err)
	}
	out := make([]Invitation, len(rows))
	for i, r := range rows {
		if out[i], err = s.invitation(ctx, sqlc.OpenInvitationRow(r)); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Invitation returns an open invitation.
//
// Errors: not_found.
func (s *Store) Invitation(ctx context.Context, invitationID string, now time.Time) (Invitation, error) {
	return s.openInvitation(ctx, sqlc.New(s.pool), invitationID, now)
}

func (s *Store) openInvitation(
	ctx context.Context, q *sqlc.Queries, invitationID string, now time.Time,
) (Invitation, error) {
	row, err := q.OpenInvitation(ctx, sqlc.OpenInvitationParams{ID: invitationID, Now: now})
	if err := postgres.Err(err); errs.Is(err, errs.NotFound) {
		return Invitation{}, noInvitation()
	} else if err != nil {
		return Invitation{}, err
	}
	return s.invitation(ctx, row)
}

// Accept makes a user a member by an open invitation to the user's address. If the user has accepted it before, Accept
// returns the membership.
//
// Errors: not_found, conflict (the user is a member of too many shops).
func (s *Store) Accept(ctx context.Context, invitationID, email, userID string, now time.Time) (Member, error) {
	var m sqlc.Member
	err := s.inTx(ctx, func(q *sqlc.Queries) error {
		if err := q.LockUser(ctx, userID); err != nil { // a concurrent call may be accepting the same invitation
			return err
		}
		in, err := s.openInvitation(ctx, q, invitationID, now)
		if errs.Is(err, errs.NotFound) {
			arg := sqlc.AcceptedInvitationParams{ID: invitationID, UserID: userID}
			if m, err = q.AcceptedInvitation(ctx, arg); errs.Is(postgres.Err(err), errs.NotFound) {
				return noInvitation()
			}
			return err
		}
		if err != nil {
			return err
		}
		if in.Email != email {
			return noInvitation()
		}
		if err := s.roomForShop(ctx, q, userID); err != nil {
			return err
		}
		if _, _, err := lock(ctx, q, in.ShopID, ""); err != nil {
			return err
		}
		if err := closeInvitation(ctx, q, in, userID); err != nil {
			return err
		}
		m, err = q.Join(ctx, sqlc.JoinParams{
			ShopID: in.ShopID, UserID: userID, Role: string(in.Role), At: now, Permissions: stored(in.Permissions),
		})
		return err
	})
	return memberOf(m), err
}

// Decline ends an open invitation to an address.
//
// Errors: not_found.
func (s *Store) Decline(ctx context.Context, invitationID, email string, now time.Time) error {
	return s.inTx(ctx, func(q *sqlc.Queries) error {
		in, err := s.openInvitation(ctx, q, invitationID, now)
		if err == nil && in.Email != email {
			return noInvitation()
		}
		if err != nil {
			return err
		}
		return closeInvitation(ctx, q, in, "")
	})
}

// Revoke ends an open invitation of a shop, on behalf of the user by; see lockFor.
//
// Errors: not_found, forbidden.
func (s *Store) Revoke(ctx context.Context, key, by, invitationID string, now time.Time) error {
	return s.changeMembers(ctx, key, by, func(q *sqlc.Queries, sh *Shop) ([]event.Event, error) {
		in, err := s.openInvitation(ctx, q, invitationID, now)
		if err == nil && in.ShopID != sh.ID {
			return nil, noInvitation()
		}
		if err != nil {
			return nil, err
		}
		return nil, closeInvitation(ctx, q, in, "")
	})
}

// closeInvitation ends an invitation. A concurrent call may have ended it.
//
// Errors: not_found.
func closeInvitation(ctx context.Context, q *sqlc.Queries, in Invitation, acceptedBy string) error {
	n, err := q.CloseInvitation(ctx, sqlc.CloseInvitationParams{
		ID: in.ID, ShopID: in.ShopID, AcceptedBy: acceptedBy, DeleteAt: in.CreatedAt.Add(invitationDay),
	})
	if err == nil && n == 0 {
		return noInvitation()
	}
	return err
}

// DeleteInvitations deletes at most limit invitations that have ended, and returns how many it deleted.
func (s *Store) DeleteInvitations(ctx context.Context, now time.Time, limit int) (int, error) {
	n, err := sqlc.New(s.pool).
		DeleteInvitations(ctx, sqlc.DeleteInvitationsParams{Now: now, Most: int32(limit)}) //nolint:gosec // a constant
	return int(n), postgres.Err(err)
}

func (s *Store) invitation(ctx context.Context, r sqlc.OpenInvitationRow) (Invitation, error) {
	out := Invitation{
		ID:        r.ID,
		ShopID:    r.ShopID,
		ShopName:  r.ShopName,
		Email:     r.Email,
		Role:      Role(r.Role),
		CreatedAt: r.CreatedAt,
		ExpiresAt: r.ExpiresAt,

		Permissions: r.Permissions,
	}
	if len(r.Sealed) == 0 {
		return out, nil // written before souk encrypted invitations
	}
	email, err := s.cipher.Decrypt(ctx, place(r.ID), r.Sealed)
	out.Email = string(email)
	return out, err
}

func place(invitationID string) string { return "invitation/" + invitationID }

// mailbox returns the digest by which invitations to an address are found. Without an address it is "", which finds none.
func (s *Store) mailbox(ctx context.Context, email string) (string, error) {
	if email == "" {
		return "", nil
	}
	sum, err := s.cipher.Digest(ctx, "invitation", email)
	return base64.RawStdEncoding.EncodeToString(sum), err
}

// keyOwner owns the key of all invitations: the invited people have no users. An address is erased when its invitation
// ends.
const keyOwner = "invitation"

// encrypt returns the digest of an address, and the address encrypted.
func (s *Store) encrypt(ctx context.Context, invitationID, email string) (digest string, sealed []byte, err error) {
	if digest, err = s.mailbox(ctx, email); err != nil {
		return "", nil, err
	}
	sealed, err = s.cipher.Encrypt(ctx, keyOwner, place(invitationID), []byte(email))
	return digest, sealed, err
}

// EncryptBatch is the most invitations that EncryptPlain encrypts at once.
const EncryptBatch = 100

// EncryptPlain encrypts invitations that souk has stored before it encrypted them, and returns how many.
func (s *Store) EncryptPlain(ctx context.Context, _ time.Time) (int, error) {
	q := sqlc.New(s.pool)
	rows, err := q.PlainInvitations(ctx, EncryptBatch)
	if err != nil {
		return 0, postgres.Err(err)
	}
	for _, r := range rows {
		digest, sealed, err := s.encrypt(ctx, r.ID, r.Email)
		if err != nil {
			return 0, err
		}
		arg := sqlc.EncryptInvitationParams{ID: r.ID, Email: digest, Sealed: sealed}
		// If the address was invited again meanwhile, the new invitation stays.
		if err = q.EncryptInvitation(ctx, arg); postgres.IsUnique(err, "invitation_open") {
			err = q.DeleteInvitation(ctx, r.ID)
		}
		if err != nil {
			return 0, postgres.Err(err)
		}
	}
	return len(rows), nil
}
