package flag

import (
	"context"
	"math"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"souk/pkg/errs"
)

// Attributes of an OpenFeature evaluation context beside its targeting key, which is a [Target]'s ID. Roles is a text
// or a list of texts.
const (
	AttributeRoles   = "roles"
	AttributeCountry = "country"
	AttributeShop    = "shopId"
)

// NewClient returns a client of OpenFeature's SDK that decides by the set that source returns. It has a provider of its
// own, apart from the SDK's global one, and no goroutine. A flag that is not there has the value that the caller gives
// as default.
//
// Errors: internal (the SDK refuses the provider, which is a bug).
func NewClient(ctx context.Context, source func() *Set) (*openfeature.Client, error) {
	api := isolated.NewAPI()
	if err := api.SetProviderAndWait(ctx, NewProvider(source)); err != nil {
		return nil, errs.Wrap(err, errs.Internal, "the provider of flags")
	}
	return api.NewClient(), nil
}

type targetKey struct{}

// NewContext returns a context in which flags are decided for t. The SDK copies an evaluation context three times for
// each decision; with an empty one and this, a decision takes half the time.
func NewContext(ctx context.Context, t Target) context.Context {
	return context.WithValue(ctx, targetKey{}, &t)
}

// Provider is an OpenFeature provider.
type Provider struct{ source func() *Set }

var _ openfeature.FeatureProvider = (*Provider)(nil)

// NewProvider returns a provider that decides by the set that source returns.
func NewProvider(source func() *Set) *Provider { return &Provider{source} }

// Metadata returns the provider's name.
func (*Provider) Metadata() openfeature.Metadata { return openfeature.Metadata{Name: "souk"} }

// Hooks returns no hooks.
func (*Provider) Hooks() []openfeature.Hook { return nil }

// BooleanEvaluation decides a flag with booleans.
func (p *Provider) BooleanEvaluation(
	ctx context.Context, key string, fallback bool, c openfeature.FlattenedContext,
) openfeature.BoolResolutionDetail {
	return evaluate(ctx, p, key, fallback, c, as[bool])
}

// StringEvaluation decides a flag with texts.
func (p *Provider) StringEvaluation(
	ctx context.Context, key, fallback string, c openfeature.FlattenedContext,
) openfeature.StringResolutionDetail {
	return evaluate(ctx, p, key, fallback, c, as[string])
}

// FloatEvaluation decides a flag with numbers.
func (p *Provider) FloatEvaluation(
	ctx context.Context, key string, fallback float64, c openfeature.FlattenedContext,
) openfeature.FloatResolutionDetail {
	return evaluate(ctx, p, key, fallback, c, as[float64])
}

// IntEvaluation decides a flag with numbers. A number with decimals is of the wrong type.
func (p *Provider) IntEvaluation(
	ctx context.Context, key string, fallback int64, c openfeature.FlattenedContext,
) openfeature.IntResolutionDetail {
	return evaluate(ctx, p, key, fallback, c, func(v any) (int64, bool) {
		f, ok := v.(float64)
		return int64(f), ok && f == math.Trunc(f) && math.Abs(f) <= 1<<53
	})
}

// ObjectEvaluation decides a flag with values of any kind.
func (p *Provider) ObjectEvaluation(
	ctx context.Context, key string, fallback any, c openfeature.FlattenedContext,
) openfeature.InterfaceResolutionDetail {
	return evaluate(ctx, p, key, fallback, c, as[any])
}

func as[T any](v any) (T, bool) {
	out, ok := v.(T)
	return out, ok
}

var reasons = map[Reason]openfeature.Reason{
	Disabled: openfeature.DisabledReason, Matched: openfeature.TargetingMatchReason,
	Rollout: openfeature.SplitReason, Default: openfeature.DefaultReason,
}

func evaluate[T any](
	ctx context.Context, p *Provider, key string, fallback T, c openfeature.FlattenedContext, as func(any) (T, bool),
) openfeature.GenericResolutionDetail[T] {
	out := openfeature.GenericResolutionDetail[T]{Value: fallback}
	found, ok := p.source().Evaluate(key, target(ctx, c))
	if !ok {
		out.Reason = openfeature.ErrorReason
		out.ResolutionError = openfeature.NewFlagNotFoundResolutionError("there is no such flag")
		return out
	}
	value, ok := as(found.Value)
	if !ok {
		out.Reason = openfeature.ErrorReason
		out.ResolutionError = openfeature.NewTypeMismatchResolutionError("the flag's values are of another type")
		return out
	}
	out.Value, out.Variant, out.Reason = value, found.Variant, reasons[found.Reason]
	return out
}

// target reads an evaluation context; if it is empty, the target of ctx.
func target(ctx context.Context, c openfeature.FlattenedContext) Target {
	if t, ok := ctx.Value(targetKey{}).(*Target); ok && len(c) == 0 {
		return *t
	}
	text := func(name string) string {
		s, _ := c[name].(string)
		return s
	}
	t := Target{ID: text(openfeature.TargetingKey), Country: text(AttributeCountry), ShopID: text(AttributeShop)}
	switch roles := c[AttributeRoles].(type) {
	case string:
		t.Roles = []string{roles}
	case []string:
		t.Roles = roles
	}
	return t
}
