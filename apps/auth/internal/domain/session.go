package domain

import (
	"slices"
	"time"
)

// TouchEvery is how often a session's last use is written down, at most.
const TouchEvery = time.Minute

// Lifetimes are how long sessions live.
type Lifetimes struct {
	// Absolute is from sign-in on, whatever happens.
	Absolute time.Duration
	// Idle is without any use.
	Idle time.Duration
	// Operator is Absolute for operators, whose role is read at sign-in alone.
	Operator time.Duration
}

// Session is a browser that is signed in.
type Session struct {
	UserID  string
	Roles   []string
	Created time.Time
	// Expires is the absolute end.
	Expires time.Time
	// Seen is its last use, to a minute.
	Seen time.Time
}

// NewSession opens a session now.
func NewSession(userID string, roles []string, now time.Time, l Lifetimes) Session {
	life := l.Absolute
	if slices.Contains(roles, RoleOperator) {
		life = min(life, l.Operator)
	}
	return Session{UserID: userID, Roles: roles, Created: now, Expires: now.Add(life), Seen: now}
}

// Ends returns when the session ends if it is not used any more.
func (s Session) Ends(l Lifetimes) time.Time {
	if idle := s.Seen.Add(l.Idle); idle.Before(s.Expires) {
		return idle
	}
	return s.Expires
}

// Alive reports whether the session counts at the time now.
func (s Session) Alive(now time.Time, l Lifetimes) bool { return now.Before(s.Ends(l)) }

// Touch notes a use. It reports whether there is something to write down.
func (s *Session) Touch(now time.Time) bool {
	if now.Before(s.Seen.Add(TouchEvery)) {
		return false
	}
	s.Seen = now
	return true
}
