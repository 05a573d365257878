// Package repository keeps sessions in Redis.
package repository

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"souk/apps/auth/internal/domain"
	"souk/pkg/clock"
	"souk/pkg/redisx"
)

const (
	sessionPrefix = "auth:session:" // + digest → session
	userPrefix    = "auth:user:"    // + user ID → sorted set of digests by absolute end

	// cachedFor is how long a session is cached in the client; Redis invalidates it at once when it changes.
	cachedFor = time.Minute
)

//go:embed list.lua
var listScript string

// Sessions keeps sessions under the digests of their IDs, and the digests by user. A session that was read is
// cached in the client until Redis invalidates it, so a repeated read costs no round trip and a logout takes
// effect in every process at once.
//
// A session and its user's set may be on different nodes of a cluster, so they change one after the other. A usable
// session is always in the set: it is stored first and listed next, and only then does its ID leave the process; it is
// deleted first and leaves the set next.
type Sessions struct {
	client    rueidis.Client
	clock     clock.Clock
	lifetimes domain.Lifetimes
	most      int
	list      *rueidis.Lua
	suspend   *rueidis.Lua
}

// New returns the sessions stored in Redis. most is the largest number of sessions of one user: a further one replaces
// the first to end.
func New(client rueidis.Client, c clock.Clock, l domain.Lifetimes, most int) *Sessions {
	return &Sessions{
		client: client, clock: c, lifetimes: l, most: most,
		list: rueidis.NewLuaScript(listScript), suspend: rueidis.NewLuaScript(suspendScript),
	}
}

// record is a session as Redis stores it; times in milliseconds.
type record struct {
	User    string   `json:"u"`
	Roles   []string `json:"r"`
	Created int64    `json:"c"`
	Expires int64    `json:"x"`
	Seen    int64    `json:"s"`
	Auth    int64    `json:"t,omitempty"`
	Browser string   `json:"b,omitempty"`
	Address string   `json:"a,omitempty"`
}

// Create stores a new session. If the user has too many, the first to end are deleted. After an error the session may
// exist, but its ID must not be used.
//
// Errors: account_suspended, unavailable.
func (r *Sessions) Create(ctx context.Context, digest string, s domain.Session) error {
	value, ttl, err := r.encode(s)
	if err != nil {
		return err
	}
	set := r.client.B().Arbitrary("SET").Keys(sessionPrefix+digest).Args(value, "PX", ttl).Build()
	if err := r.client.Do(ctx, set).Error(); err != nil {
		return redisx.Err(err)
	}
	now := r.clock.Now()
	excess, err := r.list.Exec(ctx, r.client, []string{userPrefix + s.UserID, suspensionKey(s.UserID)}, []string{
		digest, millis(s.Expires), millis(now), strconv.FormatInt(s.Expires.Sub(now).Milliseconds(), 10),
		strconv.Itoa(r.most),
	}).AsStrSlice()
	if rueidis.IsRedisNil(err) {
		return errors.Join(domain.Suspended(), r.delete(ctx, s.UserID, []string{digest}))
	}
	if err != nil {
		return redisx.Err(err)
	}
	return r.delete(ctx, s.UserID, excess)
}

// Get returns a session, which may have ended by its times.
//
// Errors: not_found, unavailable.
func (r *Sessions) Get(ctx context.Context, digest string) (domain.Session, error) {
	b, err := r.client.DoCache(ctx, r.client.B().Get().Key(sessionPrefix+digest).Cache(), cachedFor).AsBytes()
	if err != nil {
		return domain.Session{}, redisx.Err(err)
	}
	return decode(b)
}

func decode(b []byte) (domain.Session, error) {
	var rec record
	if err := json.Unmarshal(b, &rec); err != nil {
		return domain.Session{}, fmt.Errorf("a session in Redis cannot be read: %w", err)
	}
	var auth time.Time
	if rec.Auth != 0 {
		auth = time.UnixMilli(rec.Auth).UTC()
	}
	return domain.Session{
		AuthTime: auth,
		UserID:   rec.User,
		Roles:    rec.Roles,
		Created:  time.UnixMilli(rec.Created).UTC(),
		Expires:  time.UnixMilli(rec.Expires).UTC(),
		Seen:     time.UnixMilli(rec.Seen).UTC(),
		Browser:  rec.Browser,
		Address:  rec.Address,
	}, nil
}

