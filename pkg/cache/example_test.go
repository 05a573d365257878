package cache_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/rueidis"

	"souk/pkg/cache"
	"souk/pkg/errs"
	"souk/pkg/redisx"
)

func ExampleCache_GetOrLoad() {
	ctx := context.Background()
	client, err := redisx.Open(ctx, redisx.Config{Addr: "127.0.0.1:1"}) // no Redis listens there
	fmt.Println(errs.CodeOf(err))
	_ = client

	use := func(client rueidis.Client) error {
		titles, err := cache.New(client, cache.Options[string]{Name: "titles", TTL: time.Minute})
		if err != nil {
			return err
		}
		title, err := titles.GetOrLoad(ctx, "prd_1", func(context.Context) (string, error) {
			return "a title from the database", nil
		})
		if err != nil {
			return err
		}
		fmt.Println(title)
		return titles.Invalidate(ctx, "prd_1") // after the database has changed
	}
	_ = use
	// Output: unavailable
}
