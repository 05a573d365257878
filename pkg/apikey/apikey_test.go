package apikey_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/apikey"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSecretsAreRecognized(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	letters := map[rune]bool{}
	for range 1000 {
		s := apikey.New()
		require.Regexp(t, `^souk_sk_[0-9A-Za-z]{36}$`, s)
		require.True(t, apikey.Valid(s) && apikey.Claims(s))
		require.False(t, seen[s])
		seen[s] = true
		for _, c := range s[len(apikey.Prefix):] {
			letters[c] = true
		}
		require.Len(t, apikey.Hash(s), 32)
		require.Equal(t, s[:14], apikey.Shown(s))
	}
	require.Len(t, letters, 62)
}

// The checksum is part of the format, which scanners of leaks may know: it must not change.
func TestTheChecksumStaysAsItIs(t *testing.T) {
	t.Parallel()
	require.True(t, apikey.Valid(apikey.Prefix+strings.Repeat("0", 30)+"1zN8FW"))
}

func TestGuessesAreRefused(t *testing.T) {
	t.Parallel()
	s := apikey.New()
	other := "A"
	if s[20] == 'A' {
		other = "B"
	}
	for name, guess := range map[string]string{
		"empty":              "",
		"the prefix":         apikey.Prefix,
		"a wrong character":  s[:20] + other + s[21:],
		"too short":          s[:len(s)-1],
		"too long":           s + "0",
		"another prefix":     "souk_xk_" + s[len(apikey.Prefix):],
		"without a checksum": s[:len(s)-6] + strings.Repeat("0", 6),
		"a JWT":              "eyJhbGciOiJFZERTQSJ9.e30.c2ln",
	} {
		require.False(t, apikey.Valid(guess), name)
	}
	require.Empty(t, apikey.Shown(""))
}
