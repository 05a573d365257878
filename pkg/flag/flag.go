// Package flag decides feature flags. A [Flag] has variants, and rules and a rollout that say who gets which. A [Set]
// decides in memory, without locks. [NewClient] returns a client of OpenFeature's SDK that asks a Set:
//
//	features, err := flag.NewClient(ctx, settings.Flags)
//	ctx = flag.NewContext(ctx, flag.Target{ID: userID, Country: "BR"})
//	if features.Boolean(ctx, "new-checkout", false, openfeature.EvaluationContext{}) {
//		…
//	}
//
// A flag chooses between ways to do something. It is no permission: its target's country and shop are what the client
// says.
package flag

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"

	"souk/pkg/errs"
)

// Bounds of a flag. MaxBytes is of its JSON, so that [MaxFlags] of them fit into a message.
const (
	MaxFlags    = 100
	MaxVariants = 20
	MaxRules    = 50
	MaxBytes    = 8 << 10
)

// Flag is a feature flag.
type Flag struct {
	Key         string `json:"key"`
	Description string `json:"description,omitempty"`
	// Enabled is false if rules and rollout don't apply: everyone gets DefaultVariant.
	Enabled bool `json:"enabled"`
	// Variants are the values by name: all booleans, all texts, all numbers or all objects, as encoding/json reads
	// them.
	Variants map[string]any `json:"variants"`
	// DefaultVariant is for everyone for whom neither a rule nor the rollout decides.
	DefaultVariant string `json:"defaultVariant"`
	// Rules are tried in order. The first one that matches decides.
	Rules []Rule `json:"rules,omitempty"`
	// Rollout divides the users and guests for whom no rule decides.
	Rollout []Share `json:"rollout,omitempty"`
}

// Rule gives a variant to those who fulfil its condition.
type Rule struct {
	If      Condition `json:"if"`
	Variant string    `json:"variant"`
}

// Condition holds for a target that is in each of its lists that is not empty.
type Condition struct {
	Roles     []string `json:"roles,omitempty"`
	Countries []string `json:"countries,omitempty"`
	ShopIDs   []string `json:"shopIds,omitempty"`
	UserIDs   []string `json:"userIds,omitempty"`
}

// Share gives a variant to a part of the users.
type Share struct {
	Variant string `json:"variant"`
	// Percent has at most two decimals.
	Percent float64 `json:"percent"`
}

// Buckets is the number of parts into which a rollout divides users.
const Buckets = 10_000

// points returns the share in parts of [Buckets], and whether the percentage is exact.
func (s Share) points() (int, bool) {
	p := math.Round(s.Percent * (Buckets / 100))
	return int(p), math.Abs(p/(Buckets/100)-s.Percent) < 1e-9
}

var (
	validKey     = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,63}$`)
	validVariant = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	validCountry = regexp.MustCompile(`^[A-Z]{2}$`)
)

// Validate reports the first mistake of the flag.
//
// Errors: invalid_argument (with the field).
func (f Flag) Validate() error {
	if !validKey.MatchString(f.Key) {
		return errs.InvalidField("key",
			"must be lower-case letters, digits, '.', '_' or '-', at most 64, a letter first")
	}
	if err := f.validateVariants(); err != nil {
		return err
	}
	if len(f.Rules) > MaxRules {
		return errs.InvalidField("rules", "must be at most %d", MaxRules)
	}
	for i, r := range f.Rules {
		field := fmt.Sprintf("rules[%d]", i)
		if !f.has(r.Variant) {
			return errs.InvalidField(field+".variant", "must be one of the variants")
		}
		if r.If.empty() {
			return errs.InvalidField(field+".if", "must have a role, country, shop or user")
		}
		if slices.ContainsFunc(r.If.Countries, func(c string) bool { return !validCountry.MatchString(c) }) {
			return errs.InvalidField(field+".if.countries", "must be ISO 3166 codes such as BR")
		}
	}
	total := 0
	for i, s := range f.Rollout {
		field := fmt.Sprintf("rollout[%d]", i)
		points, exact := s.points()
		switch {
		case !f.has(s.Variant):
			return errs.InvalidField(field+".variant", "must be one of the variants")
		case slices.ContainsFunc(f.Rollout[:i], func(o Share) bool { return o.Variant == s.Variant }):
			return errs.InvalidField(field+".variant", "must not be given twice")
		case !(s.Percent >= 0 && s.Percent <= 100) || !exact:
			return errs.InvalidField(field+".percent", "must be from 0 to 100, with at most two decimals")
		}
		total += points
	}
	if total > Buckets {
		return errs.InvalidField("rollout", "must be at most 100 percent together")
	}
	if body, err := json.Marshal(f); err != nil || len(body) > MaxBytes {
		return errs.InvalidField("rules", "must be shorter: a flag is at most %d bytes of JSON", MaxBytes)
	}
	return nil
}

func (f Flag) validateVariants() error {
	if len(f.Variants) == 0 || len(f.Variants) > MaxVariants {
		return errs.InvalidField("variants", "must be from 1 to %d", MaxVariants)
	}
	kind := ""
	for _, name := range slices.Sorted(maps.Keys(f.Variants)) {
		if !validVariant.MatchString(name) {
			return errs.InvalidField("variants", "must have names of letters, digits, '.', '_' or '-', at most 64")
		}
		k := kindOf(f.Variants[name])
		if k == "" || kind != "" && k != kind {
			return errs.InvalidField("variants", "must be all booleans, all texts, all numbers or all objects")
		}
		kind = k
	}
	if !f.has(f.DefaultVariant) {
		return errs.InvalidField("defaultVariant", "must be one of the variants")
	}
	return nil
}

func (f Flag) has(variant string) bool {
	_, ok := f.Variants[variant]
	return ok
}

func (c Condition) empty() bool {
	return len(c.Roles)+len(c.Countries)+len(c.ShopIDs)+len(c.UserIDs) == 0
}

// kindOf returns the kind of a variant's value; "" if a variant cannot have it.
func kindOf(v any) string {
	switch v.(type) {
	case bool:
		return "boolean"
	case string:
		return "text"
	case float64:
		return "number"
	case map[string]any:
		return "object"
	}
	return ""
}
