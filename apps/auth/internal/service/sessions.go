package service

import (
	"context"
	"slices"
	"strings"

	"souk/apps/auth/internal/credential"
	"souk/apps/auth/internal/domain"
	"souk/pkg/errs"
)

// Listed is a session as its user sees it.
type Listed struct {
	domain.Session
	// ID is "ses_…".
	ID string
	// digest is what the session is stored under.
	digest string
}

// ListSessions returns the sessions of a user, the one that was used last first.
//
// Errors: unavailable.
func (s *Service) ListSessions(ctx context.Context, userID string) ([]Listed, error) {
	stored, err := s.Sessions.List(ctx, userID)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	var out []Listed
	for digest, session := range stored {
		if session.Alive(now, s.Lifetimes) {
			out = append(out, Listed{Session: session, ID: credential.PublicSessionID(digest), digest: digest})
		}
	}
	slices.SortFunc(out, func(a, b Listed) int {
		if c := b.Seen.Compare(a.Seen); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

// EndSession ends one session of a user.
//
// Errors: not_found, unavailable.
func (s *Service) EndSession(ctx context.Context, userID, sessionID string) error {
	ended, err := s.endSessions(ctx, userID, func(l Listed) bool { return l.ID == sessionID })
	if err == nil && ended == 0 {
		return errs.New(errs.NotFound, "there is no such session")
	}
	return err
}

// EndSessions ends the sessions of a user but the one with the ID keep, which may be empty. It returns how many.
//
// Errors: unavailable.
func (s *Service) EndSessions(ctx context.Context, userID, keep string) (ended int, err error) {
	return s.endSessions(ctx, userID, func(l Listed) bool { return l.ID != keep })
}

func (s *Service) endSessions(ctx context.Context, userID string, which func(Listed) bool) (ended int, err error) {
	all, err := s.ListSessions(ctx, userID)
	if err != nil {
		return 0, err
	}
	var digests []string
	for _, l := range all {
		if which(l) {
			digests = append(digests, l.digest)
		}
	}
	return len(digests), s.Sessions.Delete(ctx, userID, digests...)
}
