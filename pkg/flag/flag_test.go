package flag_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"souk/pkg/errs"
	"souk/pkg/flag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// banner is a flag with everything.
func banner() flag.Flag {
	return flag.Flag{
		Key: "banner", Enabled: true,
		Variants:       map[string]any{"red": "#f00", "blue": "#00f", "none": ""},
		DefaultVariant: "none",
		Rules: []flag.Rule{
			{If: flag.Condition{UserIDs: []string{"usr_tester"}}, Variant: "red"},
			{If: flag.Condition{Roles: []string{"operator", "support"}, Countries: []string{"BR"}}, Variant: "blue"},
			{If: flag.Condition{ShopIDs: []string{"shp_1"}}, Variant: "blue"},
		},
		Rollout: []flag.Share{{Variant: "red", Percent: 20}, {Variant: "blue", Percent: 12.5}},
	}
}

func TestFirstMatchingRuleDecides(t *testing.T) {
	t.Parallel()
	f := banner()
	f.Rollout = nil
	set := flag.NewSet([]flag.Flag{f})
	for name, tc := range map[string]struct {
		target  flag.Target
		variant string
		reason  flag.Reason
	}{
		"nobody":          {flag.Target{}, "none", flag.Default},
		"a user":          {flag.Target{ID: "usr_1", Country: "BR"}, "none", flag.Default},
		"by user":         {flag.Target{ID: "usr_tester"}, "red", flag.Matched},
		"the first wins":  {flag.Target{ID: "usr_tester", ShopID: "shp_1"}, "red", flag.Matched},
		"role alone":      {flag.Target{ID: "usr_1", Roles: []string{"operator"}}, "none", flag.Default},
		"role, elsewhere": {flag.Target{Roles: []string{"operator"}, Country: "PT"}, "none", flag.Default},
		"role, country":   {flag.Target{Roles: []string{"x", "support"}, Country: "BR"}, "blue", flag.Matched},
		"by shop":         {flag.Target{ShopID: "shp_1"}, "blue", flag.Matched},
	} {
		got, ok := set.Evaluate("banner", tc.target)
		require.True(t, ok)
		require.Equal(t, flag.Result{Variant: tc.variant, Value: f.Variants[tc.variant], Reason: tc.reason}, got, name)
	}
	_, ok := set.Evaluate("other", flag.Target{})
	require.False(t, ok)
}

func TestDisabledFlagGivesDefaultVariant(t *testing.T) {
	t.Parallel()
	f := banner()
	f.Enabled = false
	f.Rollout = []flag.Share{{Variant: "red", Percent: 100}}
	got, ok := flag.NewSet([]flag.Flag{f}).Evaluate("banner", flag.Target{ID: "usr_tester"})
	require.True(t, ok)
	require.Equal(t, flag.Result{Variant: "none", Value: "", Reason: flag.Disabled}, got)
}

func TestRolloutDividesUsersByItsPercentages(t *testing.T) {
	t.Parallel()
	set := flag.NewSet([]flag.Flag{banner()})
	const users = 50_000
	count := map[string]int{}
	for i := range users {
		got, _ := set.Evaluate("banner", flag.Target{ID: fmt.Sprintf("usr_%06d", i)})
		count[got.Variant]++
	}
	for variant, percent := range map[string]float64{"red": 20, "blue": 12.5, "none": 67.5} {
		// Four standard deviations of a fair draw.
		margin := 4 * math.Sqrt(users*percent/100*(1-percent/100))
		require.InDelta(t, users*percent/100, count[variant], margin, variant)
	}
	got, _ := set.Evaluate("banner", flag.Target{})
	require.Equal(t, flag.Default, got.Reason, "without an ID there is no part to be in")
}

func TestRolloutsOfTwoFlagsAreIndependent(t *testing.T) {
	t.Parallel()
	const users = 50_000
	both := 0
	for i := range users {
		id := fmt.Sprintf("gst_%d", i)
		if flag.Bucket("flag-a", id) < flag.Buckets/10 && flag.Bucket("flag-b", id) < flag.Buckets/10 {
			both++
		}
	}
	require.InDelta(t, users/100, both, 4*math.Sqrt(users/100))
}

// A user's bucket must not change with a release: each rollout would be dealt again.
func TestBucketsNeverChange(t *testing.T) {
	t.Parallel()
	require.Equal(t, []int{6803, 4979, 4290}, []int{
		flag.Bucket("new-checkout", "usr_0198c5f27e6b7c1f8a3d5e9b04c7d21a"),
		flag.Bucket("new-checkout", "gst_0198c5f27e6b7c1f8a3d5e9b04c7d21a"),
		flag.Bucket("banner", "usr_0198c5f27e6b7c1f8a3d5e9b04c7d21a"),
	})
}

