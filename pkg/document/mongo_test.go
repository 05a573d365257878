package document_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"souk/pkg/document"
	"souk/pkg/document/documenttest"
	"souk/pkg/errs"
)

// The whole suite, on a MongoDB server. make ferretdb runs most of it without one.
func TestMongoPassesSuite(t *testing.T) {
	url := os.Getenv("SOUK_TEST_MONGODB_URL")
	if url == "" {
		t.Skip("SOUK_TEST_MONGODB_URL is not set")
	}
	documenttest.RunMongo(t, url, true)
}

func TestUnreachableMongoIsUnavailable(t *testing.T) {
	t.Parallel()
	// Port 1 refuses connections.
	m, err := document.OpenMongo(document.MongoOptions{
		URL: "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", Database: "none", Logger: zap.NewNop(),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer func() { require.NoError(t, m.Close(ctx)) }()
	c, err := notes(m.Store())
	require.NoError(t, err)
	_, err = c.Get(ctx, "n1")
	require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
	_, err = c.Insert(ctx, note{ID: "n1"})
	require.True(t, errs.Is(err, errs.Unavailable), "%v", err)
	require.True(t, errs.Is(c.Ensure(ctx), errs.Unavailable))
	require.True(t, errs.Is(m.Ready(ctx), errs.Unavailable))
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = c.Get(short, "n1")
	require.True(t, errs.Is(err, errs.Unavailable), "no server was found in the time: %v", err)
}

func TestWrongMongoURLIsInvalid(t *testing.T) {
	t.Parallel()
	_, err := document.OpenMongo(document.MongoOptions{URL: "postgres://x/y", Database: "x", Logger: zap.NewNop()})
	require.True(t, errs.Is(err, errs.Invalid), "%v", err)
}
