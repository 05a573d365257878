package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"souk/cmd/souk/internal/settings"
	"souk/gen/go/souk/services"
	"souk/pkg/module"
)

const composeDir = "../../infra/compose"

// composeFile is what the tests read of a Compose file.
type composeFile struct {
	Services map[string]composeService `yaml:"services"`
	Secrets  map[string]struct {
		File string `yaml:"file"`
	} `yaml:"secrets"`
}

type composeService struct {
	Image       string            `yaml:"image"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Secrets     []any             `yaml:"secrets"`
	ReadOnly    bool              `yaml:"read_only"`
	CapDrop     []string          `yaml:"cap_drop"`
	SecurityOpt []string          `yaml:"security_opt"`
	MemLimit    string            `yaml:"mem_limit"`
	Restart     string            `yaml:"restart"`
	Ports       []string          `yaml:"ports"`
	Privileged  bool              `yaml:"privileged"`
	CapAdd      []string          `yaml:"cap_add"`
	Volumes     []string          `yaml:"volumes"`
}

var composeVariable = regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)

// readCompose returns a Compose file as it is without variables in the environment.
func readCompose(t *testing.T, name string) composeFile {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(composeDir, name))
	require.NoError(t, err)
	text := composeVariable.ReplaceAllString(string(raw), "$1")
	require.NotRegexp(t, `\$\{`, text, "a variable without a default")
	var f composeFile
	require.NoError(t, yaml.Unmarshal([]byte(text), &f))
	return f
}

// composeSecrets runs init.sh, with this test as souk, and returns the folder of the secrets.
func composeSecrets(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	init := func() {
		cmd := exec.CommandContext(t.Context(), filepath.Join(composeDir, "init.sh"))
		cmd.Env = append(os.Environ(), "SECRETS_DIR="+dir, "SOUK="+self, runMain+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	init()
	before, err := os.ReadFile(filepath.Join(dir, "order.yaml"))
	require.NoError(t, err)
	init()
	after, err := os.ReadFile(filepath.Join(dir, "order.yaml"))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "a second run keeps the secrets")
	return dir
}

func TestComposeRunsEveryServiceWithAValidConfiguration(t *testing.T) {
	t.Parallel()
	file, secrets := readCompose(t, "compose.yaml"), composeSecrets(t)
	for _, s := range file.Secrets {
		require.FileExists(t, filepath.Join(secrets, filepath.Base(s.File)), "init.sh writes what compose.yaml mounts")
	}
	for _, m := range modules() {
		s, ok := file.Services[m.Name]
		require.True(t, ok, "compose.yaml has no service %s", m.Name)
		require.Equal(t, []string{"run", "--target=" + m.Name}, s.Command)
		require.Equal(t, []any{map[string]any{"source": m.Name, "target": "souk.yaml"}}, s.Secrets,
			"%s sees its own secrets only", m.Name)
		require.Equal(t, "/run/secrets/souk.yaml", s.Environment["SOUK_CONFIG"])

		var environ []string
		for name, value := range s.Environment {
			environ = append(environ, name+"="+value)
		}
		own := filepath.Join(secrets, filepath.Base(file.Secrets[m.Name].File))
		tree, err := settings.LoadFor(own, environ, []module.Module{m})
		require.NoError(t, err, m.Name)
		identity := module.DefaultIdentity()
		require.NoError(t, tree.Decode("identity", &identity))
		_, err = identity.Key(m.Name)
		require.NoError(t, err)
		require.Len(t, identity.Keys, 1, "%s has its own key only", m.Name)
		require.Len(t, identity.Trusted, len(services.Names())+1, "all services and the operator are known")

		var passwords map[string]map[string]any
		raw, err := os.ReadFile(own)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(raw, &passwords))
		var databases []string
		if len(m.Sets()) > 0 {
			databases = []string{m.Name}
		}
		require.Equal(t, databases, keysOf(passwords["postgres"]["passwords"]), m.Name)
		needsRedis := m.Redis != nil && m.Redis(m.Config())
		require.Equal(t, needsRedis, passwords["redis"]["password"] != nil, "%s and Redis's password", m.Name)
	}
	var operator map[string]map[string]any
	raw, err := os.ReadFile(filepath.Join(secrets, "operator.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(raw, &operator))
	require.Equal(t, services.Databases(), keysOf(operator["postgres"]["passwords"]))
}

func keysOf(v any) []string {
	var keys []string
	m, _ := v.(map[string]any)
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestSecretsOfComposeAreClosedToOtherUsers(t *testing.T) {
	t.Parallel()
	secrets := composeSecrets(t)
	for _, dir := range []string{secrets, filepath.Join(secrets, "raw")} {
		info, err := os.Stat(dir)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), dir)
	}
	raw, err := os.ReadDir(filepath.Join(secrets, "raw"))
	require.NoError(t, err)
	require.NotEmpty(t, raw)
	for _, e := range raw {
		info, err := e.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), e.Name())
		require.NotZero(t, info.Size(), e.Name())
	}
}

var exactTag = regexp.MustCompile(`^[a-z0-9./_-]+:v?\d+\.\d+\.?\d*(-[a-z]+)?(@sha256:[0-9a-f]{64})?$`)

func TestContainersOfComposeAreRestricted(t *testing.T) {
	t.Parallel()
	base := readCompose(t, "compose.yaml").Services
	for _, name := range []string{"compose.yaml", "compose.nats3.yaml", "compose.zitadel.yaml"} {
		for service, s := range readCompose(t, name).Services {
			for _, port := range s.Ports {
				require.True(t, strings.HasPrefix(port, "127.0.0.1:"), "%s: %s is published on %s", name, service, port)
			}
			require.False(t, s.Privileged, service)
			require.Empty(t, s.CapAdd, service)
			if s.Image != "souk:dev" && s.Image != "" {
				require.Regexp(t, exactTag, s.Image, "%s: %s", name, service)
			}
			if _, ok := base[service]; ok && name != "compose.yaml" {
				continue // it changes a service of compose.yaml, and keeps its restrictions
			}
			require.True(t, s.ReadOnly, "%s: the root of %s is not read-only", name, service)
			require.Equal(t, []string{"ALL"}, s.CapDrop, "%s: %s", name, service)
			require.Equal(t, []string{"no-new-privileges:true"}, s.SecurityOpt, "%s: %s", name, service)
			require.NotEmpty(t, s.MemLimit, "%s: %s has no limit of memory", name, service)
			require.NotEmpty(t, s.Restart, "%s: %s has no restart policy", name, service)
		}
	}
}

// TestAlloyOfComposeNeedsNoCluster: outside of a cluster Alloy does not start with a source of Kubernetes.
func TestAlloyOfComposeNeedsNoCluster(t *testing.T) {
	t.Parallel()
	read := 0
	for _, volume := range readCompose(t, "compose.yaml").Services["alloy"].Volumes {
		from, _, _ := strings.Cut(volume, ":")
		if !strings.HasSuffix(from, ".alloy") {
			require.NotContains(t, from, "observability/alloy", "single files are mounted, not the folder")
			continue
		}
		raw, err := os.ReadFile(filepath.Join("../../infra/compose", from))
		require.NoError(t, err)
		require.NotContains(t, string(raw), ".kubernetes ", from)
		read++
	}
	require.Equal(t, 2, read)
}

func TestDeploymentsRunTheNATSThatSoukIsTestedWith(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`nats-server/v2 v(\S+)`).FindSubmatch(raw)
	require.NotNil(t, version)
	tag := string(version[1]) + "-alpine"
	require.Equal(t, "nats:"+tag, readCompose(t, "compose.yaml").Services["nats"].Image)
	require.Equal(t, "nats:"+tag, readCompose(t, "compose.nats3.yaml").Services["nats-2"].Image)
	for file, want := range map[string]string{
		"evaluation.yaml": "image: docker.io/library/nats:" + tag + "\n", "values.yaml": "tag: " + tag + "\n",
	} {
		manifest, err := os.ReadFile(filepath.Join("../../infra/k8s/nats", file))
		require.NoError(t, err)
		require.Contains(t, string(manifest), want, file)
	}
}

// Each target of the Prometheus of Compose is a service of compose.yaml.
func TestPrometheusOfComposeScrapesWhatRuns(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../infra/observability/prometheus/prometheus.yml")
	require.NoError(t, err)
	running := readCompose(t, "compose.yaml").Services
	targets := regexp.MustCompile(`"([a-z-]+):\d+"`).FindAllStringSubmatch(string(raw), -1)
	require.Greater(t, len(targets), 6)
	for _, target := range targets {
		if target[1] != "localhost" {
			require.Contains(t, running, target[1], "prometheus.yml has the target %s", target[1])
		}
	}
	alloy, err := os.ReadFile("../../infra/observability/alloy/config.alloy")
	require.NoError(t, err)
	for _, variable := range regexp.MustCompile(`sys\.env\("(\w+)"\)`).FindAllStringSubmatch(string(alloy), -1) {
		require.NotEmpty(t, running["alloy"].Environment[variable[1]], "alloy reads %s", variable[1])
	}
}

func TestNATSReadsItsConfigurationOfCompose(t *testing.T) {
	secrets, root := composeSecrets(t), t.TempDir()
	t.Setenv("NATS_NAME", "nats-1")
	// As in the container: /etc/nats and /run/secrets.
	for to, files := range map[string][]string{
		"etc/nats":    {filepath.Join(composeDir, "nats.conf"), filepath.Join(composeDir, "nats-cluster.conf")},
		"run/secrets": {filepath.Join(secrets, "nats_auth.conf"), filepath.Join(secrets, "nats_cluster.conf")},
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, to), 0o700))
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(root, to, filepath.Base(file)), text, 0o600))
		}
	}
	alone, err := server.ProcessConfigFile(filepath.Join(root, "etc/nats/nats.conf"))
	require.NoError(t, err)
	require.NotNil(t, alone.AuthCallout)
	require.Equal(t, "nats-1", alone.ServerName)
	require.True(t, alone.JetStream)
	require.True(t, alone.SyncAlways)
	require.LessOrEqual(t, alone.PingInterval, 5*time.Second, "clients that vanished must leave the queue groups soon")
	require.Equal(t, 2, alone.MaxPingsOut)
	require.Empty(t, alone.Routes)

	member, err := server.ProcessConfigFile(filepath.Join(root, "etc/nats/nats-cluster.conf"))
	require.NoError(t, err)
	require.NotNil(t, member.AuthCallout)
	require.Len(t, member.Routes, 3)
	require.Equal(t, "souk", member.Cluster.Username)
	require.NotEmpty(t, member.Cluster.Password)
}
