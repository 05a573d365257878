package tests

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSameKeyWhoseCartIsGone: of two requests with one key the slower one finds the cart empty, because the faster one
// ordered it. Both get the order.
func TestSameKeyWhoseCartIsGone(t *testing.T) {
	t.Parallel()
	k := setup(t)
	c := k.shopping()
	var n atomic.Int32
	waiting, goOn := make(chan struct{}), make(chan struct{})
	k.before = func(method string) {
		if method == "GetLines" && n.Add(1) == 1 { // it has looked for an order with its key already
			close(waiting)
			<-goOn
		}
	}
	var slowID string
	var slowErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		o, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
		slowID, slowErr = o.GetId(), err
	})
	<-waiting
	fast, err := k.checkout(c, "k", checkoutRequest("tok_ok"))
	require.NoError(t, err)
	close(goOn)
	wg.Wait()
	require.NoError(t, slowErr)
	require.Equal(t, fast.GetId(), slowID)
}
