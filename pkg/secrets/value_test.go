package secrets_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"souk/pkg/secrets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "hunter2-canary"

func TestValueNeverShowsItself(t *testing.T) {
	t.Parallel()
	type section struct {
		Password secrets.Value `json:"password" yaml:"password"`
		byName   map[string]secrets.Value
		hidden   secrets.Value
	}
	v := secrets.Plain(canary)
	s := section{Password: v, byName: map[string]secrets.Value{"order": v}, hidden: v}
	var shown []string
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown = append(shown, fmt.Sprintf(format, v), fmt.Sprintf(format, s), fmt.Sprintf(format, &s))
	}
	asJSON, err := json.Marshal(s)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(s)
	require.NoError(t, err)
	line, err := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()).EncodeEntry(zapcore.Entry{}, []zapcore.Field{
		zap.Any("any", v), zap.Any("section", s), zap.Stringer("stringer", v), zap.Reflect("reflect", s),
	})
	require.NoError(t, err)
	shown = append(shown, string(asJSON), string(asYAML), line.String(), v.Masked())
	for _, text := range shown {
		require.NotContains(t, text, canary)
		require.NotContains(t, text, fmt.Sprintf("%x", canary))
	}
	require.Contains(t, string(asJSON), secrets.Redacted)
	require.Contains(t, string(asYAML), secrets.Redacted)
	require.Equal(t, canary, v.Get())
}

func TestMaskedShowsWhereNotWhat(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "",
		canary:                    secrets.Redacted,
		"file:/run/secrets/x":     "file:/run/secrets/x",
		"vault:secret/data/x#key": "vault:secret/data/x#key",
		"env:X":                   "env:X",
		"plain:" + canary:         secrets.Redacted,
		"nats://a:4222,nats://b":  "nats://a:4222,nats://b",
		"https://hooks.example":   "https://hooks.example",

		"postgres://u:" + canary + "@db:5432/x?a=b":              secrets.Redacted,
		"postgres://u@db:5432/x?password=" + canary:              secrets.Redacted,
		"postgres://{service}:{password}@db:5432/{service}?x=y":  "postgres://{service}:{password}@db:5432/{service}?x=y",
		"mongodb://{service}:{password}@a,b,c/{service}?rs=rs0":  "mongodb://{service}:{password}@a,b,c/{service}?rs=rs0",
		"mongodb://{service}:" + canary + "@a,b,c/{service}?r=r": secrets.Redacted,
		"https://hooks.example/" + canary:                        secrets.Redacted,
		"https://hooks.example?t=" + canary:                      secrets.Redacted,
		"nats://a,nats://u:" + canary + "@b":                     secrets.Redacted,
	} {
		var v secrets.Value
		require.NoError(t, v.UnmarshalText([]byte(text)))
		require.Equal(t, want, v.Masked(), text)
	}
}

func TestPlainSecretsMayLookLikeReferences(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"file:x", "plain:x", "env:", "vault:x", "x"} {
		v := secrets.Plain(secret)
		require.Equal(t, secret, v.Get())
		require.Empty(t, v.Reference())
	}
	require.False(t, secrets.Plain("").IsSet())
	require.Empty(t, secrets.Value{}.Get())
	require.Empty(t, secrets.Value{}.String())
	require.Empty(t, reference(t, "file:/run/secrets/x").Get(), "it was not resolved")
}

// reference returns a value as the configuration has it.
func reference(t *testing.T, text string) secrets.Value {
	t.Helper()
	var v secrets.Value
	require.NoError(t, v.UnmarshalText([]byte(text)))
	return v
}

func TestErrorsNameTheReferenceAndNoSecret(t *testing.T) {
	t.Parallel()
	s := secrets.NewStore([]string{"EMPTY=", "TOKEN=" + canary})
	for text, want := range map[string]string{
		"file:/does/not/exist":  "no such file",
		"file:/":                "is no file",
		"file:":                 "names nothing",
		"env:EMPTY":             "is empty",
		"env:OTHER":             "is not set",
		"vault:secret/data/x":   "must be vault:PATH#KEY",
		"vault:secret/data/x#k": "vault.addr is not set",
	} {
		_, err := s.Resolve("x.y", reference(t, text), func() (secrets.VaultConfig, error) {
			return secrets.DefaultVault(), nil
		})
		require.ErrorContains(t, err, want, text)
		require.False(t, strings.Contains(err.Error(), canary))
	}
	v, err := s.Resolve("x.y", reference(t, "env:TOKEN"), nil)
	require.NoError(t, err)
	require.Equal(t, canary, v.Get())
}
