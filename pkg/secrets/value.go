package secrets

import (
	"slices"
	"strings"
)

// Redacted stands for a secret wherever a [Value] is printed, logged or encoded.
const Redacted = "[redacted]"

// The kinds of references, and how a secret begins that looks like one.
const (
	kindFile  = "file:"
	kindEnv   = "env:"
	kindVault = "vault:"
	kindPlain = "plain:"
)

// Value is a secret, or a reference to one. Its zero value is unset. The package comment has the forms of references.
type Value struct{ of func() *value } // a function: fmt prints what is behind a pointer, if a verb does not fit

type value struct {
	text    string // as it is configured
	setting string // for messages, such as auth.key; "" before it is resolved
	from    source // nil: the value is plain, or not resolved
	key     string // of the source
}

// source is where values are that change together, by key.
type source interface {
	// current returns the values of now. The caller does not change them.
	current() map[string]string
	// warn logs that something is wrong with the values of a setting.
	warn(message, setting string, err error)
}

// Plain returns a value that is the secret itself.
func Plain(secret string) Value {
	if kindOf(secret) != "" {
		secret = kindPlain + secret
	}
	return fromText(secret)
}

// PlainMap returns values that are the secrets themselves, by the same keys.
func PlainMap(secrets map[string]string) map[string]Value {
	out := make(map[string]Value, len(secrets))
	for key, secret := range secrets {
		out[key] = Plain(secret)
	}
	return out
}

func fromText(text string) Value {
	if text == "" {
		return Value{}
	}
	return newValue(&value{text: text})
}

func newValue(v *value) Value { return Value{func() *value { return v }} }

// get returns nil if the value is unset.
func (v Value) get() *value {
	if v.of == nil {
		return nil
	}
	return v.of()
}

// kindOf returns the prefix with which a text begins; "": none.
func kindOf(text string) string {
	for _, kind := range []string{kindFile, kindEnv, kindVault, kindPlain} {
		if strings.HasPrefix(text, kind) {
			return kind
		}
	}
	return ""
}

// IsSet reports whether the configuration has the value.
func (v Value) IsSet() bool { return v.of != nil }

// Reference returns where the secret is, such as file:/run/secrets/auth_key; "" if the value is unset or plain.
func (v Value) Reference() string {
	if !v.IsSet() {
		return ""
	}
	if kind := kindOf(v.get().text); kind == "" || kind == kindPlain {
		return ""
	}
	return v.get().text
}

// Get returns the secret of now; "" if the value is unset, or a reference that was not resolved.
func (v Value) Get() string { return Read(v)[0] }

// Read returns the secrets of now. Those from one path of Vault, such as a user and its password, belong together.
func Read(values ...Value) []string {
	out := make([]string, len(values))
	var seen map[source]map[string]string
	for i, v := range values {
		switch at := v.get(); {
		case at == nil:
		case at.from != nil:
			now, ok := seen[at.from]
			if !ok {
				now = at.from.current()
				if seen == nil {
					seen = map[source]map[string]string{}
				}
				seen[at.from] = now
			}
			out[i] = now[at.key]
		case v.Reference() == "":
			out[i] = strings.TrimPrefix(v.get().text, kindPlain)
		}
	}
	return out
}

// Configured returns the value as it is configured: the reference, or the secret itself. It is for tools that write
// configurations.
func (v Value) Configured() string {
	if !v.IsSet() {
		return ""
	}
	return v.get().text
}

// Masked returns what may be shown to operators: the reference, a URL without a password in it, or [Redacted]; "" if
// the value is unset.
func (v Value) Masked() string {
	if v.HoldsSecret() {
		return Redacted
	}
	return v.Configured()
}

// HoldsSecret reports whether the configuration has the secret itself: it is set, no reference, and not just a URL.
func (v Value) HoldsSecret() bool {
	if !v.IsSet() || v.Reference() != "" {
		return false
	}
	urls := []string{v.get().text}
	if strings.Count(urls[0], "://") > 1 {
		urls = strings.Split(urls[0], ",")
	}
	return slices.ContainsFunc(urls, urlHoldsSecret)
}

// passwordMark is where a password is filled into a pattern of a URL.
const passwordMark = "{password}"

// urlHoldsSecret reports whether a URL has a password, or may have a token: a URL for HTTP in its path or query. A text
// that is no URL may be a secret.
func urlHoldsSecret(text string) bool {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return true
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, more := rest[:end], rest[end:]
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		if _, password, _ := strings.Cut(authority[:at], ":"); password != "" && password != passwordMark {
			return true
		}
	}
	if strings.HasPrefix(scheme, "http") {
		return strings.Trim(more, "/") != ""
	}
	return strings.Contains(strings.ToLower(more), "password")
}

// String returns [Redacted]; "" if the value is unset.
func (v Value) String() string {
	if !v.IsSet() {
		return ""
	}
	return Redacted
}

// GoString returns [Redacted].
func (v Value) GoString() string { return `secrets.Value("` + v.String() + `")` }

// MarshalText returns [Redacted] for encoders such as JSON's and YAML's.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText takes a secret or a reference, as the configuration has it.
func (v *Value) UnmarshalText(text []byte) error {
	*v = fromText(string(text))
	return nil
}
