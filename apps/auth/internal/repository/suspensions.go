package repository

import (
	"context"
	_ "embed"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"souk/pkg/redisx"
)

// reinstatedFor is how long it is remembered that a user is not suspended any more: longer than a late message about
// the suspension may take.
const reinstatedFor = 7 * 24 * time.Hour

//go:embed suspend.lua
var suspendScript string

// suspensionKey is in the hash slot of the set of the user's sessions.
func suspensionKey(userID string) string { return "{" + userPrefix + userID + "}:suspended" }

// SetSuspension stores whether a user is suspended, and ends the sessions of one who is. It changes nothing if a later
// revision of the user is known.
//
// Errors: unavailable.
func (r *Sessions) SetSuspension(ctx context.Context, userID string, suspended bool, revision int64) error {
	flag := "0"
	if suspended {
		flag = "1"
	}
	key := suspensionKey(userID)
	holds, err := r.suspend.Exec(ctx, r.client, []string{key}, []string{
		strconv.FormatInt(revision, 10), flag, strconv.FormatInt(reinstatedFor.Milliseconds(), 10),
	}).AsInt64()
	if err == nil {
		err = r.client.Do(ctx, r.awaiting(key)).Error()
	}
	if err != nil {
		return redisx.Err(err)
	}
	if holds == 0 || !suspended {
		return nil
	}
	// After the mark: a sign-in lists its session before the mark, and is found here, or finds the mark.
	return r.DeleteAll(ctx, userID)
}

// Suspended reports whether a user is suspended. The answer is cached in the client until Redis invalidates it.
//
// Errors: unavailable.
func (r *Sessions) Suspended(ctx context.Context, userID string) (bool, error) {
	value, err := r.client.DoCache(ctx, r.client.B().Get().Key(suspensionKey(userID)).Cache(), cachedFor).ToString()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return strings.HasSuffix(value, " 1"), redisx.Err(err)
}
