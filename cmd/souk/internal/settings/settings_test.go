package settings_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/gateway"
	"souk/cmd/souk/internal/settings"
	"souk/pkg/module"
)

func TestCommandVariablesAreAcceptedAndUnknownOnesRefused(t *testing.T) {
	t.Parallel()
	_, err := settings.Load("",
		[]string{"SOUK_URL=http://127.0.0.1:8080", "SOUK_TOKEN=secret", "SOUK_CONFIG=souk.yaml"})
	require.NoError(t, err)
	_, err = settings.Load("", []string{"SOUK_TOKENS=secret"})
	require.ErrorContains(t, err, "SOUK_TOKENS")
}

func TestAllMistakesOfAFileAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "souk.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
foo: {a: 1}
log: {level: info}
gateway: {addr: x, max_body: 1}
admin: {addr: "127.0.0.1:http-or-so"}
log: {level: debug}
`), 0o600))
	_, err := settings.LoadFor(path, nil, []module.Module{gateway.Module})
	for _, mistake := range []string{
		"foo: unknown section (" + path + ", line 2)",
		"log: stands there twice (" + path + ", line 6)",
		`gateway: addr: must be host:port such as 127.0.0.1:8080, not "x"`,
		"gateway: max_body: must be at least 1024 bytes",
		`admin.addr: must be host:port such as 127.0.0.1:8080, not "127.0.0.1:http-or-so"`,
	} {
		require.ErrorContains(t, err, mistake)
	}
}
