package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/open-feature/go-sdk/openfeature"

	"souk/pkg/flag"
)

// measureFlags measures decisions of one of as many flags as there may be, in memory, in this process.
func measureFlags(ctx context.Context, _ *bench) ([]row, error) {
	set := flag.NewSet(manyFlags())
	client, err := flag.NewClient(ctx, func() *flag.Set { return set })
	if err != nil {
		return nil, err
	}
	target := flag.Target{ID: "usr_0198c5f27e6b7c1f8a3d5e9b04c7d21a", Roles: []string{"customer"}, Country: "BR"}
	ctx = flag.NewContext(ctx, target)
	alone := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			set.Evaluate("flag-42", target)
		}
	})
	sdk := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			client.Boolean(ctx, "flag-42", false, openfeature.EvaluationContext{})
		}
	})
	return []row{
		{Name: "flag evaluation", Value: micros(alone), Unit: "µs", AtMost: 1},
		{Name: "flag evaluation through OpenFeature's SDK", Value: micros(sdk), Unit: "µs"},
	}, nil
}

func micros(r testing.BenchmarkResult) float64 {
	return float64(r.T) / float64(r.N) / float64(time.Microsecond)
}

func manyFlags() []flag.Flag {
	users := make([]string, 100)
	for i := range users {
		users[i] = fmt.Sprintf("usr_%032d", i)
	}
	flags := make([]flag.Flag, flag.MaxFlags)
	for i := range flags {
		flags[i] = flag.Flag{
			Key: fmt.Sprintf("flag-%d", i), Enabled: true,
			Variants: map[string]any{"on": true, "off": false}, DefaultVariant: "off",
			Rules: []flag.Rule{
				{If: flag.Condition{UserIDs: users}, Variant: "on"},
				{If: flag.Condition{Roles: []string{"operator"}, Countries: []string{"BR", "PT"}}, Variant: "on"},
			},
			Rollout: []flag.Share{{Variant: "on", Percent: 12.5}},
		}
	}
	return flags
}
