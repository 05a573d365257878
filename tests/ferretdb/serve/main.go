// Command serve serves FerretDB until it is interrupted: serve [address [directory]].
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"souk/tests/ferretdb"
)

func main() {
	addr, dir := "127.0.0.1:27017", os.TempDir()
	if len(os.Args) > 1 {
		addr = os.Args[1]
	}
	if len(os.Args) > 2 {
		dir = os.Args[2]
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	url, done, err := ferretdb.Start(ctx, addr, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(url)
	<-done
}
