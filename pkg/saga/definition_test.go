package saga_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"souk/pkg/saga"
)

func TestNewRunnerRefusesInvalidOptions(t *testing.T) {
	t.Parallel()
	do := func(context.Context, *saga.Run) error { return nil }
	batch := func(*saga.Run, *pgx.Batch) error { return nil }
	pivot := saga.Step{Name: "pivot", Pivot: true, Batch: batch}
	for name, c := range map[string]struct {
		def  saga.Definition
		want string
	}{
		"no type":    {saga.Definition{Version: 1, Steps: []saga.Step{pivot}}, "no type"},
		"no version": {saga.Definition{Type: "x", Steps: []saga.Step{pivot}}, "version 0"},
		"no pivot": {
			saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{{Name: "a", Do: do}}}, "no step is the pivot",
		},
		"two pivots": {
			saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{pivot, {Name: "b", Pivot: true, Do: do}}},
			"both the pivot",
		},
		"same name": {
			saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{pivot, {Name: "pivot", Do: do}}}, "two steps",
		},
		"no name": {saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{pivot, {Do: do}}}, "no name"},
		"neither": {
			saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{{Name: "a"}, pivot}}, "either Do or Batch",
		},
		"both": {
			saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{{Name: "a", Do: do, Batch: batch}, pivot}},
			"either Do or Batch",
		},
		"written call": {
			saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{{Name: "a", Do: do, Written: func() {}}, pivot}},
			"Written belongs to Batch",
		},
		"undo of a batch": {
			saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{{Name: "a", Batch: batch, Undo: do}, pivot}},
			"UndoBatch to Batch",
		},
		"undo after pivot": {
			saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{pivot, {Name: "b", Do: do, Undo: do}}},
			"cannot be undone",
		},
		"undo of the pivot": {saga.Definition{
			Type: "x", Version: 1, Steps: []saga.Step{{Name: "a", Pivot: true, Batch: batch, UndoBatch: batch}},
		}, "no UndoBatch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := saga.NewRunner(nil, saga.Options{Definitions: []saga.Definition{c.def}})
			require.ErrorContains(t, err, c.want)
		})
	}
	good := saga.Definition{Type: "x", Version: 1, Steps: []saga.Step{pivot}}
	_, err := saga.NewRunner(nil, saga.Options{Definitions: []saga.Definition{good, good}})
	require.ErrorContains(t, err, "defined twice")
	_, err = saga.NewRunner(nil, saga.Options{Owner: "a#b"})
	require.Error(t, err)
}

func TestFailpointsAreNamedInTheOrderOfASaga(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"x.after_start", "x.after_claim",
		"x.before_reserve", "x.after_reserve", "x.before_checkpoint", "x.after_checkpoint",
		"x.before_confirm", "x.after_confirm", "x.before_commit", "x.after_commit",
		"x.before_compensating", "x.after_compensating",
		"x.before_undo_confirm", "x.after_undo_confirm", "x.before_undo_reserve", "x.after_undo_reserve",
		"x.before_release", "x.after_release", "x.before_park", "x.after_park", "x.before_end", "x.after_end",
	}, saga.Failpoints(newParticipants(nil).remote("x")))
}
