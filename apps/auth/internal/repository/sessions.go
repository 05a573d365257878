// Package repository keeps sessions in Redis.
package repository

import (
	"context"
	_ "embed"
	"encoding/json"
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

	// maxSessions is the largest number of sessions of one user; a further one replaces the first to end.
	maxSessions = 100
	// cachedFor is how long a session is cached in the client; Redis invalidates it at once when it changes.
	cachedFor = time.Minute
)

//go:embed create.lua
var createScript string

//go:embed delete_all.lua
var deleteAllScript string

// Sessions keeps sessions under the digests of their IDs, and the digests by user. A session that was read is
// cached in the client until Redis invalidates it, so a repeated read costs no round trip and a logout takes
// effect in every process at once.
type Sessions struct {
	client    rueidis.Client
	clock     clock.Clock
	lifetimes domain.Lifetimes
	create    *rueidis.Lua
	deleteAll *rueidis.Lua
}

// New returns the sessions stored in Redis.
func New(client rueidis.Client, c clock.Clock, l domain.Lifetimes) *Sessions {
	return &Sessions{
		client: client, clock: c, lifetimes: l,
		create: rueidis.NewLuaScript(createScript), deleteAll: rueidis.NewLuaScript(deleteAllScript),
	}
}

// record is a session as Redis stores it; times in milliseconds.
type record struct {
	User    string   `json:"u"`
	Roles   []string `json:"r"`
	Created int64    `json:"c"`
	Expires int64    `json:"x"`
	Seen    int64    `json:"s"`
}

// Create stores a new session.
//
// Errors: unavailable.
func (r *Sessions) Create(ctx context.Context, digest string, s domain.Session) error {
	value, ttl, err := r.encode(s)
	if err != nil {
		return err
	}
	now := r.clock.Now()
	return redisx.Err(r.create.Exec(ctx, r.client, []string{sessionPrefix + digest, userPrefix + s.UserID}, []string{
		value, ttl, digest, millis(s.Expires), millis(now), strconv.FormatInt(s.Expires.Sub(now).Milliseconds(), 10),
		strconv.Itoa(maxSessions), sessionPrefix,
	}).Error())
}

// Get returns a session, which may have ended by its times.
//
// Errors: not_found, unavailable.
func (r *Sessions) Get(ctx context.Context, digest string) (domain.Session, error) {
	b, err := r.client.DoCache(ctx, r.client.B().Get().Key(sessionPrefix+digest).Cache(), cachedFor).AsBytes()
	if err != nil {
		return domain.Session{}, redisx.Err(err)
	}
	var rec record
	if err := json.Unmarshal(b, &rec); err != nil {
		return domain.Session{}, fmt.Errorf("a session in Redis cannot be read: %w", err)
	}
	return domain.Session{
		UserID:  rec.User,
		Roles:   rec.Roles,
		Created: time.UnixMilli(rec.Created).UTC(),
		Expires: time.UnixMilli(rec.Expires).UTC(),
		Seen:    time.UnixMilli(rec.Seen).UTC(),
	}, nil
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
	return r.awaitInvalidation(ctx, key)
}

// Delete ends a session.
//
// Errors: unavailable.
func (r *Sessions) Delete(ctx context.Context, digest, userID string) error {
	key := sessionPrefix + digest
	if err := redisx.Err(r.client.Do(ctx, r.client.B().Del().Key(key).Build()).Error()); err != nil {
		return err
	}
	remove := r.client.B().Zrem().Key(userPrefix + userID).Member(digest).Build()
	if err := redisx.Err(r.client.Do(ctx, remove).Error()); err != nil {
		return err
	}
	return r.awaitInvalidation(ctx, key)
}

// DeleteAll ends all sessions of a user.
//
// Errors: unavailable.
func (r *Sessions) DeleteAll(ctx context.Context, userID string) error {
	digests, err := r.deleteAll.Exec(ctx, r.client, []string{userPrefix + userID}, []string{sessionPrefix}).AsStrSlice()
	if err != nil {
		return redisx.Err(err)
	}
	for _, d := range digests {
		if err := r.awaitInvalidation(ctx, sessionPrefix+d); err != nil {
			return err
		}
	}
	return nil
}

// awaitInvalidation returns after this process's client-side cache has dropped the key: Redis sends the
// invalidation on the key's connection before the answer to the next command there.
func (r *Sessions) awaitInvalidation(ctx context.Context, key string) error {
	return redisx.Err(r.client.Do(ctx, r.client.B().Exists().Key(key).Build()).Error())
}

// Ping returns nil when Redis answers.
//
// Errors: unavailable.
func (r *Sessions) Ping(ctx context.Context) error { return redisx.Ping(ctx, r.client) }

func (r *Sessions) encode(s domain.Session) (value, ttl string, err error) {
	b, err := json.Marshal(record{
		User:    s.UserID,
		Roles:   s.Roles,
		Created: s.Created.UnixMilli(),
		Expires: s.Expires.UnixMilli(),
		Seen:    s.Seen.UnixMilli(),
	})
	if err != nil {
		return "", "", fmt.Errorf("encode a session: %w", err)
	}
	left := s.Ends(r.lifetimes).Sub(r.clock.Now()).Milliseconds()
	return string(b), strconv.FormatInt(max(left, 1), 10), nil
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
