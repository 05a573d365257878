package natsauth

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"souk/pkg/config"
	"souk/pkg/natsauth"
	"souk/pkg/secrets"
	"souk/pkg/waittest"
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

// A real server runs with the printed configuration: natsauth has JetStream, the system user sees the server, and
// others are asked about.
func TestServerRunsWithItsConfiguration(t *testing.T) {
	t.Parallel()
	text, err := serverConfigOf(t, map[string]any{"identity": map[string]any{"seed": secret("a", 32)}})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "nats.conf")
	text += fmt.Sprintf("host: 127.0.0.1\nport: -1\njetstream { store_dir: %q }\n", t.TempDir())
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	o, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	o.NoSigs, o.NoLog = true, true
	s, err := server.NewServer(o)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	require.True(t, s.ReadyForConnections(10*time.Second))
	connect := func(opts ...nats.Option) (*nats.Conn, error) {
		nc, err := nats.Connect(s.ClientURL(), opts...)
		if err == nil {
			t.Cleanup(nc.Close)
		}
		return nc, err
	}
	keys, err := natsauth.DeriveKeys([]byte(strings.Repeat("a", 32)))
	require.NoError(t, err)

	nc, err := connect(nats.UserInfo(natsauth.User, keys.Password))
	require.NoError(t, err)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"evt.>"}})
	require.NoError(t, err)

	system, err := connect(nats.UserInfo(natsauth.SystemUser, keys.SystemPassword))
	require.NoError(t, err)
	m, err := system.Request("$SYS.REQ.SERVER.PING.IDZ", nil, 10*time.Second)
	require.NoError(t, err)
	require.Contains(t, string(m.Data), s.ID())
	require.NotEmpty(t, o.AuthCallout.XKey, "what the server asks is encrypted")

	asked := make(chan struct{}, 10)
	_, err = nc.Subscribe("$SYS.REQ.USER.AUTH", func(*nats.Msg) { asked <- struct{}{} })
	require.NoError(t, err)
	require.NoError(t, nc.FlushTimeout(10*time.Second))
	_, err = connect(nats.Token("x"), nats.Timeout(10*time.Second))
	require.Error(t, err, "natsauth has not answered")
	waittest.Receive(t, asked)
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
	require.NoError(t, Config{Secret: secrets.Plain(secret("a", 32))}.Validate())
	for _, wrong := range []string{secret("a", 31), "not base64: !", strings.Repeat("a", 7)} {
		require.ErrorContains(t, Config{Secret: secrets.Plain(wrong)}.Validate(), "at least 32 random bytes", wrong)
		_, err := serverConfigOf(t, map[string]any{"natsauth": map[string]any{"secret": wrong}})
		require.Error(t, err)
		require.NotContains(t, err.Error(), wrong, "an error must not tell the secret")
	}
}
