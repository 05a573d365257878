package natsrpc

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 10 * time.Second

// line is a gathering connection and its other end, where a write ends when it is read.
func line(t *testing.T) (g *gathering, far net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	g = gather(near)
	t.Cleanup(func() {
		require.NoError(t, far.Close())
		require.NoError(t, g.Close())
	})
	require.NoError(t, far.SetDeadline(time.Now().Add(patience)))
	return g, far
}

// write writes without waiting for the other end.
func write(t *testing.T, g *gathering, text string) {
	t.Helper()
	n, err := g.Write([]byte(text))
	require.NoError(t, err)
	require.Equal(t, len(text), n)
}

func TestWhatIsReadyMeanwhileIsSentTogether(t *testing.T) {
	t.Parallel()
	g, far := line(t)
	write(t, g, "one")
	var first [1]byte
	_, err := io.ReadFull(far, first[:]) // the first piece is on its way now
	require.NoError(t, err)
	write(t, g, ",two")
	write(t, g, ",three")
	var rest [64]byte
	n, err := far.Read(rest[:])
	require.NoError(t, err)
	require.Equal(t, "one", string(first[:])+string(rest[:n]))
	n, err = far.Read(rest[:])
	require.NoError(t, err)
	require.Equal(t, ",two,three", string(rest[:n]))
}

func TestCloseSendsWhatWaits(t *testing.T) {
	t.Parallel()
	g, far := line(t)
	write(t, g, "last words")
	closed := make(chan error, 1)
	go func() { closed <- g.Close() }()
	got, err := io.ReadAll(far)
	require.NoError(t, err)
	require.Equal(t, "last words", string(got))
	require.NoError(t, <-closed)
	_, err = g.Write([]byte("more"))
	require.ErrorIs(t, err, net.ErrClosed)
	require.NoError(t, g.Close(), "again")
}

func TestCloseDoesNotWaitForWhoTakesNothing(t *testing.T) {
	t.Parallel()
	g, _ := line(t)
	write(t, g, "nobody reads this")
	closed := make(chan error, 1)
	go func() { closed <- g.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(patience):
		require.Fail(t, "it waits")
	}
}

func TestAFailedWriteEndsTheConnection(t *testing.T) {
	t.Parallel()
	g, far := line(t)
	require.NoError(t, far.Close())
	write(t, g, "lost")
	_, err := g.Read(make([]byte, 1))
	require.Error(t, err)
	<-g.done
	_, err = g.Write([]byte("more"))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// TestWhatWaitsIsBounded sends more than may wait to who reads only later, and loses nothing.
func TestWhatWaitsIsBounded(t *testing.T) {
	t.Parallel()
	g, far := line(t)
	block := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	blocks := 8 * gatherMost / len(block)
	most, full, sent := 0, make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for range blocks {
			_, werr := g.Write(block)
			err = errors.Join(err, werr)
			g.mu.Lock()
			if most <= gatherMost && len(g.waiting) > gatherMost {
				close(full)
			}
			most = max(most, len(g.waiting))
			g.mu.Unlock()
		}
		sent <- err
	}()
	select {
	case <-full:
	case <-time.After(patience):
		require.Fail(t, "it waits too soon")
	}
	got := make([]byte, blocks*len(block))
	_, err := io.ReadFull(far, got)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat(block, blocks), got)
	require.NoError(t, <-sent)
	require.LessOrEqual(t, most, gatherMost+len(block))
}
