package setting_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/flag"
	"souk/pkg/setting"
	"souk/pkg/waittest"
)

// service is a settings service that may be away.
type service struct {
	mu         sync.Mutex
	away       bool
	snapshot   *settingsv1.GetSnapshotResponse
	configured []map[string]*structpb.Value // of each call that reached it
	calls      int
	wake       func() // calls the client; nil: it does not listen
}

func (s *service) GetSnapshot(
	ctx context.Context, r *settingsv1.GetSnapshotRequest, _ ...grpc.CallOption,
) (*settingsv1.GetSnapshotResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("the call has no timeout")
	}
	if s.away {
		return nil, errors.New("away")
	}
	s.configured = append(s.configured, r.GetConfigured())
	return proto.CloneOf(s.snapshot), nil
}

func (s *service) listen(wake func()) (func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = wake
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.wake = nil
	}, nil
}

// set changes the snapshot, as an operator does, and wakes the client if wakes.
func (s *service) set(wakes bool, values map[string]any, flags ...*settingsv1.Flag) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot = &settingsv1.GetSnapshotResponse{Values: map[string]*structpb.Value{}, Flags: flags}
	for key, v := range values {
		s.snapshot.Values[key], _ = structpb.NewValue(v)
	}
	if wakes {
		s.wake()
	}
}

func (s *service) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// run runs a client in a synctest bubble, with a value derived from its settings. After synctest.Wait, everything that
// can happen without time has happened.
func run(t *testing.T, s *service, f func(c *setting.Client, unpaid func() int64, logs *observer.ObservedLogs)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		configured := setting.Values{}
		setting.OrderMaxUnpaid.Put(configured, 4)
		c, err := setting.NewClient(setting.Options{
			Service:    s,
			Listen:     s.listen,
			Configured: configured,
			Logger:     zap.New(core),
			Metrics:    prometheus.NewRegistry(),
		})
		require.NoError(t, err)
		view := setting.Derive(c, func(v setting.Values) int64 { return setting.OrderMaxUnpaid.Of(v) })
		require.EqualValues(t, 4, view.Load(), "what is configured applies at once")
		require.Error(t, c.Ready(context.Background()))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		synctest.Wait()
		f(c, view.Load, logs)
		cancel()
		require.NoError(t, waittest.Receive(t, done))
		require.Nil(t, s.wake, "it no longer listens")
	})
}

// pass lets time pass in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func onOff(on string) *settingsv1.Flag {
	return &settingsv1.Flag{
		Key: "f", Enabled: true, DefaultVariant: on,
		Variants: map[string]*structpb.Value{"on": structpb.NewBoolValue(true), "off": structpb.NewBoolValue(false)},
	}
}

func evaluate(c *setting.Client) any {
	got, _ := c.Flags().Evaluate("f", flag.Target{})
	return got.Value
}

func TestChangesApplyWhenTheClientIsWoken(t *testing.T) {
	t.Parallel()
	s := &service{snapshot: &settingsv1.GetSnapshotResponse{}}
	run(t, s, func(c *setting.Client, unpaid func() int64, _ *observer.ObservedLogs) {
		require.NoError(t, c.Ready(context.Background()))
		require.Len(t, s.configured, 1)
		require.InDelta(
			t,
			4,
			s.configured[0]["order.max_unpaid"].GetNumberValue(),
			0,
			"the service learns what is configured",
		)
		require.EqualValues(t, 4, unpaid())
		require.Nil(t, evaluate(c))
		changes := 0
		c.OnChange(func() { changes++ })
		s.set(true, map[string]any{"order.max_unpaid": 9}, onOff("on"))
		synctest.Wait()
		require.EqualValues(t, 9, unpaid())
		require.Equal(t, true, evaluate(c))
		s.set(true, nil, onOff("off"))
		synctest.Wait()
		require.EqualValues(t, 4, unpaid(), "taken back")
		require.Equal(t, false, evaluate(c))
		pass(time.Minute)
		require.Equal(t, 2, changes)
		require.Empty(t, s.configured[1], "once is enough")
	})
}

func TestLostEventIsMadeUpForByThePoll(t *testing.T) {
	t.Parallel()
	s := &service{snapshot: &settingsv1.GetSnapshotResponse{}}
	run(t, s, func(_ *setting.Client, unpaid func() int64, _ *observer.ObservedLogs) {
		s.set(false, map[string]any{"order.max_unpaid": 9})
		pass(4 * time.Second)
		require.EqualValues(t, 4, unpaid())
		pass(2 * time.Second)
		require.EqualValues(t, 9, unpaid())
	})
}

