// Package repository keeps what the gateway shares with other gateways, in Redis: answers by idempotency
// key, and the versions of what cached responses were made from.
package repository

import (
	"context"
	"encoding/json"
	"fmt"
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

// entry is what stands under a key: a claim while Answer is nil.
type entry struct {
	Owner    string             `json:"owner"`
	BodyHash string             `json:"bodyHash"`
	Answer   *middleware.Answer `json:"answer,omitempty"`
}

func redisKey(key string) string { return "souk:idempotency:" + key }

// Scripts that change a claim only for its owner. An answer is never changed.
var (
	renewScript = rueidis.NewLuaScript(`
local v = redis.call('GET', KEYS[1])
if not v then return 0 end
local e = cjson.decode(v)
if e.owner ~= ARGV[1] or e.answer then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`)
	keepScript = rueidis.NewLuaScript(`
local v = redis.call('GET', KEYS[1])
if v then
  local e = cjson.decode(v)
  if e.owner ~= ARGV[1] or e.answer then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)
	giveUpScript = rueidis.NewLuaScript(`
local v = redis.call('GET', KEYS[1])
if not v then return 0 end
local e = cjson.decode(v)
if e.owner ~= ARGV[1] or e.answer then return 0 end
redis.call('DEL', KEYS[1])
return 1`)
)

// Claim takes key, or tells who has it. Unavailable when Redis is.
func (k *Keys) Claim(ctx context.Context, key, bodyHash, owner string, lease time.Duration) (middleware.Claim, error) {
	value, err := json.Marshal(entry{Owner: owner, BodyHash: bodyHash})
	if err != nil {
		return middleware.Claim{}, fmt.Errorf("encode claim: %w", err)
	}
	// SET … NX GET answers what was there, or nil when the key is now ours.
	was, err := k.client.Do(ctx, k.client.B().Set().Key(redisKey(key)).Value(rueidis.BinaryString(value)).Nx().Get().PxMilliseconds(lease.Milliseconds()).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return middleware.Claim{Owned: true}, nil
	}
	if err != nil {
		return middleware.Claim{}, redisx.Err(err)
	}
	var e entry
	if err := json.Unmarshal([]byte(was), &e); err != nil {
		return middleware.Claim{}, fmt.Errorf("decode idempotency entry: %w", err)
	}
	return middleware.Claim{BodyHash: e.BodyHash, Answer: e.Answer}, nil
}

// Renew prolongs a claim.
func (k *Keys) Renew(ctx context.Context, key, owner string, lease time.Duration) error {
	return redisx.Err(renewScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner, millis(lease)}).Error())
}

// Keep stores the answer for the time that keys are kept.
func (k *Keys) Keep(ctx context.Context, key, owner, bodyHash string, a middleware.Answer) error {
	value, err := json.Marshal(entry{Owner: owner, BodyHash: bodyHash, Answer: &a})
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return redisx.Err(keepScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner, rueidis.BinaryString(value), millis(k.ttl)}).Error())
}

// GiveUp lets a retry run again.
func (k *Keys) GiveUp(ctx context.Context, key, owner string) error {
	return redisx.Err(giveUpScript.Exec(ctx, k.client, []string{redisKey(key)}, []string{owner}).Error())
}

func millis(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
