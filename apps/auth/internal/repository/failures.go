package repository

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"souk/pkg/clock"
	"souk/pkg/redisx"
)

const (
	// failedPrefix + kind + ":" + bucket is a hash: n failures, until when attempts wait.
	failedPrefix = "auth:failed:"
	// buckets bounds the keys of a kind, and so the memory, whatever number of addresses fail.
	buckets = 1 << 18
	// failuresKept is how long after the last failure they are forgotten. It is longer than any wait.
	failuresKept = time.Hour
)

//go:embed failed.lua
var failedScript string

// Failures counts failed attempts, of which each makes the next one wait for longer. Redis holds neither addresses nor
// users: what fails is counted in one of many buckets, which a keyed hash chooses. A bucket belongs to the last one who has
// failed in it, so that the failures of some make no others wait.
type Failures struct {
	client  rueidis.Client
	clock   clock.Clock
	key     []byte
	free    int
	longest time.Duration
	count   *rueidis.Lua
}

// NewFailures returns the failures in Redis. The first free ones of an hour make nobody wait; free is 0: none does. The
// longest wait is longest.
func NewFailures(client rueidis.Client, c clock.Clock, key []byte, free int, longest time.Duration) *Failures {
	return &Failures{
		client: client, clock: c, key: key, free: free, longest: longest, count: rueidis.NewLuaScript(failedScript),
	}
}

// bucket returns the key of a bucket, and the digest that says whose it is.
func (f *Failures) bucket(kind, who string) (key, digest string) {
	mac := hmac.New(sha256.New, f.key)
	_, _ = mac.Write([]byte(kind + "\x00" + who)) // never fails
	sum := mac.Sum(nil)
	n := binary.BigEndian.Uint32(sum) % buckets
	return failedPrefix + kind + ":" + strconv.FormatUint(uint64(n), 36), hex.EncodeToString(sum[4:12])
}

// Wait returns how long attempts of a kind by who have to wait.
//
// Errors: unavailable.
func (f *Failures) Wait(ctx context.Context, kind, who string) (time.Duration, error) {
	if f.free == 0 || who == "" {
		return 0, nil
	}
	key, digest := f.bucket(kind, who)
	kept, err := f.client.Do(ctx, f.client.B().Hgetall().Key(key).Build()).AsStrMap()
	if err != nil {
		return 0, redisx.Err(err)
	}
	until, err := strconv.ParseInt(kept["until"], 10, 64)
	if err != nil || kept["who"] != digest {
		return 0, nil //nolint:nilerr // there is no wait, or it is another one's
	}
	return max(0, time.UnixMilli(until).Sub(f.clock.Now())), nil
}

// Add counts a failure, and returns how long the next attempt has to wait.
//
// Errors: unavailable.
func (f *Failures) Add(ctx context.Context, kind, who string) (time.Duration, error) {
	if f.free == 0 || who == "" {
		return 0, nil
	}
	key, digest := f.bucket(kind, who)
	wait, err := f.count.Exec(ctx, f.client, []string{key}, []string{
		millis(f.clock.Now()), strconv.Itoa(f.free), strconv.FormatInt(f.longest.Milliseconds(), 10),
		strconv.FormatInt(failuresKept.Milliseconds(), 10), digest,
	}).AsInt64()
	return time.Duration(wait) * time.Millisecond, redisx.Err(err)
}

// Forget forgets the failures of a kind by who.
//
// Errors: unavailable.
func (f *Failures) Forget(ctx context.Context, kind, who string) error {
	if f.free == 0 || who == "" {
		return nil
	}
	key, _ := f.bucket(kind, who)
	return redisx.Err(f.client.Do(ctx, f.client.B().Del().Key(key).Build()).Error())
}
