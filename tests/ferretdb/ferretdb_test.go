package ferretdb_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/document/documenttest"
	"souk/tests/ferretdb"
)

func TestDocumentsPassSuiteWithoutConcurrentWriters(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	url, done, err := ferretdb.Start(ctx, "127.0.0.1:0", t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { // after the cleanups of the suite's tests
		cancel()
		<-done
	})
	documenttest.RunMongo(t, url, false)
}
