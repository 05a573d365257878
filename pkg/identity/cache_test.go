package identity

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	const size = 8
	c := newCache[int, int](size)
	fresh := func(int) bool { return false }
	for i := range 10 * size {
		c.put(i, i, fresh)
		require.LessOrEqual(t, len(c.entries), size)
		got, ok := c.get(i)
		require.True(t, ok, "what was put last is there")
		require.Equal(t, i, got)
	}
}

func TestCacheDropsStaleEntriesFirst(t *testing.T) {
	t.Parallel()
	c := newCache[int, int](4)
	for i := range 4 {
		c.put(i, i, nil)
	}
	c.put(4, 4, func(v int) bool { return v < 2 })
	require.Equal(t, map[int]int{2: 2, 3: 3, 4: 4}, c.entries)
}
