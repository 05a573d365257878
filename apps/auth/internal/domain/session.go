package domain

import (
	"slices"
	"time"

	"souk/pkg/permission"
)

// TouchEvery is the shortest time between two writes of a session's last use.
const TouchEvery = time.Minute

// Lifetimes are the lifetimes of sessions.
type Lifetimes struct {
	// Absolute is the lifetime from sign-in on, used or not.
	Absolute time.Duration
	// Idle is the lifetime without use.
	Idle time.Duration
	// Operator is Absolute for people whose roles have permissions in the marketplace: roles are only read at sign-in.
	Operator time.Duration
}

// Session is a signed-in browser.
type Session struct {
	UserID  string
	Roles   []string
	Created time.Time
	// Expires is the absolute end.
	Expires time.Time
	// Seen is the last use, to a minute.
	Seen time.Time
	// AuthTime is when the user entered credentials at the provider; zero: the provider did not say it.
	AuthTime time.Time
	// Browser is what signed in, in words, and Address from where; "": it is not known.
	Browser, Address string
}

// NewSession returns a session that begins now.
func NewSession(userID string, roles []string, now time.Time, l Lifetimes) Session {
	life := l.Absolute
	if slices.ContainsFunc(roles, permission.Privileged) {
		life = min(life, l.Operator)
	}
	return Session{UserID: userID, Roles: roles, Created: now, Expires: now.Add(life), Seen: now}
}

// Ends returns when the session ends unless it is used again.
func (s Session) Ends(l Lifetimes) time.Time {
	if idle := s.Seen.Add(l.Idle); idle.Before(s.Expires) {
		return idle
	}
	return s.Expires
}

// Alive reports whether the session has not ended at the time now.
func (s Session) Alive(now time.Time, l Lifetimes) bool { return now.Before(s.Ends(l)) }

// Touch sets the last use to now. It reports whether the session must be written.
func (s *Session) Touch(now time.Time) bool {
	if now.Before(s.Seen.Add(TouchEvery)) {
		return false
	}
	s.Seen = now
	return true
}
