package cache

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"souk/pkg/redisx"
)

// Tag returns the name of something that cached answers depend on: Tag("product", id) is one product, Tag("catalog")
// all lists of products. A change of it bumps the tag. A cached answer is valid as long as its tags' versions are the
// same as when it was created.
func Tag(kind string, ids ...string) string {
	return strings.Join(append([]string{"souk:tag", kind}, ids...), ":")
}

// Bump increments the versions of tags. Call it after the change was committed.
//
// Errors: unavailable.
func Bump(ctx context.Context, client rueidis.Client, tags ...string) error {
	if len(tags) == 0 {
		return nil
	}
	// Redis sends the invalidation after the reply to the command that caused it. One more reply of the tag's node
	// means that this process has received the invalidation.
	cmds := make(rueidis.Commands, 0, 2*len(tags))
	for _, tag := range tags {
		cmds = append(cmds, client.B().Incr().Key(tag).Build(), client.B().Exists().Key(tag).Build())
	}
	var all []error
	for _, r := range client.DoMulti(ctx, cmds...) {
		all = append(all, redisx.Err(r.Error()))
	}
	return errors.Join(all...)
}

// Version returns a tag's version, which is "0" before the first bump. The client caches it for at most ttl, until
// Redis reports a change, so that most calls need no round trip.
//
// Errors: unavailable.
func Version(ctx context.Context, client rueidis.Client, ttl time.Duration, tag string) (string, error) {
	return version(ctx, client, ttl, client.B().Get().Key(tag).Cache())
}

// Watch returns a function that returns a tag's version as [Version] does. Repeated calls are cheaper, because the
// command is built only once.
func Watch(client rueidis.Client, ttl time.Duration, tag string) func(context.Context) (string, error) {
	get := client.B().Get().Key(tag).Cache().Pin()
	return func(ctx context.Context) (string, error) { return version(ctx, client, ttl, get) }
}

func version(ctx context.Context, client rueidis.Client, ttl time.Duration, get rueidis.Cacheable) (string, error) {
	v, err := client.DoCache(ctx, get, ttl).ToString()
	if rueidis.IsRedisNil(err) {
		return "0", nil
	}
	return v, redisx.Err(err)
}
