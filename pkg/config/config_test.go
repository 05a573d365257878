package config_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/pkg/config"
	"souk/pkg/errs"
)

type pool struct {
	MaxConns int32         `yaml:"max_conns"`
	Idle     time.Duration `yaml:"idle"`
}

type server struct {
	Addr    string            `yaml:"addr"`
	Debug   bool              `yaml:"debug"`
	Timeout time.Duration     `yaml:"timeout"`
	Ratio   float64           `yaml:"ratio"`
	Origins []string          `yaml:"origins"`
	Delays  []time.Duration   `yaml:"delays"`
	Keys    map[string]string `yaml:"keys"`
	Pool    pool              `yaml:"pool"`
	Peers   []pool            `yaml:"peers"`
	Targets map[string]pool   `yaml:"targets"`
	Bind    netip.Addr        `yaml:"bind"`
	hidden  int               //nolint:unused // not a setting, since it is not exported
}

func (s *server) Validate() error {
	var problems []error
	if s.Timeout < 0 {
		problems = append(problems, errors.New("timeout: must not be negative"))
	}
	if s.Addr == "" {
		problems = append(problems, errs.InvalidField("addr", "must be set"))
	}
	if s.Ratio > 1 {
		problems = append(problems, errors.New("ratio: must be at most 1"))
	}
	return errors.Join(problems...)
}

func defaults() server {
	return server{Addr: "127.0.0.1:80", Timeout: time.Second, Ratio: 0.5, Pool: pool{MaxConns: 4, Idle: time.Minute}}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "souk.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestUnsetFieldsKeepTheirDefaults(t *testing.T) {
	t.Parallel()
	tree, err := config.Load("", nil)
	require.NoError(t, err)
	got := defaults()
	require.NoError(t, tree.Decode("gateway", &got))
	require.Equal(t, defaults(), got)
}

func TestFlagsOverrideEnvironmentAndEnvironmentOverridesFile(t *testing.T) {
	t.Parallel()
	path := write(t, `
gateway:
  addr: 127.0.0.1:8080
  timeout: 5s
  origins: [https://a.example, https://b.example]
  keys: {a: "1"}
  bind: 10.0.0.1
  pool: {max_conns: 8}
  peers: [{max_conns: 1}, {idle: 2s}]
  targets: {order: {max_conns: 3}}
order: {}
`)
	tree, err := config.Load(path, []string{
		"SOUK_GATEWAY_TIMEOUT=7s", "SOUK_GATEWAY_DEBUG=true", "SOUK_GATEWAY_RATIO=0.25",
		"SOUK_GATEWAY_ORIGINS=https://c.example, https://d.example", "SOUK_GATEWAY_DELAYS=1s,2m",
		"SOUK_GATEWAY_KEYS=x=1,y=2", "SOUK_GATEWAY_POOL_IDLE=3s", "SOUK_GATEWAY_BIND=10.0.0.2",
		"PATH=/bin", "SOUK_TEST_REDIS_ADDR=x", "SOUK_FAILPOINTS=y", "SOUK_EXTRA_THING=z",
	}, "SOUK_EXTRA_*")
	require.NoError(t, err)
	tree, err = tree.WithDefaults(
		map[string]any{"gateway": map[string]any{"addr": "unused", "pool": map[string]any{"max_conns": 1}}},
	)
	require.NoError(t, err)
	tree, err = tree.WithOverrides(map[string]any{"gateway": map[string]any{"debug": false}})
	require.NoError(t, err)
	require.NoError(t, tree.CheckSections("gateway", "order"))

	got := defaults()
	require.NoError(t, tree.Decode("gateway", &got))
	require.Equal(t, server{
		Addr: "127.0.0.1:8080", Debug: false, Timeout: 7 * time.Second, Ratio: 0.25,
		Origins: []string{"https://c.example", "https://d.example"},
		Delays:  []time.Duration{time.Second, 2 * time.Minute},
		Keys:    map[string]string{"x": "1", "y": "2"},
		Pool:    pool{MaxConns: 8, Idle: 3 * time.Second},
		Peers:   []pool{{MaxConns: 1}, {Idle: 2 * time.Second}},
		Targets: map[string]pool{"order": {MaxConns: 3}},
		Bind:    netip.MustParseAddr("10.0.0.2"),
	}, got)
}

func TestStringVariableIsTakenLiterally(t *testing.T) {
	t.Parallel()
	tree, err := config.Load("", []string{"SOUK_GATEWAY_ADDR=123: yes #no"})
	require.NoError(t, err)
	got := defaults()
	require.NoError(t, tree.Decode("gateway", &got))
	require.Equal(t, "123: yes #no", got.Addr)
}

