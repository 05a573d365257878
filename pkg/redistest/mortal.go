package redistest

import (
	"context"
	"errors"
	"sync"

	"github.com/redis/rueidis"
)

// errDead is the error of a command of a dead process.
var errDead = errors.New("the process has died")

// Mortal is a client of a process that dies at a command: that and all later ones fail. Commands with client-side caching
// don't count.
type Mortal struct {
	rueidis.Client

	mu   sync.Mutex
	left int
	lost bool
}

// NewMortal returns a client that dies at its n-th command, counted from 1: before it runs, or with lost set, after it
// has run and before the answer arrives.
func NewMortal(client rueidis.Client, n int, lost bool) *Mortal {
	return &Mortal{Client: client, left: n, lost: lost}
}

// Died reports whether the client has died.
func (m *Mortal) Died() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left <= 0
}

// next returns whether the next command runs and whether its answer arrives.
func (m *Mortal) next() (runs, answered bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left--
	return m.left > 0 || m.left == 0 && m.lost, m.left > 0
}

// Do implements rueidis.Client.
func (m *Mortal) Do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	runs, answered := m.next()
	res := rueidis.NewErrorResult(errDead)
	if runs {
		if got := m.Client.Do(ctx, cmd); answered {
			res = got
		}
	}
	return res
}

// DoMulti implements rueidis.Client. The commands run one after the other.
func (m *Mortal) DoMulti(ctx context.Context, cmds ...rueidis.Completed) []rueidis.RedisResult {
	out := make([]rueidis.RedisResult, len(cmds))
	for i, cmd := range cmds {
		out[i] = m.Do(ctx, cmd)
	}
	return out
}
