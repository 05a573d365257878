package saga_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"souk/pkg/errs"
	"souk/pkg/migration"
	"souk/pkg/pgtest"
	"souk/pkg/postgres"
	"souk/pkg/saga"
)

func TestMigrationsUpDownUp(t *testing.T) {
	t.Parallel()
	url, set := pgtest.URL(t), saga.Migrations()
	require.NoError(t, migration.Up(t.Context(), url, set.Name, set.FS))
	require.NoError(t, migration.Down(t.Context(), url, set.Name, set.FS))
	require.NoError(t, migration.Up(t.Context(), url, set.Name, set.FS))
}

func TestShowReturnsTheHistory(t *testing.T) {
	t.Parallel()
	h := setup(t, "history")
	h.services.misbehave(func(_ context.Context, kind, step string, _ *saga.Run) error {
		if kind == "do" && step == "redeem" && h.services.called(kind, step) <= 2 {
			return unavailable()
		}
		return nil
	}, nil)
	h.execute(t, "s1", input{Refuse: "authorize"})
	s := h.waitState(t, "s1", saga.Compensated)
	require.JSONEq(t, `{}`, string(s.Input), "it may contain data that must not be kept")
	require.JSONEq(t, `{"reserve": "done reserve", "redeem": "done redeem"}`, string(s.Results))
	require.Equal(t, "out_of_stock", s.Code)
	require.False(t, s.EndedAt.IsZero())
	type line struct {
		kind, name, state, code string
		attempts                int
	}
	var got []line
	for _, step := range s.Steps {
		got = append(got, line{step.Kind, step.Name, step.State, step.Code, step.Attempts})
	}
	require.Equal(t, []line{
		{"do", "reserve", "done", "", 1},
		{"do", "note", "done", "", 1},
		{"do", "redeem", "done", "", 3},
		{"do", "authorize", "refused", "out_of_stock", 1},
		{"undo", "authorize", "undone", "", 1},
		{"undo", "redeem", "undone", "", 1},
		{"undo", "note", "undone", "", 1},
		{"undo", "reserve", "undone", "", 1},
	}, got)

	_, err := saga.Show(t.Context(), h.pool, "none")
	require.True(t, errs.Is(err, errs.NotFound))
	list, err := saga.List(t.Context(), h.pool, saga.Filter{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	list, err = saga.List(t.Context(), h.pool, saga.Filter{Type: "another"})
	require.NoError(t, err)
	require.Empty(t, list)
}

// The history of a saga without failures is written once, at its end. A failure is written with the next write.
func TestHistoryWithoutFailuresIsWrittenOnce(t *testing.T) {
	t.Parallel()
	h := setup(t, "quiet", func(_ *harness, o *saga.Options) { o.MinBackoff, o.MaxBackoff = time.Hour, time.Hour })
	rows := func(id string) (n int) {
		t.Helper()
		require.NoError(t,
			h.pool.QueryRow(t.Context(), `select count(*) from saga_story where saga_id = $1`, id).Scan(&n))
		return n
	}
	h.execute(t, "s1", input{})
	s := h.waitState(t, "s1", saga.Done)
	require.Equal(t, 1, rows("s1"))
	require.Len(t, s.Steps, len(h.def.Steps))

	last := h.def.Steps[len(h.def.Steps)-1].Name
	h.services.misbehave(func(_ context.Context, kind, step string, _ *saga.Run) error {
		if kind == "do" && step == last {
			return unavailable()
		}
		return nil
	}, nil)
	h.execute(t, "s2", input{})
	eventually(t, func(ctx context.Context) error {
		var err error
		if s, err = saga.Show(ctx, h.pool, "s2"); err == nil && len(s.Steps) == 0 {
			err = errors.New("no history yet")
		}
		return err
	})
	require.Equal(t, saga.Running, s.State)
	require.Len(t, s.Steps, len(h.def.Steps))
	require.Equal(t, "unknown", s.Steps[len(s.Steps)-1].State)
}

// A failed attempt is recorded with the next write, although the saga went on.
func TestFailedAttemptIsRecordedWithTheNextWrite(t *testing.T) {
	t.Parallel()
	h := setup(t, "failures")
	hold := make(chan struct{})
	defer close(hold)
	h.services.misbehave(func(ctx context.Context, kind, step string, _ *saga.Run) error {
		switch {
		case kind == "do" && step == "redeem" && h.services.called(kind, step) <= 2:
			return unavailable()
		case kind == "do" && step == "capture": // nothing is written until then
			select {
			case <-hold:
			case <-ctx.Done():
			}
			return ctx.Err()
		}
		return nil
	}, nil)
	h.execute(t, "s1", input{})
	s, err := saga.Show(t.Context(), h.pool, "s1")
	require.NoError(t, err)
	require.Len(t, s.Steps, 5)
	require.Equal(t, 3, s.Steps[2].Attempts)
}

// Steps join the trace of the saga's start in any process. Without a sampled trace there are no spans.
func TestStepsJoinTheTraceOfTheStart(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
	h := setup(t, "trace", func(_ *harness, o *saga.Options) { o.Tracer = tracer })
	dead, err := saga.NewRunner(h.pool,
		saga.Options{Definitions: []saga.Definition{h.def}, Lease: 10 * time.Millisecond})
	require.NoError(t, err)
	ctx, root := tracer.Start(t.Context(), "root")
	require.NoError(t, h.begin(ctx, dead, "taken over", input{}))
	require.NoError(t, h.begin(t.Context(), dead, "untraced", input{}))
	h.waitState(t, "taken over", saga.Done)
	h.waitState(t, "untraced", saga.Done)
	names := map[string]int{}
	for _, s := range spans.Ended() {
		require.Equal(t, root.SpanContext().TraceID(), s.SpanContext().TraceID())
		require.Equal(t, root.SpanContext().SpanID(), s.Parent().SpanID())
		names[s.Name()]++
	}
	require.Equal(t, map[string]int{
		"saga trace/reserve":   1,
		"saga trace/redeem":    1,
		"saga trace/authorize": 1,
		"saga trace/capture":   1,
		"saga trace/commit":    1,
	}, names)
}

// Lost database connections cause retries and nothing else.
func TestSagasSurviveLostConnections(t *testing.T) {
	t.Parallel()
	h := setup(t, "connections", func(_ *harness, o *saga.Options) { o.MaxAttempts, o.Lease = 1000, shortLease })
	other, err := postgres.Open(t.Context(), postgres.Config{URL: h.url, MaxConns: 1})
	require.NoError(t, err)
	defer other.Close()
	const n = 60
	var wg sync.WaitGroup
	ids := make([]string, n)
	for i := range ids {
		ids[i] = "s" + string(rune('A'+i))
		in := input{Refuse: []string{"", "authorize", "confirm"}[i%3]}
		wg.Go(func() {
			require.True(t, keepTrying(t, func(ctx context.Context) error {
				err := h.begin(ctx, h.runner, ids[i], in)
				if postgres.IsUnique(err, "") {
					return nil // by an earlier attempt, whose answer was lost
				}
				return err
			}))
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			_, err := h.runner.Execute(ctx, ids[i])
			if err != nil {
				require.Contains(t, []errs.Code{errs.Unavailable, errs.Timeout}, errs.CodeOf(err))
			}
		})
		if i%10 == 9 {
			_, err := other.Exec(
				t.Context(),
				`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
			)
			require.NoError(t, err)
		}
	}
	wg.Wait()
	for _, id := range ids {
		eventually(t, func(ctx context.Context) error {
			s, err := saga.Show(ctx, h.pool, id)
			if err == nil && s.State != saga.Done && s.State != saga.Compensated {
				err = errors.New(string(s.State) + " " + s.LastError)
			}
			return err
		})
	}
	h.verify(t, ids...)
}
