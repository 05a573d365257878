// Package setting holds the system settings: values that operators change while souk runs. The settings service stores
// them (apps/settings); this package declares them, and gives a service their values in memory.
//
// A service creates a [Client] with module.Platform.Settings and the values of its configuration. It derives what it
// needs, once for each change:
//
//	configured := setting.Values{}
//	setting.OrderMaxUnpaid.Put(configured, cfg.MaxUnpaid)
//	client, err := p.Settings(configured)
//	limits := setting.Derive(client, func(v setting.Values) Limits {
//		return Limits{MaxUnpaid: setting.OrderMaxUnpaid.Of(v)}
//	})
//	…
//	limits.Load() // on the hot path: one atomic read
//
// A value is, in this order: what an operator has set, what the service's configuration says, the declared default. A
// client learns of a change by an event within milliseconds, and asks every few seconds in case an event was lost.
// Without the settings service, the last values stay; a process that starts without it has those of its configuration,
// and gets the others when the service is back.
package setting

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/permission"
)

// Kind is what a setting's values look like in JSON.
type Kind string

// The kinds of settings.
const (
	Boolean  Kind = "boolean"
	Integer  Kind = "integer"
	Duration Kind = "duration" // a text such as "1h30m0s"
	Amounts  Kind = "amounts"  // an object of decimal texts by currency, such as {"BRL": "2500.00"}
	Texts    Kind = "texts"    // an array of texts
)

// Definition declares a system setting.
type Definition struct {
	// Key begins with the name of the service that applies the setting. It is the key in that service's configuration.
	Key string
	// Description says what the setting does, with its bounds.
	Description string
	Kind        Kind
	// Public settings are shown to everyone.
	Public bool
	// Default is the value that applies if neither an operator nor the service's configuration says otherwise, as JSON.
	Default any
	// Permission is what a caller needs to change it, beside settings.write; empty: nothing.
	Permission string
	// Grants: the values are permissions. A caller gives only those that the caller has.
	Grants bool
	// normalize checks a value, as encoding/json reads it, and returns its usual form.
	normalize func(v any) (any, error)
	// accept is normalize for a value that another version of souk may have stored.
	accept func(v any) (any, error)
}

// Owner returns the service that applies the setting.
func (d Definition) Owner() string {
	owner, _, _ := strings.Cut(d.Key, ".")
	return owner
}

// Normalize checks a value, as encoding/json reads it, and returns its usual form.
//
// Errors: invalid_argument (at the field value).
func (d Definition) Normalize(v any) (any, error) { return d.normalize(v) }

// Accept is Normalize for a value that was stored, perhaps by another version of souk: it leaves out the parts of the
// value that this version does not know, if the rest has a meaning without them.
//
// Errors: invalid_argument (at the field value).
func (d Definition) Accept(v any) (any, error) {
	if d.accept != nil {
		return d.accept(v)
	}
	return d.normalize(v)
}

// Find returns the definition with the key. It returns false if the key is unknown.
func Find(key string) (Definition, bool) {
	all := All()
	i := slices.IndexFunc(all, func(d Definition) bool { return d.Key == key })
	if i < 0 {
		return Definition{}, false
	}
	return all[i], true
}

// Values are values of settings by key, as encoding/json reads them.
type Values map[string]any

// Check reports the values that are not valid for their settings, by the keys without the owner's name.
func (v Values) Check() error {
	var problems []error
	for _, d := range All() {
		value, ok := v[d.Key]
		if !ok {
			continue
		}
		if _, err := d.Normalize(value); err != nil {
			key := strings.TrimPrefix(d.Key, d.Owner()+".")
			problems = append(problems, fmt.Errorf("%s: %s", key, errs.From(err).Fields[0].Message))
		}
	}
	return errors.Join(problems...)
}

// Setting is a declared setting with values of type T.
type Setting[T any] struct {
	Definition
	parse  func(v any) (T, error)
	format func(T) any
}

// Of returns the setting's value in v; its default if v has none.
func (s Setting[T]) Of(v Values) T {
	raw, ok := v[s.Key]
	if !ok {
		raw = s.Default
	}
	value, err := s.parse(raw)
	if err != nil { // only of values that were put there by other means than Put and Normalize
		value, _ = s.parse(s.Default)
	}
	return value
}

// Put sets the setting's value in v.
func (s Setting[T]) Put(v Values, value T) { v[s.Key] = s.format(value) }

