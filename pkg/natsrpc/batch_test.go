package natsrpc

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/waittest"
)

// pipe returns a batchConn and its other end. A write to the batchConn completes when the other end reads it.
func pipe(t *testing.T) (c *batchConn, far net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	c = newBatchConn(near)
	t.Cleanup(func() {
		require.NoError(t, far.Close())
		require.NoError(t, c.Close())
	})
	require.NoError(t, far.SetDeadline(time.Now().Add(waittest.Timeout)))
	return c, far
}

// write writes without waiting for the other end.
func write(t *testing.T, c *batchConn, text string) {
	t.Helper()
	n, err := c.Write([]byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), n)
}

func TestWritesDuringASendAreSentInOneBatch(t *testing.T) {
	t.Parallel()
	c, far := pipe(t)
	write(t, c, "one")
	var first [1]byte
	_, err := io.ReadFull(far, first[:]) // the first batch is being sent now
	require.NoError(t, err)
	write(t, c, ",two")
	write(t, c, ",three")
	var rest [64]byte
	n, err := far.Read(rest[:])
	require.NoError(t, err)
	require.Equal(t, "one", string(first[:])+string(rest[:n]))
	n, err = far.Read(rest[:])
	require.NoError(t, err)
	require.Equal(t, ",two,three", string(rest[:n]))
}

func TestCloseSendsPendingBytes(t *testing.T) {
	t.Parallel()
	c, far := pipe(t)
	write(t, c, "last words")
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	got, err := io.ReadAll(far)
	require.NoError(t, err)
	require.Equal(t, "last words", string(got))
	require.NoError(t, waittest.Receive(t, closed))
	_, err = c.Write([]byte("more"))
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, c.Close(), "again")
}

func TestCloseDoesNotBlockOnAPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	c, _ := pipe(t)
	write(t, c, "nobody reads this")
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	require.NoError(t, waittest.Receive(t, closed))
}

func TestFailedWriteEndsTheConnection(t *testing.T) {
	t.Parallel()
	c, far := pipe(t)
	require.NoError(t, far.Close())
	write(t, c, "lost")
	_, err := c.Read(make([]byte, 1))
	require.Error(t, err)
	waittest.Receive(t, c.done)
	_, err = c.Write([]byte("more"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// TestPendingBytesAreBounded writes more than may be pending before the peer starts to read. No byte is lost.
func TestPendingBytesAreBounded(t *testing.T) {
	t.Parallel()
	c, far := pipe(t)
	block := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	blocks := 8 * maxPending / len(block)
	most, full, sent := 0, make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for range blocks {
			_, werr := c.Write(block)
			err = errors.Join(err, werr)
			c.mu.Lock()
			if most <= maxPending && len(c.pending) > maxPending {
				close(full)
			}
			most = max(most, len(c.pending))
			c.mu.Unlock()
		}
		sent <- err
	}()
	waittest.Receive(t, full)
	got := make([]byte, blocks*len(block))
	_, err := io.ReadFull(far, got)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat(block, blocks), got)
	require.NoError(t, waittest.Receive(t, sent))
	require.LessOrEqual(t, most, maxPending+len(block))
}
