package e2e

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/natsauth"
)

// canaries are texts that must appear nowhere but where they belong, by what they are.
type canaries map[string]string

// planted are secrets of settings that the suite's souk does not use. They stand there to be leaked.
var planted = canaries{
	"notification.sms.twilio_token": "canary-twilio-5b1ff0",
	"telemetry.headers":             "canary-otlp-93ac71",
	"postgres.passwords":            "canary-postgres-c7e690",
	"documents.passwords":           "canary-documents-2f8815",
	"nats.password":                 "canary-nats-8be0a3",
}

// plantedEnv are the variables that set them.
func plantedEnv() []string {
	return []string{
		"SOUK_NOTIFICATION_SMS_TWILIO_TOKEN=" + planted["notification.sms.twilio_token"],
		"SOUK_TELEMETRY_HEADERS=authorization=" + planted["telemetry.headers"],
		"SOUK_POSTGRES_PASSWORDS=order=" + planted["postgres.passwords"],
		"SOUK_DOCUMENTS_PASSWORDS=user=" + planted["documents.passwords"],
		"SOUK_NATS_PASSWORD=" + planted["nats.password"],
	}
}

// personal is personal data that the suite's people type in.
var personal = canaries{
	"e-mail of a customer": "@example.com",
	"e-mail of a seller":   "@sellers.test",
	"a name":               "Ana Souza",
	"a street":             "Rua das Flores",
	"a postal code":        "01001-000",
	"a telephone number":   "91234-5678",
	"the same in E.164":    "+5511912345678",
}

// in returns what of the canaries is in a text.
func (c canaries) in(text string) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		if c[name] != "" && strings.Contains(text, c[name]) {
			found = append(found, name)
		}
	}
	return found
}

// refusals keeps the error answers of a souk's API, and the tokens with which it was called.
type refusals struct {
	mu     sync.Mutex
	bodies strings.Builder
	tokens canaries
}

func (r *refusals) note(c *client, a *answer) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.token != "" {
		r.tokens["a bearer token ending in "+c.token[max(0, len(c.token)-6):]] = c.token
	}
	if a.status >= http.StatusBadRequest {
		r.bodies.Write(a.body)
		r.bodies.WriteByte('\n')
	}
}

// secrets returns the secrets of a souk dev, and of those that called it.
func (s *souk) secrets() canaries {
	s.t.Helper()
	out := maps.Clone(planted)
	var own map[string]string
	raw, err := os.ReadFile(filepath.Join(s.dir, "secrets.json"))
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(raw, &own))
	for name, secret := range own {
		out[name+" of secrets.json"] = secret
	}
	seed, err := base64.StdEncoding.DecodeString(own["identity"])
	require.NoError(s.t, err)
	keys, err := natsauth.DeriveKeys(seed)
	require.NoError(s.t, err)
	out["natsauth's password"] = keys.Password
	var state struct{ NATS struct{ OperatorKey string } }
	raw, err = os.ReadFile(filepath.Join(s.dir, "dev.json"))
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(raw, &state))
	out["the operator's key"] = state.NATS.OperatorKey
	s.refusals.mu.Lock()
	defer s.refusals.mu.Unlock()
	maps.Copy(out, s.refusals.tokens)
	require.Greater(s.t, len(out), len(planted)+6)
	return out
}

// noLeaks requires that no secret of a souk dev is in what it logged, printed, measured, traced and refused, in a dump
// of its configuration or in the arguments of a process; and none of its people's data in what it logged, measured and
// traced.
func (s *souk) noLeaks() {
	s.t.Helper()
	secrets := s.secrets()
	both := maps.Clone(secrets)
	maps.Copy(both, personal)
	look := func(where, text string, c canaries) {
		s.t.Helper()
		if found := c.in(text); len(found) > 0 {
			s.t.Errorf("%s: leaked into %s", strings.Join(found, ", "), where)
		}
	}
	log, err := os.ReadFile(filepath.Join(s.dir, "souk.log"))
	require.NoError(s.t, err)
	require.NotEmpty(s.t, log)
	for line := range strings.SplitSeq(string(log), "\n") {
		look("the log, a line of "+message(line), line, both)
	}
	look("the output", strings.ReplaceAll(s.output.String(), "--email you@example.com", ""), both)

	var control struct {
		Control string
	}
	raw, err := os.ReadFile(filepath.Join(s.dir, "dev.json"))
	require.NoError(s.t, err)
	require.NoError(s.t, json.Unmarshal(raw, &control))
	var processes struct {
		Processes []struct{ Name, Admin string }
	}
	require.NoError(s.t, json.Unmarshal([]byte(fetch(s.t, control.Control+"/dev/processes")), &processes))
	require.NotEmpty(s.t, processes.Processes)
	for _, p := range processes.Processes {
		look("the metrics of "+p.Name, fetch(s.t, "http://"+p.Admin+"/metrics"), both)
	}
	var traces struct{ Traces []struct{ TraceID string } }
	require.NoError(s.t, json.Unmarshal([]byte(fetch(s.t, control.Control+"/dev/traces")), &traces))
	require.NotEmpty(s.t, traces.Traces)
	for _, trace := range traces.Traces {
		look("a trace", fetch(s.t, control.Control+"/dev/traces/"+trace.TraceID), both)
	}

	s.refusals.mu.Lock()
	refused := s.refusals.bodies.String()
	s.refusals.mu.Unlock()
	require.NotEmpty(s.t, refused)
	look("an error answer", refused, secrets)

	arguments, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(s.t, err)
	for _, path := range arguments {
		if raw, err := os.ReadFile(path); err == nil { // the process may have ended
			look("the arguments of a process", string(raw), secrets)
		}
	}
	if file := filepath.Join(s.dir, "souk.yaml"); fileExists(file) { // of the split souk
		s.config = file
		look("souk config show", s.must("config", "show"), both)
		s.config = ""
	}
}

func TestCanariesAreFound(t *testing.T) {
	t.Parallel()
	for name, canary := range planted {
		require.Equal(t, []string{name}, planted.in("postgres://order:"+canary+"@db"))
	}
	require.Empty(t, planted.in("canary"))
	require.Equal(t, []string{"a name", "a street"}, personal.in(`{"name":"Ana Souza","line1":"Rua das Flores 12"}`))
	require.Empty(t, canaries{"a secret that is unset": ""}.in("any text"))
}

// message returns the message of a line of the log.
func message(line string) string {
	var entry struct{ Message string }
	if json.Unmarshal([]byte(line), &entry) == nil && entry.Message != "" {
		return `"` + entry.Message + `"`
	}
	return "another form"
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func fetch(t testing.TB, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := (&http.Client{Transport: transport}).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }() // the body is only read
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode, "%s: %s", url, raw)
	return string(raw)
}