func TestGrowingRolloutKeepsItsUsers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, flag.Buckets).Draw(t, "small")
		large := rapid.IntRange(small, flag.Buckets).Draw(t, "large")
		target := flag.Target{ID: rapid.String().Draw(t, "id") + "x"}
		variant := func(points int) string {
			f := flag.Flag{
				Key: "grow", Enabled: true, Variants: map[string]any{"on": true, "off": false}, DefaultVariant: "off",
				Rollout: []flag.Share{{Variant: "on", Percent: float64(points) / 100}},
			}
			require.NoError(t, f.Validate())
			got, _ := flag.NewSet([]flag.Flag{f}).Evaluate("grow", target)
			return got.Variant
		}
		if variant(small) == "on" {
			require.Equal(t, "on", variant(large))
		}
		require.Equal(t, "on", variant(flag.Buckets))
		require.Equal(t, "off", variant(0))
	})
}

func TestInvalidFlagsAreRefused(t *testing.T) {
	t.Parallel()
	require.NoError(t, banner().Validate())
	many := map[string]any{}
	for i := range flag.MaxVariants + 1 {
		many[fmt.Sprint(i)] = true
	}
	for name, tc := range map[string]struct {
		field  string
		change func(*flag.Flag)
	}{
		"no key":            {"key", func(f *flag.Flag) { f.Key = "" }},
		"a key of capitals": {"key", func(f *flag.Flag) { f.Key = "Banner" }},
		"no variants":       {"variants", func(f *flag.Flag) { f.Variants = nil }},
		"too many variants": {"variants", func(f *flag.Flag) { f.Variants = many }},
		"mixed variants":    {"variants", func(f *flag.Flag) { f.Variants["red"] = true }},
		"a list":            {"variants", func(f *flag.Flag) { f.Variants = map[string]any{"none": []any{1.0}} }},
		"null":              {"variants", func(f *flag.Flag) { f.Variants["red"] = nil }},
		"a name":            {"variants", func(f *flag.Flag) { f.Variants[" "] = "x" }},
		"no default":        {"defaultVariant", func(f *flag.Flag) { f.DefaultVariant = "green" }},
		"rule's variant":    {"rules[1].variant", func(f *flag.Flag) { f.Rules[1].Variant = "green" }},
		"no condition":      {"rules[0].if", func(f *flag.Flag) { f.Rules[0].If = flag.Condition{} }},
		"country":           {"rules[1].if.countries", func(f *flag.Flag) { f.Rules[1].If.Countries = []string{"br"} }},
		"too many rules":    {"rules", func(f *flag.Flag) { f.Rules = make([]flag.Rule, flag.MaxRules+1) }},
		"share's variant":   {"rollout[0].variant", func(f *flag.Flag) { f.Rollout[0].Variant = "green" }},
		"twice":             {"rollout[1].variant", func(f *flag.Flag) { f.Rollout[1].Variant = "red" }},
		"three decimals":    {"rollout[0].percent", func(f *flag.Flag) { f.Rollout[0].Percent = 33.333 }},
		"negative":          {"rollout[0].percent", func(f *flag.Flag) { f.Rollout[0].Percent = -1 }},
		"not a number":      {"rollout[0].percent", func(f *flag.Flag) { f.Rollout[0].Percent = math.NaN() }},
		"more than all":     {"rollout", func(f *flag.Flag) { f.Rollout[0].Percent = 87.51 }},
		"too long": {"rules", func(f *flag.Flag) {
			f.Rules[0].If.UserIDs = []string{strings.Repeat("x", flag.MaxBytes)}
		}},
	} {
		f := banner()
		tc.change(&f)
		err := f.Validate()
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%s: %v", name, err)
		require.Equal(t, tc.field, errs.From(err).Fields[0].Path, name)
	}
}

