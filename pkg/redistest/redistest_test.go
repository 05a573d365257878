package redistest_test

import (
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"souk/pkg/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

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
	client := redistest.Open(t, private.Config())
	for _, node := range client.Nodes() {
		require.NoError(t, node.Do(t.Context(), node.B().Flushall().Build()).Error())
	}
	require.NoError(t, private.Stop(t.Context()))
	require.Error(t, client.Do(t.Context(), client.B().Get().Key("k").Build()).Error())
	require.NoError(t, private.Stop(t.Context()), "twice is allowed")
}

func TestMortalClientDiesAtACommand(t *testing.T) {
	t.Parallel()
	client := redistest.Client(t)
	for lost, want := range map[bool]int64{false: 1, true: 2} {
		key := redistest.Key(t, "k")
		m := redistest.NewMortal(client, 2, lost)
		incr := func() rueidis.Completed { return client.B().Incr().Key(key).Build() }
		require.NoError(t, m.Do(t.Context(), incr()).Error())
		require.False(t, m.Died())
		for _, res := range m.DoMulti(t.Context(), incr(), incr()) {
			require.Error(t, res.Error())
		}
		require.True(t, m.Died())
		n, err := client.Do(t.Context(), client.B().Get().Key(key).Build()).AsInt64()
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
}

func ExampleClient() {
	_ = func(t *testing.T) { // a test
		client := redistest.Client(t)
		err := client.Do(t.Context(), client.B().Get().Key(redistest.Key(t, "cart")).Build()).Error()
		require.True(t, rueidis.IsRedisNil(err))
	}
	// Output:
}
