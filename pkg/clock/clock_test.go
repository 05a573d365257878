package clock_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/clock"
)

func TestSystemIsInUTCAndMicroseconds(t *testing.T) {
	t.Parallel()
	var c clock.Clock = clock.System{}
	before := time.Now().Truncate(time.Microsecond)
	now := c.Now()
	require.False(t, now.Before(before))
	require.Equal(t, time.UTC, now.Location())
	require.Zero(t, now.Nanosecond()%1000, "finer than PostgreSQL's precision")
}

func TestManualMovesOnlyWhenAdvanced(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("BRT", -3*3600))
	c := clock.NewManual(start)
	require.True(t, start.Equal(c.Now()))
	require.Equal(t, time.UTC, c.Now().Location())
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { c.Advance(time.Second) })
	}
	wg.Wait()
	require.Equal(t, 10*time.Second, c.Now().Sub(start))
}

func ExampleManual() {
	c := clock.NewManual(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	c.Advance(90 * time.Minute)
	fmt.Println(c.Now().Format(time.TimeOnly))
	// Output: 01:30:00
}
