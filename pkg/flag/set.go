package flag

import (
	"maps"
	"slices"
)

// Target is for whom a flag is decided. Unset fields match no rule.
type Target struct {
	// ID is the user or guest, "usr_…" or "gst_…". Without it, no rollout applies.
	ID    string
	Roles []string
	// Country is an ISO 3166 code.
	Country string
	ShopID  string
}

// Reason says why a target got a variant.
type Reason string

// The reasons.
const (
	Disabled Reason = "disabled"
	Matched  Reason = "rule"
	Rollout  Reason = "rollout"
	Default  Reason = "default"
)

// Result is a flag's decision for a target. Value is shared and must not be modified.
type Result struct {
	Variant string
	Value   any
	Reason  Reason
}

// Set is an immutable set of flags.
type Set struct{ flags map[string]*compiled }

type compiled struct {
	key      string
	enabled  bool
	fallback choice
	rules    []compiledRule
	rollout  []compiledShare
}

type choice struct {
	variant string
	value   any
}

type compiledRule struct {
	roles                     []string
	countries, shopIDs, users map[string]struct{} // nil: any
	choice                    choice
}

type compiledShare struct {
	below  int // the first bucket after the share
	choice choice
}

// NewSet returns a set of flags, which are valid.
func NewSet(flags []Flag) *Set {
	s := &Set{flags: make(map[string]*compiled, len(flags))}
	for _, f := range flags {
		choose := func(variant string) choice { return choice{variant, f.Variants[variant]} }
		c := &compiled{key: f.Key, enabled: f.Enabled, fallback: choose(f.DefaultVariant)}
		for _, r := range f.Rules {
			c.rules = append(c.rules, compiledRule{
				roles: r.If.Roles, countries: index(r.If.Countries), shopIDs: index(r.If.ShopIDs),
				users: index(r.If.UserIDs), choice: choose(r.Variant),
			})
		}
		below := 0
		for _, share := range f.Rollout {
			points, _ := share.points()
			below += points
			c.rollout = append(c.rollout, compiledShare{below, choose(share.Variant)})
		}
		s.flags[f.Key] = c
	}
	return s
}

func index(values []string) map[string]struct{} {
	if len(values) == 0 {
		return nil
	}
	out := make(map[string]struct{}, len(values))
	for _, v := range values {
		out[v] = struct{}{}
	}
	return out
}

// Keys returns the keys of the flags, sorted.
func (s *Set) Keys() []string { return slices.Sorted(maps.Keys(s.flags)) }

// Evaluate decides a flag. It returns false if there is no such flag.
func (s *Set) Evaluate(key string, t Target) (Result, bool) {
	f, ok := s.flags[key]
	if !ok {
		return Result{}, false
	}
	if !f.enabled {
		return f.fallback.because(Disabled), true
	}
	for i := range f.rules {
		if f.rules[i].matches(t) {
			return f.rules[i].choice.because(Matched), true
		}
	}
	if len(f.rollout) > 0 && t.ID != "" {
		bucket := Bucket(key, t.ID)
		for _, share := range f.rollout {
			if bucket < share.below {
				return share.choice.because(Rollout), true
			}
		}
	}
	return f.fallback.because(Default), true
}

func (c choice) because(r Reason) Result {
	return Result{Variant: c.variant, Value: c.value, Reason: r}
}

func (r *compiledRule) matches(t Target) bool {
	return (len(r.roles) == 0 || slices.ContainsFunc(t.Roles, func(role string) bool {
		return slices.Contains(r.roles, role)
	})) && in(r.countries, t.Country) && in(r.shopIDs, t.ShopID) && in(r.users, t.ID)
}

func in(of map[string]struct{}, v string) bool {
	if of == nil {
		return true
	}
	_, ok := of[v]
	return ok
}

// Bucket returns the part of [Buckets] in which a user or guest is for a flag. It never changes: the 64-bit FNV-1a hash
// of key, a zero byte and id, modulo [Buckets].
func Bucket(key, id string) int {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * prime
	}
	h *= prime // the zero byte
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * prime
	}
	return int(h % Buckets)
}
