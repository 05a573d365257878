package cache_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/cache"
	"souk/pkg/redistest"
	"souk/pkg/waittest"
)

func TestBumpChangesTheVersion(t *testing.T) {
	t.Parallel()
	reader, writer := redistest.Client(t), redistest.Client(t)
	tag := cache.Tag("thing", redistest.Key(t, "x"))
	before, err := cache.Version(t.Context(), reader, time.Minute, tag)
	require.NoError(t, err)
	require.Equal(t, "0", before)
	require.NoError(t, cache.Bump(t.Context(), writer, tag, cache.Tag("thing", redistest.Key(t, "y"))))
	waittest.Until(t, func() bool {
		after, err := cache.Version(t.Context(), reader, time.Minute, tag)
		return err == nil && after == "1"
	}, "another process does not see the bump")
	version := cache.Watch(reader, time.Minute, tag)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 100 {
				v, err := version(t.Context())
				require.NoError(t, err)
				require.Equal(t, "1", v, "it may be called repeatedly and concurrently")
			}
		})
	}
	readers.Wait()
	require.NoError(t, cache.Bump(t.Context(), writer, tag))
	waittest.Until(t, func() bool {
		after, err := version(t.Context())
		return err == nil && after == "2"
	}, "the watch does not see the bump")
	require.Equal(t, "souk:tag:product:prd_1", cache.Tag("product", "prd_1"))
}

// The tags of one bump may be on several nodes of a cluster.
func TestBumpReturnsWhenThisProcessSeesAllVersions(t *testing.T) {
	t.Parallel()
	client := redistest.Client(t)
	for range 20 {
		var tags []string
		for i := range 20 {
			tags = append(tags, cache.Tag("thing", redistest.Key(t, strconv.Itoa(i))))
		}
		versions := func() (out []string) {
			for _, tag := range tags {
				v, err := cache.Version(t.Context(), client, time.Minute, tag)
				require.NoError(t, err)
				out = append(out, v)
			}
			return out
		}
		require.Equal(t, slices.Repeat([]string{"0"}, len(tags)), versions())
		require.NoError(t, cache.Bump(t.Context(), client, tags...))
		require.Equal(t, slices.Repeat([]string{"1"}, len(tags)), versions())
	}
}
