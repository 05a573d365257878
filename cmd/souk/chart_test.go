package main

import (
	"encoding/base64"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"souk/cmd/souk/internal/settings"
	"souk/pkg/module"
)

// chartValues are the parts of the chart's values that become souk's configuration.
type chartValues struct {
	Config  map[string]any `yaml:"config"`
	Secrets struct {
		Settings map[string]*struct {
			Secret string `yaml:"secret"`
		} `yaml:"settings"`
	} `yaml:"secrets"`
}

// readChart reads the values of an environment over the chart's own.
func readChart(t *testing.T, environment string) chartValues {
	t.Helper()
	read := func(name string) chartValues {
		raw, err := os.ReadFile(filepath.Join("../../infra/helm/souk", name))
		require.NoError(t, err)
		var v chartValues
		require.NoError(t, yaml.Unmarshal(raw, &v))
		return v
	}
	v, own := read("values.yaml"), read("values-"+environment+".yaml")
	merge(v.Config, own.Config)
	maps.Copy(v.Secrets.Settings, own.Secrets.Settings)
	// What the chart adds: infra/helm/souk/templates/_helpers.tpl.
	merge(v.Config, map[string]any{
		"admin": map[string]any{"addr": ":9090"}, "gateway": map[string]any{"addr": ":8080"},
		"rpc": map[string]any{"transport": "nats"},
	})
	return v
}

func merge(into, from map[string]any) {
	for key, value := range from {
		inner, ok := value.(map[string]any)
		if there, isMap := into[key].(map[string]any); ok && isMap {
			merge(there, inner)
			continue
		}
		into[key] = value
	}
}

// environ returns the variables with which the chart gives a service its secrets.
func (v chartValues) environ(service string) []string {
	secret := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))
	var out []string
	for setting, from := range v.Secrets.Settings {
		if from == nil {
			continue
		}
		value := secret
		if strings.HasSuffix(setting, ".passwords") {
			value = service + "=" + secret
		}
		out = append(out, "SOUK_"+strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))+"="+value)
	}
	return out
}

func TestChartConfiguresEachService(t *testing.T) {
	t.Parallel()
	for _, environment := range []string{"dev", "staging", "prod"} {
		v := readChart(t, environment)
		raw, err := yaml.Marshal(v.Config)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "souk.yaml")
		require.NoError(t, os.WriteFile(file, raw, 0o600))
		for _, m := range modules() {
			_, err := settings.LoadFor(file, v.environ(m.Name), []module.Module{m})
			require.NoError(t, err, "%s: %s", environment, m.Name)
		}
	}
}

func TestChartWithAnUnknownSettingIsRefused(t *testing.T) {
	t.Parallel()
	v := readChart(t, "prod")
	v.Config["gateway"].(map[string]any)["lame_ducks"] = "10s"
	raw, err := yaml.Marshal(v.Config)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "souk.yaml")
	require.NoError(t, os.WriteFile(file, raw, 0o600))
	all := modules()
	gateway := all[len(all)-1]
	_, err = settings.LoadFor(file, v.environ(gateway.Name), []module.Module{gateway})
	require.ErrorContains(t, err, "gateway.lame_ducks")
}