func TestMistakesAreReportedWithPathAndSuggestion(t *testing.T) {
	t.Parallel()
	path := write(t, `
gateway:
  adr: x
  timeout: soon
  timeout: 3s
  pool:
    max_conn: 5
  peers: [{idel: 1s}]
  debug: 7
`)
	tree, err := config.Load(path,
		[]string{"SOUK_GATEWAY_TIMOUT=5s", "SOUK_GATEWAY_POOL_MAX_CONNS=many", "SOUK_GATEWAY_RATIO="})
	require.NoError(t, err)
	got := defaults()
	err = tree.Decode("gateway", &got)
	require.True(t, errs.Is(err, errs.Invalid))
	msgs := map[string]string{}
	for _, f := range errs.From(err).Fields {
		msgs[f.Path] += f.Message + "|"
	}
	require.Contains(t, msgs["gateway.adr"], `did you mean "addr"?`)
	require.Contains(t, msgs["gateway.adr"], "line 3")
	require.Contains(t, msgs["gateway.timeout"], `must be a duration such as "5s", not "soon"`)
	require.Contains(t, msgs["gateway.timeout"], "twice")
	require.Contains(t, msgs["gateway.pool.max_conn"], `did you mean "max_conns"?`)
	require.Contains(t, msgs["gateway.peers[0].idel"], `did you mean "idle"?`)
	require.Contains(t, msgs["gateway.debug"], "must be true or false")
	require.Contains(t, msgs["SOUK_GATEWAY_TIMOUT"], `did you mean "SOUK_GATEWAY_TIMEOUT"?`)
	require.Contains(t, msgs["gateway.pool.max_conns"], "must be a whole number")
	require.Contains(t, msgs["gateway.ratio"], "must be a number")
}

func TestUnknownSectionsAndVariablesAreErrors(t *testing.T) {
	t.Parallel()
	path := write(t, "gatway: {}\nservices: {order: {}, ordre: {}}\n")
	tree, err := config.Load(path, []string{"SOUK_GATWAY_ADDR=x", "SOUK_WHATEVER=y", "SOUK_SERVICES_ORDER_X=1"})
	require.NoError(t, err)
	err = tree.CheckSections("gateway", "services.order")
	require.Error(t, err)
	require.Contains(t, err.Error(), `gatway: unknown section (`+path+`, line 1); did you mean "gateway"?`)
	require.Contains(t, err.Error(), `services.ordre: unknown section`)
	require.Contains(t, err.Error(), `SOUK_GATWAY_ADDR: no setting has this variable; did you mean "SOUK_GATEWAY_…"?`)
	require.Contains(t, err.Error(), `SOUK_WHATEVER: no setting`)
	require.NotContains(t, err.Error(), "SOUK_SERVICES_ORDER_X")
}

func TestOnlySimilarNamesAreSuggested(t *testing.T) {
	t.Parallel()
	path := write(t, "foo: {}\nusre: {}\nlgo: {}\n")
	tree, err := config.Load(
		path,
		[]string{
			"SOUK_BOGUS=1",
			"SOUK_LOT_LEVEL=x",
			"SOUK_REDSI_DIAL_TIMEOUT=1s",
			"SOUK_GATEWAY_XYZ=1",
			"SOUK_GATEWAY_DEBGU=1",
		},
	)
	require.NoError(t, err)
	message := tree.CheckSections("log", "user", "redis", "gateway").Error()
	for _, want := range []string{
		"config: 6 mistakes\n  foo: unknown section (" + path + ", line 1)\n  usre: ", `line 2); did you mean "user"?`, `line 3); did you mean "log"?`,
		"\n  SOUK_BOGUS: no setting has this variable\n  ", `SOUK_LOT_LEVEL: no setting has this variable; did you mean "SOUK_LOG_…"?`,
		`SOUK_REDSI_DIAL_TIMEOUT: no setting has this variable; did you mean "SOUK_REDIS_…"?`,
	} {
		require.Contains(t, message, want)
	}
	got := defaults()
	message = tree.Decode("gateway", &got).Error()
	require.Contains(t, message, `SOUK_GATEWAY_DEBGU: no setting has this variable; did you mean "SOUK_GATEWAY_DEBUG"?`)
	require.Regexp(t, `SOUK_GATEWAY_XYZ: no setting has this variable$`, message)
}

func TestAllMistakesOfAllSectionsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	tree, err := config.FromMap(map[string]any{
		"gateway": map[string]any{"timeout": "-1s", "addr": "", "ratio": "much", "debug": 7},
		"order":   map[string]any{"ratio": 2, "adr": "x"},
	})
	require.NoError(t, err)
	gateway, order := defaults(), defaults()
	gateway.Ratio = 3 // an invalid default, as if a value were required
	err = tree.DecodeAll(config.Section{Name: "gateway", Into: &gateway}, config.Section{Name: "order", Into: &order})
	require.True(t, errs.Is(err, errs.Invalid))
	var mistakes []string
	for _, f := range errs.From(err).Fields {
		mistakes = append(mistakes, f.Path+": "+f.Message)
	}
	require.ElementsMatch(t, []string{
		`gateway.ratio: must be a number, not "much" (built-in defaults)`,
		`gateway.debug: must be true or false, not "7" (built-in defaults)`,
		"gateway: timeout: must not be negative",
		"gateway.addr: must be set",
		`order.adr: unknown key (built-in defaults); did you mean "addr"?`,
		"order: ratio: must be at most 1",
	}, mistakes)
}

func TestInvalidFilesAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"list": "- a", "two": "a: {}\n---\nb: {}", "broken": "a: [", "scalar section": "gateway: 5",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree, err := config.Load(write(t, text), nil)
			if err == nil {
				got := defaults()
				err = tree.Decode("gateway", &got)
			}
			require.True(t, errs.Is(err, errs.Invalid), "%v", err)
		})
	}
	_, err := config.Load(filepath.Join(t.TempDir(), "missing.yaml"), nil)
	require.ErrorContains(t, err, "cannot read")
	tree, err := config.Load(write(t, "# nothing\n"), nil)
	require.NoError(t, err)
	got := defaults()
	require.NoError(t, tree.Decode("gateway", &got))
	require.Error(t, tree.Decode("gateway", got))
}
