package saga

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/pgtest"
)

// A former owner's write in the same flush as the new owner's is refused, in either order.
func TestFormerOwnerIsFencedInASharedFlush(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t, Migrations())
	s := newStore(pool, "me#1")
	defer s.close()
	_, err := pool.Exec(
		t.Context(),
		`insert into saga (id, type, def_version, input, state, step, epoch, owner, lease_until, next_run_at, deadline)
		values ('a', 't', 1, '{}', 'running', 4, 2, 'me#1', now() + '1h', now(), now() + '1h')`,
	)
	require.NoError(t, err)
	stale := &write{id: "a", epoch: 1, from: Running, low: -1, high: anyStep, state: Compensating, step: 2}
	fresh := &write{id: "a", epoch: 2, from: Running, low: -1, high: anyStep, state: Running, step: 5}
	for _, ws := range [][]*write{{stale, fresh}, {fresh, stale}} {
		_, err = pool.Exec(t.Context(), `update saga set state = 'running', step = 4`)
		require.NoError(t, err)
		results, err := s.writeMany(t.Context(), ws)
		require.NoError(t, err)
		for i, w := range ws {
			require.Equal(t, w == fresh, results[i].Value, "epoch %d", w.epoch)
		}
		var state string
		var step int
		require.NoError(t, pool.QueryRow(t.Context(), `select state, step from saga`).Scan(&state, &step))
		require.Equal(t, "running", state)
		require.Equal(t, 5, step)
	}
}
