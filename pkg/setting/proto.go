package setting

import (
	"google.golang.org/protobuf/types/known/structpb"

	settingsv1 "souk/gen/go/souk/settings/v1"
	"souk/pkg/errs"
	"souk/pkg/flag"
)

// ValuesToProto returns values as the messages of their JSON.
//
// Errors: internal (a value is not what encoding/json reads).
func ValuesToProto(of map[string]any) (map[string]*structpb.Value, error) {
	out := make(map[string]*structpb.Value, len(of))
	for key, v := range of {
		m, err := structpb.NewValue(v)
		if err != nil {
			return nil, errs.Wrap(err, errs.Internal, "the value of %s", key)
		}
		out[key] = m
	}
	return out, nil
}

// ValuesFromProto returns the values of messages, as encoding/json reads them.
func ValuesFromProto(of map[string]*structpb.Value) map[string]any {
	out := make(map[string]any, len(of))
	for key, v := range of {
		out[key] = v.AsInterface()
	}
	return out
}

// FlagToProto returns a flag as a message.
//
// Errors: internal (a variant is not what encoding/json reads).
func FlagToProto(f flag.Flag) (*settingsv1.Flag, error) {
	variants, err := ValuesToProto(f.Variants)
	if err != nil {
		return nil, err
	}
	out := &settingsv1.Flag{
		Key:            f.Key,
		Description:    f.Description,
		Enabled:        f.Enabled,
		Variants:       variants,
		DefaultVariant: f.DefaultVariant,
	}
	for _, r := range f.Rules {
		out.Rules = append(out.Rules, &settingsv1.FlagRule{
			If: &settingsv1.FlagCondition{
				Roles: r.If.Roles, Countries: r.If.Countries, ShopIds: r.If.ShopIDs, UserIds: r.If.UserIDs,
			},
			Variant: r.Variant,
		})
	}
	for _, s := range f.Rollout {
		out.Rollout = append(out.Rollout, &settingsv1.FlagShare{Variant: s.Variant, Percent: s.Percent})
	}
	return out, nil
}

// FlagFromProto returns the flag of a message. It may be invalid.
func FlagFromProto(m *settingsv1.Flag) flag.Flag {
	out := flag.Flag{
		Key: m.GetKey(), Description: m.GetDescription(), Enabled: m.GetEnabled(),
		Variants: ValuesFromProto(m.GetVariants()), DefaultVariant: m.GetDefaultVariant(),
	}
	for _, r := range m.GetRules() {
		c := r.GetIf()
		out.Rules = append(out.Rules, flag.Rule{
			If: flag.Condition{
				Roles: c.GetRoles(), Countries: c.GetCountries(), ShopIDs: c.GetShopIds(), UserIDs: c.GetUserIds(),
			},
			Variant: r.GetVariant(),
		})
	}
	for _, s := range m.GetRollout() {
		out.Rollout = append(out.Rollout, flag.Share{Variant: s.GetVariant(), Percent: s.GetPercent()})
	}
	return out
}
