package natsauth

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"souk/pkg/config"
	"souk/pkg/natsauth"
)

func secret(letter string, length int) string {
	return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, length)))
}

func serverConfigOf(t *testing.T, sections map[string]any) (string, error) {
	t.Helper()
	tree, err := config.FromMap(sections)
	require.NoError(t, err)
	return ServerConfig(tree)
}

func TestServerReadsItsConfiguration(t *testing.T) {
	t.Parallel()
	text, err := serverConfigOf(t, map[string]any{"identity": map[string]any{"seed": secret("a", 32)}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "nats.conf")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	o, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	require.NotNil(t, o.AuthCallout)
	require.Len(t, o.Users, 2)
	var names []string
	for _, u := range o.Users {
		names = append(names, u.Username)
		require.NotEmpty(t, u.Password)
		require.Equal(
			t,
			u.Username == natsauth.SystemUser,
			u.Account != nil && u.Account.Name == server.DEFAULT_SYSTEM_ACCOUNT,
		)
	}
	require.ElementsMatch(t, names, o.AuthCallout.AuthUsers, "only natsauth connects without being asked about")
	require.NotEmpty(t, o.AuthCallout.XKey, "what the server asks is encrypted")
}

func TestKeysOfTheServerFollowTheSecret(t *testing.T) {
	t.Parallel()
	seed := map[string]any{"seed": secret("a", 32)}
	shared, err := serverConfigOf(t, map[string]any{"identity": seed})
	require.NoError(t, err)
	again, err := serverConfigOf(t, map[string]any{"identity": seed})
	require.NoError(t, err)
	require.Equal(t, shared, again)
	own, err := serverConfigOf(
		t,
		map[string]any{"identity": seed, "natsauth": map[string]any{"secret": secret("b", 32)}},
	)
	require.NoError(t, err)
	require.NotEqual(t, shared, own, "a secret of its own replaces the shared one")
}

func TestSecretMustBeLongAndBase64(t *testing.T) {
	t.Parallel()
	require.NoError(t, Config{}.Validate())
	require.NoError(t, Config{Secret: secret("a", 32)}.Validate())
	for _, wrong := range []string{secret("a", 31), "not base64: !", strings.Repeat("a", 7)} {
		require.ErrorContains(t, Config{Secret: wrong}.Validate(), "at least 32 random bytes", wrong)
		_, err := serverConfigOf(t, map[string]any{"natsauth": map[string]any{"secret": wrong}})
		require.Error(t, err)
		require.NotContains(t, err.Error(), wrong, "an error must not tell the secret")
	}
}
