package redistest_test

import (
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClientsShareServerAndKeysDiffer(t *testing.T) {
	t.Parallel()
	client, key := redistest.Client(t), redistest.Key(t, "k")
	require.NoError(t, client.Do(t.Context(), client.B().Set().Key(key).Value("v").Build()).Error())
	v, err := redistest.Client(t).Do(t.Context(), client.B().Get().Key(key).Build()).ToString()
	require.NoError(t, err)
	require.Equal(t, "v", v)
	require.NotEqual(t, key, redistest.Key(t, "k"))
}

func TestPrivateServerCanBeFlushedAndStopped(t *testing.T) {
	t.Parallel()
	private := redistest.Private(t)
	client := redistest.Open(t, private.Addr())
	require.NoError(t, client.Do(t.Context(), client.B().Flushall().Build()).Error())
	require.NoError(t, private.Stop(t.Context()))
	require.Error(t, client.Do(t.Context(), client.B().Ping().Build()).Error())
}

func ExampleClient() {
	_ = func(t *testing.T) { // a test
		client := redistest.Client(t)
		err := client.Do(t.Context(), client.B().Get().Key(redistest.Key(t, "cart")).Build()).Error()
		require.True(t, rueidis.IsRedisNil(err))
	}
	// Output:
}
