package ratelimit_test

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"souk/pkg/ratelimit"
)

func ExampleLimiter_Allow() {
	var client rueidis.Client // from redisx.Open
	limiter, err := ratelimit.New(client, ratelimit.Options{Prefix: "api", Rate: 20, Burst: 40})
	if err != nil {
		fmt.Println(err)
		return
	}
	serve := func(ctx context.Context, userID string) error {
		d, err := limiter.Allow(ctx, userID)
		if err != nil {
			return nil //nolint:nilerr // Redis is down: allow the request, and log
		}
		return d.Err()
	}
	_ = serve
	// Output:
}
