// Package repository keeps what the gateways share in Redis: answers by idempotency key, the versions of
// cached responses' sources, and rate limits.
package repository

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"souk/apps/gateway/internal/middleware"
	"souk/pkg/errs"
	"souk/pkg/redisx"
)

// Keys keeps answers by idempotency key.
type Keys struct{ client rueidis.Client }

// NewKeys returns a store of answers.
func NewKeys(client rueidis.Client) *Keys { return &Keys{client: client} }

// redisKey returns the Redis key of an idempotency key. Its value is the owner of the claim and the hash of the
// request's body, each followed by a line break. If the request has been answered, the length of the answer's head, a
// line break, the head and the body follow. The number in the key is the version of that format: a gateway with another
// format uses other keys.
func redisKey(key string) string { return "souk:idempotency:3:" + key }

// Scripts that change a claim only for its owner. A stored answer is never changed.
var (
	renewScript = rueidis.NewLuaScript(claimed + `
if mine ~= 1 then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)
	keepScript = rueidis.NewLuaScript(claimed + `
if mine == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)
	releaseScript = rueidis.NewLuaScript(claimed + `
if mine ~= 1 then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// claimed sets mine: 1 if ARGV[1] holds the claim, nil if the key is free, 0 if another owner holds it or an
// answer is stored.
const claimed = `
local v, mine = redis.call('GET', KEYS[1]), 0
if not v then
  mine = nil
elseif string.sub(v, 1, #ARGV[1] + 1) == ARGV[1] .. '\n' and string.find(v, '\n', #ARGV[1] + 2, true) == #v then
  mine = 1
end`

func claim(owner, bodyHash string) string { return owner + "\n" + bodyHash + "\n" }

// Claim claims key for owner, or returns what is stored under it.
//
// Errors: unavailable, internal (it is malformed).
func (k *Keys) Claim(ctx context.Context, key, bodyHash, owner string, lease time.Duration) (middleware.Claim, error) {
	// SET … NX GET returns the stored value, or nil if the key is now ours.
	was, err := k.client.Do(ctx, k.client.B().Set().Key(redisKey(key)).Value(claim(owner,
		bodyHash)).Nx().Get().PxMilliseconds(lease.Milliseconds()).Build()).
		ToString()
	if rueidis.IsRedisNil(err) {
		return middleware.Claim{Owned: true}, nil
	}
	if err != nil {
		return middleware.Claim{}, redisx.Err(err)
	}
	_, rest, _ := strings.Cut(was, "\n")
	hash, answer, _ := strings.Cut(rest, "\n")
	c := middleware.Claim{BodyHash: hash}
	if answer == "" {
		return c, nil
	}
	length, parts, _ := strings.Cut(answer, "\n")
	head, err := strconv.Atoi(length)
	if err != nil || head < 0 || head > len(parts) {
		return middleware.Claim{}, errs.New(errs.Internal, "an answer in Redis is malformed")
	}
	c.Answer.Head = []byte(parts[:head])
	if body := parts[head:]; body != "" {
		c.Answer.Body = []byte(body)
	}
	return c, nil
}

// Renew extends a claim.
//
// Errors: unavailable.
func (k *Keys) Renew(ctx context.Context, key, owner string, lease time.Duration) error {
	return redisx.Err(renewScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner, millis(lease)}).Error())
}

// Keep stores the answer for ttl.
//
// Errors: unavailable.
func (k *Keys) Keep(
	ctx context.Context, key, owner, bodyHash string, answer middleware.Sealed, ttl time.Duration,
) error {
	value := fmt.Sprintf("%s%d\n%s%s", claim(owner, bodyHash), len(answer.Head), answer.Head, answer.Body)
	return redisx.Err(
		keepScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner, value, millis(ttl)}).Error(),
	)
}

// Release deletes a claim, so that a retry runs again.
//
// Errors: unavailable.
func (k *Keys) Release(ctx context.Context, key, owner string) error {
	return redisx.Err(releaseScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner}).Error())
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
