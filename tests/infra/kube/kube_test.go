package kube

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"sigs.k8s.io/yaml"
)

// variants are values that switch on what no environment uses.
var variants = map[string]string{
	"secrets from Vault": `
secrets: {source: vault}
`,
	"keys of their own, documents in MongoDB, all options": `
image: {repository: "registry.example/souk/{service}", tag: v1.2.3, pullSecrets: [registry]}
config:
  documents: {url: "mongodb://{service}:{password}@mongo/{service}"}
  telemetry: {endpoint: "http://otlp:4318"}
  identity: {trusted: {order: "AAAA"}}
secrets:
  settings:
    identity.seed: null
    identity.keys: {secret: "souk-identity-{service}", key: key}
    natsauth.secret: {secret: souk-natsauth, key: secret}
    documents.passwords: {secret: "souk-mongo", key: "{service}"}
    notification.sms.twilio_token: {secret: souk-twilio, key: token}
ingress: {enabled: true, annotations: {a: b}}
httpRoute: {enabled: true}
certificate: {enabled: true}
mtls: {enabled: true, revokedConfigMap: revoked}
monitoring: {enabled: true, labels: {release: prometheus}}
defaults:
  env: {GOGC: "100"}
  podAnnotations: {a: b}
  nodeSelector: {kubernetes.io/arch: amd64}
  tolerations: [{key: souk, operator: Exists}]
networkPolicy:
  extraEgress:
    auth: [{to: [{ipBlock: {cidr: 10.1.2.3/32}}], ports: [{protocol: TCP, port: 443}]}]
`,
	"Redis with Sentinel": `
config: {redis: {addr: "", sentinels: ["sentinel-0:26379"], master: souk}}
`,
	"Redis Cluster": `
config: {redis: {addr: "", cluster: ["redis-0:6379", "redis-1:6379"]}}
`,
}

type harness struct {
	root     string
	services []Service
	crds     CRDs
	// rendered are the documents of each environment and variant.
	rendered map[string][]Document
}

func setup(t *testing.T) harness {
	t.Helper()
	h, err := shared()
	require.NoError(t, err)
	return h
}

// shared renders everything once for all tests.
var shared = sync.OnceValues(func() (harness, error) {
	root, err := Root()
	if err != nil {
		return harness{}, err
	}
	h := harness{root: root, rendered: map[string][]Document{}}
	if h.services, err = Services(root); err != nil {
		return h, err
	}
	if h.crds, err = LoadCRDs(filepath.Join(root, ".cache", "ops", "crds")); err != nil {
		return h, err
	}
	all := map[string]map[string]any{}
	for _, name := range Environments() {
		if all[name], err = Values(root, name); err != nil {
			return h, err
		}
	}
	for name, raw := range variants {
		values := map[string]any{}
		if err := yaml.UnmarshalStrict([]byte(raw), &values); err != nil {
			return h, err
		}
		all[name] = values
	}
	for _, name := range []string{"staging", "prod"} {
		if all[name+" on AWS"], err = valuesOnAWS(root, name); err != nil {
			return h, err
		}
	}
	for name, values := range all {
		c, err := Chart(root)
		if err != nil {
			return h, err
		}
		if h.rendered[name], err = Render(c, values); err != nil {
			return h, fmt.Errorf("%s: %w", name, err)
		}
	}
	return h, nil
})