func TestLastValuesStayWhileTheServiceIsAway(t *testing.T) {
	t.Parallel()
	s := &service{}
	s.set(false, map[string]any{"order.max_unpaid": 9}, onOff("on"))
	run(t, s, func(c *setting.Client, unpaid func() int64, logs *observer.ObservedLogs) {
		s.setAway(true)
		s.set(true, map[string]any{"order.max_unpaid": 10}, onOff("off"))
		pass(time.Hour)
		require.EqualValues(t, 9, unpaid())
		require.Equal(t, true, evaluate(c))
		require.NoError(t, c.Ready(context.Background()))
		require.Equal(t, 1, logs.Len(), "one line an outage")
		s.setAway(false)
		pass(time.Second)
		require.EqualValues(t, 10, unpaid(), "within a second")
		require.Equal(t, false, evaluate(c))
		require.Equal(t, 2, logs.Len())
	})
}

func TestProcessStartsWithoutTheServiceAndCatchesUp(t *testing.T) {
	t.Parallel()
	s := &service{away: true}
	s.set(false, map[string]any{"order.max_unpaid": 9}, onOff("on"))
	run(t, s, func(c *setting.Client, unpaid func() int64, _ *observer.ObservedLogs) {
		require.Error(t, c.Ready(context.Background()))
		pass(2 * time.Second)
		require.NoError(t, c.Ready(context.Background()), "it goes on without")
		require.EqualValues(t, 4, unpaid(), "what is configured applies")
		require.False(t, c.Loaded())
		s.setAway(false)
		pass(time.Second)
		require.EqualValues(t, 9, unpaid())
		require.Equal(t, true, evaluate(c))
		require.True(t, c.Loaded())
		require.Len(t, s.configured[0], 1, "the first call that succeeds tells what is configured")
	})
}

func TestValuesOfAnotherVersionOfSoukAreLeftOut(t *testing.T) {
	t.Parallel()
	s := &service{}
	invalid := onOff("neither")
	s.set(false, map[string]any{"order.max_unpaid": "many", "order.of_tomorrow": 1}, invalid)
	run(t, s, func(c *setting.Client, unpaid func() int64, logs *observer.ObservedLogs) {
		require.EqualValues(t, 4, unpaid())
		require.Empty(t, c.Flags().Keys())
		require.Equal(t, 2, logs.Len())
		pass(time.Minute)
		require.Equal(t, 2, logs.Len(), "once a change")
	})
}

func TestRefreshAppliesAtOnce(t *testing.T) {
	t.Parallel()
	s := &service{snapshot: &settingsv1.GetSnapshotResponse{}}
	run(t, s, func(c *setting.Client, unpaid func() int64, _ *observer.ObservedLogs) {
		s.set(false, map[string]any{"order.max_unpaid": 9})
		require.NoError(t, c.Refresh(context.Background()))
		require.EqualValues(t, 9, unpaid())
	})
}

func BenchmarkLoad(b *testing.B) {
	s := &service{snapshot: &settingsv1.GetSnapshotResponse{}}
	c, err := setting.NewClient(setting.Options{
		Service: s, Configured: setting.Values{}, Logger: zap.NewNop(), Metrics: prometheus.NewRegistry(),
	})
	require.NoError(b, err)
	view := setting.Derive(c, func(v setting.Values) int64 { return setting.OrderMaxUnpaid.Of(v) })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			view.Load()
		}
	})
}

func ExampleDerive() {
	type limits struct {
		guests bool
		unpaid int64
	}
	configured := setting.Values{}
	setting.OrderMaxUnpaid.Put(configured, 4)
	s := &service{snapshot: &settingsv1.GetSnapshotResponse{}}
	c, err := setting.NewClient(setting.Options{
		Service: s, Configured: configured, Logger: zap.NewNop(), Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	view := setting.Derive(c, func(v setting.Values) limits {
		return limits{setting.OrderCashGuests.Of(v), setting.OrderMaxUnpaid.Of(v)}
	})
	fmt.Println(view.Load())
	s.set(false, map[string]any{"order.cash.guests": true, "order.max_unpaid": 9})
	fmt.Println(c.Refresh(context.Background()), view.Load())
	// Output:
	// {false 4}
	// <nil> {true 9}
}
