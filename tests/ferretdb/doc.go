// Package ferretdb runs package document's suite on FerretDB, which speaks MongoDB's protocol and can be embedded. It
// is a module of its own, because FerretDB takes minutes to build: make ferretdb.
//
// FerretDB 1.24 with SQLite is no MongoDB: its conditional updates are not atomic, so that several writers of one
// revision can win, and it ignores write and read concerns. documenttest.RunConcurrent is therefore left out here. It
// runs on PostgreSQL (make test), and on a MongoDB server with SOUK_TEST_MONGODB_URL.
//
// The command serve serves FerretDB for trials by hand. It is not for production.
package ferretdb

import (
	"context"
	"log/slog"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// Start serves FerretDB at a TCP address, with its data in a directory, until ctx ends. It returns the URL, and a
// channel that is closed at the end.
func Start(ctx context.Context, addr, dir string) (url string, done <-chan struct{}, err error) {
	f, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: addr},
		Handler:   "sqlite",
		SQLiteURL: "file:" + dir + "/",
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return "", nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = f.Run(ctx) // it returns nil
	}()
	return f.MongoDBURI(), ended, nil
}