// settings are the variables of the settings that docs/configuration.md has.
func (h harness) settings(t *testing.T) func(string) bool {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(h.root, "docs", "configuration.md"))
	require.NoError(t, err)
	known := map[string]bool{"SOUK_CONFIG": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)`").FindAllStringSubmatch(string(raw), -1) {
		known["SOUK_"+strings.ToUpper(strings.ReplaceAll(m[1], ".", "_"))] = true
	}
	require.Greater(t, len(known), 100)
	return func(variable string) bool { return known[variable] }
}

// problems returns what all checks say of documents.
func (h harness) problems(t *testing.T, documents []Document, scaled bool) []string {
	t.Helper()
	out, _ := Kinds(documents, h.crds)
	security, err := PodSecurity(documents)
	require.NoError(t, err)
	out = append(out, security...)
	out = append(out, Complete(documents, h.services, scaled)...)
	out = append(out, Selectors(documents)...)
	out = append(out, Memory(documents)...)
	out = append(out, Secrets(documents, h.services, h.settings(t))...)
	out = append(out, Network(documents, h.services)...)
	out = append(out, Jobs(documents)...)
	out = append(out, Entrances(documents)...)
	out = append(out, Spread(documents)...)
	out = append(out, Certificates(documents)...)
	if _, err := config(documents); err == nil { // none with Vault, whose agent writes the file
		ports, err := Ports(documents)
		require.NoError(t, err)
		stops, err := StopTimes(documents)
		require.NoError(t, err)
		out = append(append(out, ports...), stops...)
		out = append(out, Direct(documents)...)
	}
	return out
}

func TestRenderedChartIsValid(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for name, documents := range h.rendered {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Empty(t, h.problems(t, documents, name != "dev"))
			kinds := map[string]int{}
			for _, d := range documents {
				kinds[d.Kind()]++
			}
			t.Logf("%d documents: %v", len(documents), kinds)
		})
	}
}

func TestPlainManifestsAreValid(t *testing.T) {
	t.Parallel()
	h := setup(t)
	documents, err := Manifests(h.root)
	require.NoError(t, err)
	require.Empty(t, h.problems(t, documents, true))
	_, skipped := Kinds(documents, h.crds)
	t.Logf("%d documents; without a schema, so not checked: %v", len(documents), skipped)
	require.ElementsMatch(t, unchecked, skipped, "a kind that needs no exception is checked")
}

func TestGeneratedFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	root, err := Root()
	require.NoError(t, err)
	drift, err := Drift(root)
	require.NoError(t, err)
	require.Empty(t, drift)
}

func TestChartPassesHelmLint(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, environment := range Environments() {
		values, err := Values(h.root, environment)
		require.NoError(t, err)
		result := lint.RunAll(filepath.Join(h.root, "infra", "helm", "souk"), values, Namespace)
		for _, m := range result.Messages {
			// Info: the chart has no icon.
			require.LessOrEqual(t, m.Severity, support.InfoSev, "%s: %s: %v", environment, m.Path, m.Err)
		}
	}
}

func TestSchemaRefusesMistakesInValues(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for name, values := range map[string]string{
		"a key that does not exist":        `defaults: {replica: 3}`,
		"a service's key that is unknown":  `services: {order: {resource: {}}}`,
		"memory without a unit":            `defaults: {resources: {limits: {memory: "512"}}}`,
		"a source of secrets that is none": `secrets: {source: env}`,
		"a digest that is none":            `image: {digest: latest}`,
		"no DNS":                           `networkPolicy: {dns: []}`,
		"a Redis at two places":            `config: {redis: {cluster: ["redis-0:6379"]}}`,
		"sentinels without a name":         `config: {redis: {addr: "", sentinels: ["sentinel-0:26379"]}}`,
		"no Redis":                         `config: {redis: {addr: ""}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parsed := map[string]any{}
			require.NoError(t, yaml.Unmarshal([]byte(values), &parsed))
			c, err := Chart(h.root)
			require.NoError(t, err)
			_, err = Render(c, parsed)
			require.ErrorContains(t, err, "values don't meet the specifications of the schema")
		})
	}
}

func TestChartRefusesWhatItSetsItself(t *testing.T) {
	t.Parallel()
	h := setup(t)
	c, err := Chart(h.root)
	require.NoError(t, err)
	_, err = Render(c, map[string]any{"config": map[string]any{"admin": map[string]any{"addr": ":1"}}})
	require.ErrorContains(t, err, "config.admin.addr: the chart sets it")
}

func TestVaultWritesConfigurationWithOnlyTheServicesSecrets(t *testing.T) {
	t.Parallel()
	h := setup(t)
	templates := map[string]string{}
	for _, d := range h.rendered["secrets from Vault"] {
		if d.Kind() == "Deployment" || d.Kind() == "Job" {
			annotations, _ := at(d.Object, "spec", "template", "metadata", "annotations").(map[string]any)
			templates[d.Component()] = text(annotations, "vault.hashicorp.com/agent-inject-template-souk.yaml")
		}
		require.NotEqual(t, "ConfigMap", d.Kind())
	}
	require.Contains(t, templates["order"], `order: {{ with secret "secret/data/souk/souk-postgres-order" }}`+
		`{{ index .Data.data "password" | toJSON }}{{ end }}`)
	require.NotContains(t, templates["order"], "souk-postgres-cart")
	require.NotContains(t, templates["order"], "souk-auth")
	require.Contains(t, templates["auth"], `key: {{ with secret "secret/data/souk/souk-auth" }}`)
	require.Contains(t, templates["migrate"], "souk-postgres-order")
	require.NotContains(t, templates["migrate"], "souk-identity")
	require.Contains(t, templates["verify"], "souk-postgres-order")
	require.Contains(t, templates["verify"], "souk-identity")
	require.NotContains(t, templates["verify"], "souk-auth")
	require.NotContains(t, templates["verify"], "souk-payment")
	// What the agent makes of it is YAML, whatever the secret is.
	written := regexp.MustCompile(`\{\{ with .*? \}\}\{\{ index .*? \}\}\{\{ end \}\}`).
		ReplaceAllString(templates["order"], `"it's \"quoted\": #1"`)
	var parsed map[string]any
	require.NoError(t, yaml.UnmarshalStrict([]byte(written), &parsed))
	require.Equal(t, `it's "quoted": #1`, text(parsed, "postgres", "passwords", "order"))
	require.Equal(t, ":9090", text(parsed, "admin", "addr"))
}

