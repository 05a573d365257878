package settings_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/settings"
)

func TestCommandVariablesAreAcceptedAndUnknownOnesRefused(t *testing.T) {
	t.Parallel()
	_, err := settings.Load("",
		[]string{"SOUK_URL=http://127.0.0.1:8080", "SOUK_TOKEN=secret", "SOUK_CONFIG=souk.yaml"})
	require.NoError(t, err)
	_, err = settings.Load("", []string{"SOUK_TOKENS=secret"})
	require.ErrorContains(t, err, "SOUK_TOKENS")
}
