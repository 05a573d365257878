package redisx_test

import (
	"context"
	"fmt"

	"souk/pkg/errs"
	"souk/pkg/redisx"
)

func ExampleOpen() {
	cfg := redisx.Default()
	cfg.Addr = "127.0.0.1:1" // or the path of a unix socket
	client, err := redisx.Open(context.Background(), cfg)
	if err != nil {
		fmt.Println(errs.CodeOf(err), errs.From(err).RetryAfter)
		return
	}
	defer client.Close()
	// Output: unavailable 1s
}