func TestExternalSecretsCoverWhatPodsUse(t *testing.T) {
	t.Parallel()
	h := setup(t)
	made, used := map[string]bool{}, map[string]bool{}
	for _, d := range h.rendered["prod"] {
		if d.Kind() == "ExternalSecret" {
			list, _ := at(d.Object, "spec", "data").([]any)
			for _, item := range list {
				made[text(d.Object, "spec", "target", "name")+"/"+text(item, "secretKey")] = true
			}
		}
		for _, m := range regexp.MustCompile(`secretKeyRef:\n +name: (\S+)\n +key: (\S+)`).
			FindAllSubmatch(d.Raw, -1) {
			used[string(m[1])+"/"+string(m[2])] = true
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(made)))
	require.True(t, used["souk-auth/client-secret"])
	require.True(t, used["souk-migrate/order"])
}

// TestDatabasesExistForEveryService: the manifests of databases are written by hand, and name services.
func TestDatabasesExistForEveryService(t *testing.T) {
	t.Parallel()
	h := setup(t)
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(h.root, "infra", "k8s", "databases", name))
		require.NoError(t, err)
		return string(raw)
	}
	var want []string
	for _, s := range h.services {
		if s.Database {
			want = append(want, s.Name)
		}
	}
	for file, pattern := range map[string]string{
		"evaluation/postgres.yaml":  `secretKeyRef: \{name: souk-postgres-([a-z]+), key: password\}`,
		"production/cluster.yaml":   `- \{name: ([a-z]+), ensure: present`,
		"production/databases.yaml": `\n  owner: ([a-z]+)\n`,
	} {
		var found []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(read(file), -1) {
			if m[1] != "superuser" {
				found = append(found, m[1])
			}
		}
		require.ElementsMatch(t, want, found, file)
	}
}

// TestExternalPortsAreOfServicesThatReachOut: values.yaml says which ports, doc.go which services.
func TestExternalPortsAreOfServicesThatReachOut(t *testing.T) {
	t.Parallel()
	h := setup(t)
	var want []string
	for _, s := range h.services {
		if s.Reaches != "" {
			want = append(want, s.Name)
		}
	}
	raw, err := os.ReadFile(filepath.Join(h.root, "infra", "helm", "souk", "values.yaml"))
	require.NoError(t, err)
	var values map[string]any
	require.NoError(t, yaml.Unmarshal(raw, &values))
	external, _ := at(values, "networkPolicy", "external").(map[string]any)
	require.ElementsMatch(t, want, slices.Collect(maps.Keys(external)))
}

// TestStopTimesAreThoseOfTheSource: the check of termination times has copies of these constants.
func TestStopTimesAreThoseOfTheSource(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for file, lines := range map[string][]string{
		"apps/gateway/server.go": {
			"lastRequests = time.Second", "closeTimeout = 5 * time.Second",
			"return s.lameDuck + lastRequests + s.drain + closeTimeout",
		},
		"pkg/module/process.go": {"drainTimeout = 20 * time.Second", "flushTimeout = 2 * time.Second"},
	} {
		raw, err := os.ReadFile(filepath.Join(h.root, file))
		require.NoError(t, err)
		for _, line := range lines {
			require.Contains(t, strings.Join(strings.Fields(string(raw)), " "), line, file)
		}
	}
}

// TestRulesAreThoseOfObservability: the chart has a copy of the rules, which a chart can't read outside of its folder.
func TestRulesAreThoseOfObservability(t *testing.T) {
	t.Parallel()
	h := setup(t)
	read := func(dir ...string) map[string]string {
		files, err := filepath.Glob(filepath.Join(append([]string{h.root}, append(dir, "*.yaml")...)...))
		require.NoError(t, err)
		out := map[string]string{}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			out[filepath.Base(file)] = string(raw)
		}
		return out
	}
	require.Equal(t, read("infra", "observability", "prometheus", "rules"),
		read("infra", "helm", "souk", "files", "rules"), "run infra/helm/render.sh")
}

func TestTableRefusesAValueWithoutComment(t *testing.T) {
	t.Parallel()
	_, err := Table([]byte("a:\n  # What b is.\n  b: 1\n  c: 2\n"))
	require.EqualError(t, err, "values.yaml: no comment says what these are: a.c")
	table, err := Table([]byte("# All of a.\na:\n  b: 1\n  c: [x, y]\n"))
	require.NoError(t, err)
	require.Contains(t, table, "| `a` | `{\"b\":1,\"c\":[\"x\",\"y\"]}` | All of a. |")
}

func TestServicesWithRedisReachItsSentinels(t *testing.T) {
	t.Parallel()
	h := setup(t)
	reached := 0
	for _, d := range h.rendered["Redis with Sentinel"] {
		if d.Kind() == "NetworkPolicy" && strings.Contains(string(d.Raw), "port: 26379") {
			reached++
		}
	}
	uses := 0
	for _, s := range h.services {
		if s.Redis {
			uses++
		}
	}
	require.Positive(t, uses)
	require.Equal(t, uses, reached)
}
