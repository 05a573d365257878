package cache

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"souk/pkg/redisx"
)

// Tag names something that cached answers depend on: Tag("product", id) is one product,
// Tag("catalog") all lists of products. Whoever changes it bumps it; an answer is good as long as its
// tags' versions are those that it was made with.
func Tag(kind string, ids ...string) string {
	return strings.Join(append([]string{"souk:tag", kind}, ids...), ":")
}

// Bump gives tags new versions, after the change was committed. It fails with errs.Unavailable while
// Redis is away.
func Bump(ctx context.Context, client rueidis.Client, tags ...string) error {
	if len(tags) == 0 {
		return nil
	}
	cmds := make(rueidis.Commands, 0, len(tags)+1)
	for _, tag := range tags {
		cmds = append(cmds, client.B().Incr().Key(tag).Build())
	}
	// Redis sends the notice of a change after the reply to the command that made it. One more reply means
	// that this process has seen the notice.
	cmds = append(cmds, client.B().Exists().Key(tags[0]).Build())
	var all []error
	for _, r := range client.DoMulti(ctx, cmds...) {
		all = append(all, redisx.Err(r.Error()))
	}
	return errors.Join(all...)
}

// Version returns a tag's version, "0" before the first bump. It is kept on the client's side, for at
// most ttl, until Redis says that it changed: asking costs no round trip. It fails with
// errs.Unavailable while Redis is away.
func Version(ctx context.Context, client rueidis.Client, ttl time.Duration, tag string) (string, error) {
	return version(ctx, client, ttl, client.B().Get().Key(tag).Cache())
}

// Watch returns what tells a tag's version as [Version] does, for who asks again and again: the command is made once.
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