func define[T any](d Definition, value T, parse func(any) (T, error), format func(T) any) Setting[T] {
	d.Default = format(value)
	d.normalize = func(v any) (any, error) {
		parsed, err := parse(v)
		if err != nil {
			return nil, err
		}
		return format(parsed), nil
	}
	return Setting[T]{Definition: d, parse: parse, format: format}
}

func invalid(format string, args ...any) error { return errs.InvalidField("value", format, args...) }

func boolean(d Definition, value bool) Setting[bool] {
	d.Kind = Boolean
	return define(d, value, func(v any) (bool, error) {
		b, ok := v.(bool)
		if !ok {
			return false, invalid("must be true or false")
		}
		return b, nil
	}, func(b bool) any { return b })
}

func integer(d Definition, value, least, most int64) Setting[int64] {
	d.Kind = Integer
	return define(d, value, func(v any) (int64, error) {
		f, ok := v.(float64)
		if !ok || f != math.Trunc(f) || f < float64(least) || f > float64(most) {
			return 0, invalid("must be an integer from %d to %d", least, most)
		}
		return int64(f), nil
	}, func(n int64) any { return float64(n) })
}

func duration(d Definition, value, least, most time.Duration) Setting[time.Duration] {
	d.Kind = Duration
	return define(d, value, func(v any) (time.Duration, error) {
		text, ok := v.(string)
		parsed, err := time.ParseDuration(text)
		if !ok || err != nil || parsed < least || parsed > most {
			return 0, invalid(`must be a duration from %s to %s, such as "1h30m"`, least, most)
		}
		return parsed, nil
	}, func(d time.Duration) any { return d.String() })
}

// maxCurrencies bounds the amounts of a setting.
const maxCurrencies = 200

func amounts(d Definition, value map[string]string) Setting[map[money.Currency]money.Money] {
	d.Kind = Amounts
	parse := func(v any) (map[money.Currency]money.Money, error) {
		object, ok := v.(map[string]any)
		if !ok || len(object) > maxCurrencies {
			return nil, invalid(`must be an object of amounts by currency, such as {"BRL": "2500.00"}, at most %d`,
				maxCurrencies)
		}
		out := make(map[money.Currency]money.Money, len(object))
		for _, code := range slices.Sorted(maps.Keys(object)) {
			text, ok := object[code].(string)
			m, err := money.Parse(text, code)
			if !ok || err != nil || m.IsNegative() {
				return nil, invalid("must have currencies and decimal amounts that are not negative")
			}
			out[m.Currency()] = m
		}
		return out, nil
	}
	format := func(of map[money.Currency]money.Money) any {
		out := make(map[string]any, len(of))
		for c, m := range of {
			out[string(c)] = m.Amount()
		}
		return out
	}
	object := make(map[string]any, len(value))
	for code, amount := range value {
		object[code] = amount
	}
	parsed, _ := parse(object) // the tests check every default
	return define(d, parsed, parse, format)
}

// maxTexts and maxTextBytes bound the texts of a setting, and maxTextRunes each of them.
const (
	maxTexts     = 10_000
	maxTextBytes = 64 << 10
	maxTextRunes = 100
)

func texts(d Definition) Setting[[]string] {
	d.Kind = Texts
	return define(d, nil, func(v any) ([]string, error) {
		array, ok := v.([]any)
		if !ok || len(array) > maxTexts {
			return nil, invalid(`must be an array of texts such as ["scam", "money back"], at most %d`, maxTexts)
		}
		out, size := make([]string, 0, len(array)), 0
		for _, raw := range array {
			text, ok := raw.(string)
			text = strings.TrimSpace(text)
			if size += len(
				text,
			); !ok || text == "" || utf8.RuneCountInString(text) > maxTextRunes ||
				size > maxTextBytes {
				return nil, invalid("must have texts of 1 to %d characters, and of %d bytes together", maxTextRunes,
					maxTextBytes)
			}
			out = append(out, text)
		}
		return out, nil
	}, func(of []string) any {
		out := make([]any, len(of))
		for i, text := range of {
			out[i] = text
		}
		return out
	})
}

// permissions declares a setting whose values are names of permissions.
func permissions(d Definition, value []string) Setting[[]string] {
	s := texts(d)
	parse, format := s.parse, s.format
	check := func(v any) ([]string, error) {
		names, err := parse(v)
		if err != nil {
			return nil, err
		}
		return permission.Check("value", names, permission.Names())
	}
	s = define(s.Definition, value, check, format)
	s.accept = func(v any) (any, error) {
		names, err := parse(v)
		if err != nil {
			return nil, err
		}
		return format(slices.DeleteFunc(names, func(name string) bool { return !permission.Known(name) })), nil
	}
	return s
}
