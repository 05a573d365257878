package productcsv_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/productcsv"
)

// endless is a file that is generated while it is read: a beginning, then rows of one kind.
type endless struct {
	rest []byte
	row  func(n int) string
	n    int
	left int64
}

func (e *endless) Read(p []byte) (int, error) {
	for len(e.rest) == 0 {
		if e.left <= 0 {
			return 0, io.EOF
		}
		e.n++
		e.rest = []byte(e.row(e.n))
		e.left -= int64(len(e.rest))
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// The test measures the heap while it reads the file, so it can't run in parallel with others.
//
//nolint:paralleltest // see above
func TestMemoryStaysFlat(t *testing.T) {
	const size = 100 << 20
	good := func(n int) string {
		return fmt.Sprintf("h%d,Title %d,\"<p>%s</p>\",Casa,Home,,true,,,,,S%d,3,9.90,,,active\n", n, n,
			strings.Repeat("x", 500), n)
	}
	for name, c := range map[string]struct {
		begin string
		row   func(int) string
		check func(t *testing.T, products, rejected int)
	}{
		"good rows": {row: good, check: func(t *testing.T, products, rejected int) {
			t.Helper()
			require.Greater(t, products, 150_000)
			require.Zero(t, rejected)
		}},
		"a quote that is never closed": {begin: "a,\"A,,Casa,,,,,,,,A,,1,,,\n", row: func(n int) string {
			return fmt.Sprintf("h%d,%s,,Casa,Home,,true,,,,,S%d,3,9.90,,,active\n", n, strings.Repeat("x", 400), n)
		}, check: func(t *testing.T, products, rejected int) {
			t.Helper()
			require.Greater(t, products, 150_000)
			require.Equal(t, 1, rejected)
		}},
		"one line": {begin: "a,", row: func(int) string {
			return strings.Repeat("x",
				1<<16)
		}, check: func(t *testing.T, products, rejected int) {
			t.Helper()
			require.Zero(t, products)
			require.Equal(t, 1, rejected)
		}},
		"one quoted field": {begin: "a,\"", row: func(int) string {
			return strings.Repeat("x",
				1<<16)
		}, check: func(t *testing.T, products, rejected int) {
			t.Helper()
			require.Zero(t, products)
			require.Equal(t, 1, rejected)
		}},
		"bad rows alone": {begin: "a,A,,Casa,,,,,,,,A,,1,,,\n", row: func(int) string { return "short," + strings.Repeat("x", 500) + "\n" }, check: func(t *testing.T, products, rejected int) {
			t.Helper()
			require.Equal(t, 1, products)
			require.Greater(t, rejected, 150_000)
		}},
		"one product": {begin: "a,A,,Casa,,,,,,,,A,,1,,,\n", row: func(n int) string {
			return fmt.Sprintf("a,,%s,,,,,,,,,S%d,,1,,,\n", strings.Repeat("x", 100_000), n)
		}, check: func(t *testing.T, products, rejected int) {
			t.Helper()
			require.Equal(t, 1, products)
			require.Greater(t, rejected, 900)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			file := &endless{rest: []byte(header + c.begin), row: c.row, left: size}
			r, err := productcsv.NewReader(file, "BRL")
			require.NoError(t, err)
			var most uint64
			products, rejected := 0, 0
			for calls := 0; ; calls++ {
				p, refused, err := r.Next()
				rejected += len(refused)
				if p != nil {
					products++
				}
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				if calls%20_000 == 0 {
					most = max(most, heap())
				}
			}
			most = max(most, heap())
			require.GreaterOrEqual(t, r.BytesRead(), int64(size))
			c.check(t, products, rejected)
			require.Less(t, int64(most)-int64(before), int64(12<<20), "bytes on the heap")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
