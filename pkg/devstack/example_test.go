package devstack_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"souk/pkg/devstack"
)

func Example() {
	dir, err := devstack.TempDir()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	lock, err := devstack.Lock(dir)
	if err != nil {
		fmt.Println(err) // another souk dev (pid …) uses this data directory
		return
	}
	ctx := context.Background()
	redis, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(dir, "redis"), Restart: true})
	if err != nil {
		fmt.Println(err) // redis: redis-server was not found: apt-get install redis-server
		return
	}
	fmt.Println(filepath.Base(redis.Addr()))
	fmt.Println(errors.Join(redis.Stop(ctx), lock.Unlock()))
	// Output:
	// redis.sock
	// <nil>
}
