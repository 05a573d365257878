// Package repository keeps what the gateway shares with other gateways, in Redis: answers by idempotency
// key, and the versions of what cached responses were made from.
package repository

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"souk/apps/gateway/internal/middleware"
	"souk/pkg/redisx"
)

// Keys keeps answers by idempotency key.
type Keys struct {
	client rueidis.Client
	ttl    time.Duration
}

// NewKeys makes a store that keeps answers for ttl.
func NewKeys(client rueidis.Client, ttl time.Duration) *Keys {
	return &Keys{client: client, ttl: ttl}
}

// Under a key stand who claimed it, the hash of the request's body, and what it was answered, which is nothing while it is in
// flight: three parts with line breaks between them. The number is that form's: a gateway that knows another one does not
// look there.
func redisKey(key string) string { return "souk:idempotency:2:" + key }

// Scripts that change a claim only for its owner. An answer is never changed.
var (
	renewScript = rueidis.NewLuaScript(claimed + `
if mine ~= 1 then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)
	keepScript = rueidis.NewLuaScript(claimed + `
if mine == 0 then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)
	giveUpScript = rueidis.NewLuaScript(claimed + `
if mine ~= 1 then return 0 end
return redis.call('DEL', KEYS[1])`)
)

// claimed sets mine: 1 when the key is claimed by ARGV[1], nil when nobody has it, 0 when somebody else does or there is an answer.
const claimed = `
local v, mine = redis.call('GET', KEYS[1]), 0
if not v then
  mine = nil
elseif string.sub(v, 1, #ARGV[1] + 1) == ARGV[1] .. '\n' and string.find(v, '\n', #ARGV[1] + 2, true) == #v then
  mine = 1
end`

func claim(owner, bodyHash string) string { return owner + "\n" + bodyHash + "\n" }

// Claim takes key, or tells who has it. Unavailable when Redis is.
func (k *Keys) Claim(ctx context.Context, key, bodyHash, owner string, lease time.Duration) (middleware.Claim, error) {
	// SET … NX GET answers what was there, or nil when the key is now ours.
	was, err := k.client.Do(ctx, k.client.B().Set().Key(redisKey(key)).Value(claim(owner, bodyHash)).Nx().Get().PxMilliseconds(lease.Milliseconds()).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return middleware.Claim{Owned: true}, nil
	}
	if err != nil {
		return middleware.Claim{}, redisx.Err(err)
	}
	_, rest, _ := strings.Cut(was, "\n")
	c := middleware.Claim{}
	var answer string
	if c.BodyHash, answer, _ = strings.Cut(rest, "\n"); answer != "" {
		c.Answer = []byte(answer)
	}
	return c, nil
}

// Renew prolongs a claim.
func (k *Keys) Renew(ctx context.Context, key, owner string, lease time.Duration) error {
	return redisx.Err(renewScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner, millis(lease)}).Error())
}

// Keep stores the answer for the time that keys are kept.
func (k *Keys) Keep(ctx context.Context, key, owner, bodyHash string, answer []byte) error {
	value := claim(owner, bodyHash) + string(answer)
	return redisx.Err(keepScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner, value, millis(k.ttl)}).Error())
}

// GiveUp lets a retry run again.
func (k *Keys) GiveUp(ctx context.Context, key, owner string) error {
	return redisx.Err(giveUpScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner}).Error())
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