func TestOpenFeatureClientDecidesEveryType(t *testing.T) {
	t.Parallel()
	one := func(key string, value any) flag.Flag {
		return flag.Flag{
			Key: key, Enabled: true, Variants: map[string]any{"v": value}, DefaultVariant: "v",
			Rollout: []flag.Share{{Variant: "v", Percent: 100}},
		}
	}
	set := flag.NewSet([]flag.Flag{
		one("bool", true), one("text", "x"), one("integer", 3.0), one("float", 1.5),
		one("object", map[string]any{"a": 1.0}), banner(),
	})
	c, err := flag.NewClient(t.Context(), func() *flag.Set { return set })
	require.NoError(t, err)
	ctx, target := flag.NewContext(t.Context(), flag.Target{ID: "usr_1"}), openfeature.EvaluationContext{}
	require.True(t, c.Boolean(ctx, "bool", false, target))
	require.Equal(t, "x", c.String(ctx, "text", "", target))
	require.EqualValues(t, 3, c.Int(ctx, "integer", 0, target))
	require.InDelta(t, 1.5, c.Float(ctx, "float", 0, target), 0)
	require.Equal(t, map[string]any{"a": 1.0}, c.Object(ctx, "object", nil, target))

	got, err := c.BooleanValueDetails(ctx, "bool", false, target)
	require.NoError(t, err)
	require.Equal(t, "v", got.Variant)
	require.Equal(t, openfeature.SplitReason, got.Reason)
	ops := openfeature.NewEvaluationContext("usr_2",
		map[string]any{flag.AttributeRoles: []string{"operator"}, flag.AttributeCountry: "BR"})
	details, err := c.StringValueDetails(ctx, "banner", "", ops)
	require.NoError(t, err)
	require.Equal(t, "#00f", details.Value)
	require.Equal(t, openfeature.TargetingMatchReason, details.Reason)
	oneRole := openfeature.NewEvaluationContext("usr_2", map[string]any{"roles": "operator", "country": "BR"})
	require.Equal(t, "#00f", c.String(ctx, "banner", "", oneRole))

	require.True(t, c.Boolean(ctx, "missing", true, target), "the caller's default")
	missing, err := c.BooleanValueDetails(ctx, "missing", true, target)
	require.Error(t, err)
	require.Equal(t, openfeature.FlagNotFoundCode, missing.ErrorCode)
	wrong, err := c.BooleanValueDetails(ctx, "text", true, target)
	require.Error(t, err)
	require.Equal(t, openfeature.TypeMismatchCode, wrong.ErrorCode)
	require.True(t, wrong.Value, "the caller's default")
	require.EqualValues(t, 7, c.Int(ctx, "float", 7, target), "1.5 is not an integer")
}

func TestClientSeesTheSetAsItIsNow(t *testing.T) {
	t.Parallel()
	f := flag.Flag{
		Key: "f", Enabled: true, Variants: map[string]any{"on": true, "off": false}, DefaultVariant: "off",
	}
	off := flag.NewSet([]flag.Flag{f})
	f.DefaultVariant = "on"
	on := flag.NewSet([]flag.Flag{f})
	now := off
	c, err := flag.NewClient(t.Context(), func() *flag.Set { return now })
	require.NoError(t, err)
	require.False(t, c.Boolean(t.Context(), "f", true, openfeature.EvaluationContext{}))
	now = on
	require.True(t, c.Boolean(t.Context(), "f", false, openfeature.EvaluationContext{}))
}

// hundred is as many flags as there may be, each with rules for many users and a rollout.
func hundred() *flag.Set {
	var flags []flag.Flag
	for i := range flag.MaxFlags {
		f := banner()
		f.Key = fmt.Sprintf("banner-%d", i)
		for n := range 100 {
			f.Rules[0].If.UserIDs = append(f.Rules[0].If.UserIDs, fmt.Sprintf("usr_%032d", n))
		}
		flags = append(flags, f)
	}
	return flag.NewSet(flags)
}

var target = flag.Target{
	ID: "usr_0198c5f27e6b7c1f8a3d5e9b04c7d21a", Roles: []string{"customer"}, Country: "BR", ShopID: "shp_2",
}

func TestEvaluationDoesNotAllocate(t *testing.T) {
	set := hundred()
	require.Zero(t, testing.AllocsPerRun(100, func() { set.Evaluate("banner-42", target) }))
}

func BenchmarkEvaluate(b *testing.B) {
	set := hundred()
	b.ReportAllocs()
	for b.Loop() {
		set.Evaluate("banner-42", target)
	}
}

func BenchmarkOpenFeature(b *testing.B) {
	set := hundred()
	c, err := flag.NewClient(b.Context(), func() *flag.Set { return set })
	require.NoError(b, err)
	ctx := flag.NewContext(b.Context(), target)
	b.ReportAllocs()
	for b.Loop() {
		c.String(ctx, "banner-42", "", openfeature.EvaluationContext{})
	}
}