// List returns the sessions of a user by their digests. Some may have ended by their times.
//
// Errors: unavailable.
func (r *Sessions) List(ctx context.Context, userID string) (map[string]domain.Session, error) {
	digests, err := r.digests(ctx, userID)
	if err != nil {
		return nil, err
	}
	cmds := make(rueidis.Commands, 0, len(digests))
	for _, d := range digests {
		cmds = append(cmds, r.client.B().Get().Key(sessionPrefix+d).Build())
	}
	out := make(map[string]domain.Session, len(digests))
	for i, res := range r.client.DoMulti(ctx, cmds...) {
		b, err := res.AsBytes()
		if rueidis.IsRedisNil(err) {
			continue // it was not used for too long
		}
		if err != nil {
			return nil, redisx.Err(err)
		}
		if out[digests[i]], err = decode(b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *Sessions) digests(ctx context.Context, userID string) ([]string, error) {
	all := r.client.B().Zrange().Key(userPrefix + userID).Min("0").Max("-1").Build()
	digests, err := r.client.Do(ctx, all).AsStrSlice()
	return digests, redisx.Err(err)
}

// Touch writes a session's last use, unless the session is gone.
//
// Errors: unavailable.
func (r *Sessions) Touch(ctx context.Context, digest string, s domain.Session) error {
	b, ttl, err := r.encode(s)
	if err != nil {
		return err
	}
	key := sessionPrefix + digest
	// XX: a session that a concurrent logout deleted does not come back.
	err = r.client.Do(ctx, r.client.B().Arbitrary("SET").Keys(key).Args(b, "XX", "PX", ttl).Build()).Error()
	if err != nil && !rueidis.IsRedisNil(err) {
		return redisx.Err(err)
	}
	return redisx.Err(r.client.Do(ctx, r.awaiting(key)).Error())
}

// Delete ends sessions of a user.
//
// Errors: unavailable.
func (r *Sessions) Delete(ctx context.Context, userID string, digests ...string) error {
	return r.delete(ctx, userID, digests)
}

// DeleteAll ends all sessions of a user.
//
// Errors: unavailable.
func (r *Sessions) DeleteAll(ctx context.Context, userID string) error {
	digests, err := r.digests(ctx, userID)
	if err != nil {
		return err
	}
	return r.delete(ctx, userID, digests)
}

func (r *Sessions) delete(ctx context.Context, userID string, digests []string) error {
	if len(digests) == 0 {
		return nil
	}
	cmds := make(rueidis.Commands, 0, 2*len(digests))
	for _, d := range digests {
		cmds = append(cmds, r.client.B().Del().Key(sessionPrefix+d).Build(), r.awaiting(sessionPrefix+d))
	}
	for _, res := range r.client.DoMulti(ctx, cmds...) {
		if err := res.Error(); err != nil {
			return redisx.Err(err)
		}
	}
	return redisx.Err(r.client.Do(ctx, r.client.B().Zrem().Key(userPrefix+userID).Member(digests...).Build()).Error())
}

// awaiting is a command that is answered after this process's client-side cache has dropped the key: Redis sends the
// invalidation on the key's connection before the answer to the next command there.
func (r *Sessions) awaiting(key string) rueidis.Completed {
	return r.client.B().Exists().Key(key).Build()
}

// Ping returns nil when Redis answers.
//
// Errors: unavailable.
func (r *Sessions) Ping(ctx context.Context) error { return redisx.Ping(ctx, r.client) }

func (r *Sessions) encode(s domain.Session) (value, ttl string, err error) {
	var auth int64
	if !s.AuthTime.IsZero() {
		auth = s.AuthTime.UnixMilli()
	}
	b, err := json.Marshal(record{
		Auth:    auth,
		User:    s.UserID,
		Roles:   s.Roles,
		Created: s.Created.UnixMilli(),
		Expires: s.Expires.UnixMilli(),
		Seen:    s.Seen.UnixMilli(),
		Browser: s.Browser,
		Address: s.Address,
	})
	if err != nil {
		return "", "", fmt.Errorf("encode a session: %w", err)
	}
	left := s.Ends(r.lifetimes).Sub(r.clock.Now()).Milliseconds()
	return string(b), strconv.FormatInt(max(left, 1), 10), nil
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
