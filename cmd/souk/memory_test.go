package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadWatch(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	looks := []struct {
		rate float64
		want loadChange
	}{
		{0, unchanged},
		{47 * mb, unchanged}, // some requests
		{48 * mb, becameBusy},
		{300 * mb, unchanged},
		{23 * mb, unchanged}, // a pause
		{24 * mb, unchanged}, // and on
		{10 * mb, unchanged},
		{10 * mb, cameToRest},
		{10 * mb, unchanged},
		{40 * mb, unchanged},
		{60 * mb, becameBusy},
		{10 * mb, unchanged},
		{0, cameToRest},
	}
	var w loadWatch
	for i, l := range looks {
		require.Equal(t, l.want, w.next(l.rate), "look %d, %.0f MB/s", i, l.rate/mb)
	}
	for range stillAfter - restAfter - 1 {
		require.Equal(t, unchanged, w.next(0))
	}
	require.Equal(t, stillAtRest, w.next(0))
	require.Equal(t, unchanged, w.next(0), "once")
}
