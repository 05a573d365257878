package service

import (
	"slices"
	"sync"
	"time"

	"souk/apps/auth/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/permission"
)

const (
	// knownFor is how long an identity is cached. A new e-mail address in a token reaches the user service
	// after at most this time.
	knownFor = 5 * time.Minute
	knownMax = 50_000
)

// knownUsers caches the user of each sign-in identity.
type knownUsers struct {
	clock clock.Clock
	mu    sync.RWMutex
	users map[subject]knownUser
}

type subject struct{ issuer, subject string }

type knownUser struct {
	id    string
	admin bool
	until time.Time
}

func newKnownUsers(c clock.Clock) *knownUsers {
	return &knownUsers{clock: c, users: map[subject]knownUser{}}
}

func (k *knownUsers) get(p domain.Person) (string, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	u, ok := k.users[subject{p.Issuer, p.Subject}]
	if !ok || !k.clock.Now().Before(u.until) || isAdmin(p) && !u.admin { // the user service must know admins
		return "", false
	}
	return u.id, true
}

func isAdmin(p domain.Person) bool { return slices.Contains(p.Roles, permission.RoleAdmin) }

func (k *knownUsers) put(p domain.Person, userID string) {
	now := k.clock.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.users) >= knownMax { // make room: drop expired entries, and a tenth in no order
		n := 0
		for s, u := range k.users {
			if n < knownMax/10 || !now.Before(u.until) {
				delete(k.users, s)
				n++
			}
		}
	}
	k.users[subject{p.Issuer, p.Subject}] = knownUser{
		id: userID, admin: isAdmin(p), until: now.Add(knownFor),
	}
}
