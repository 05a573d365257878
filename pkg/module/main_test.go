package module

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// greeting is a module that fails with the text in its configuration section.
var greeting = Module{Name: "order", Build: func(_ context.Context, p *Platform) (Runnable, error) {
	var c struct {
		Greeting string `yaml:"greeting"`
	}
	if err := p.Config(&c); err != nil {
		return nil, err
	}
	return nil, errors.New("greeting: " + c.Greeting)
}}

func TestMainReadsTheFileOfTheFlagOrTheVariable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seed := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(
			t,
			os.WriteFile(
				path,
				[]byte("identity: {seed: "+seed+"}\nrpc: {transport: nats}\norder: {greeting: "+text+"}\n"),
				0o600,
			),
		)
		return path
	}
	flagged, variable := file("flag.yaml", "by-flag"), file("variable.yaml", "by-variable")
	environ := []string{"PATH=/bin", "SOUK_CONFIG=" + variable}
	for name, tc := range map[string]struct {
		args, environ []string
		want          string
	}{
		"flag":          {[]string{"--config", flagged}, nil, "greeting: by-flag"},
		"flag with =":   {[]string{"--config=" + flagged}, nil, "greeting: by-flag"},
		"one dash":      {[]string{"-config", flagged}, nil, "greeting: by-flag"},
		"variable":      {nil, environ, "greeting: by-variable"},
		"the flag wins": {[]string{"--config", flagged}, environ, "greeting: by-flag"},
		"an empty flag": {
			[]string{"--config="}, append(environ, "SOUK_IDENTITY_SEED="+seed, "SOUK_RPC_TRANSPORT=nats", "SOUK_ORDER_GREETING=by-environment"),
			"greeting: by-environment",
		},
		"no transport":     {nil, []string{"SOUK_IDENTITY_SEED=" + seed}, "rpc: transport: must be nats"},
		"there is no file": {[]string{"--config", filepath.Join(dir, "none.yaml")}, environ, "none.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			require.Equal(
				t,
				1,
				mainStatus(append([]string{"/usr/bin/order"}, tc.args...), tc.environ, &out, &errOut,
					[]Module{greeting}),
			)
			require.Contains(t, errOut.String(), tc.want)
			require.Empty(t, out.String())
		})
	}
}

func TestMainRefusesInvalidArguments(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"error: there is no flag --confg: see order --help\n": {
			"--confg", "souk.yaml",
		},
		"error: there is no flag --v: see order --help\n":                                      {"-v"},
		"error: flag needs an argument: -config: see order --help\n":                           {"--config"},
		"error: unexpected argument \"souk.yaml\": see order --help\n":                         {"souk.yaml"},
		"error: invalid boolean value \"maybe\" for -migrate: parse error: see order --help\n": {"--migrate=maybe"},
		"error: unexpected argument \"--config\": see order --help\n":                          {"--", "--config"},
	} {
		var out, errOut bytes.Buffer
		require.Equal(t, 2,
			mainStatus(append([]string{"/usr/bin/order"}, args...), nil, &out, &errOut, []Module{greeting}), want)
		require.Equal(t, want, errOut.String())
		require.Empty(t, out.String())
	}
}

func TestMainPrintsItsVersion(t *testing.T) {
	t.Parallel()
	var out, errOut bytes.Buffer
	require.Zero(t, mainStatus([]string{"/usr/bin/order", "--version"}, nil, &out, &errOut, []Module{greeting}))
	require.Regexp(t, `^order \S+ \(.*go1\..*\)\n$`, out.String())
	require.Empty(t, errOut.String())
}

func TestMainPrintsHelp(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"--help", "-help", "-h"} {
		var out, errOut bytes.Buffer
		require.Zero(
			t,
			mainStatus([]string{"/usr/bin/order", arg}, []string{"SOUK_CONFIG=/etc/souk.yaml"}, &out, &errOut,
				[]Module{greeting}),
		)
		require.Empty(t, errOut.String())
		require.True(t, strings.HasPrefix(out.String(), "Runs a service of souk (order) in a process of its own.\n"),
			out.String())
		for _, part := range []string{
			"order [--config FILE] [--migrate]", "SOUK_CONFIG names it", "--migrate", "--help",
		} {
			require.Contains(t, out.String(), part)
		}
	}
}
