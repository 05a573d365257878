package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	called = `{"osv": {"id": "GO-1", "summary": "Panic"}}
{"finding": {"osv": "GO-1", "fixed_version": "v1.2.1", "trace": [{"module": "example.com/m", "version": "v1.2.0"}]}}
{"finding": {"osv": "GO-1", "fixed_version": "v1.2.1", "trace": [
	{"module": "example.com/m", "version": "v1.2.0", "package": "example.com/m/p", "function": "Parse"},
	{"module": "souk", "package": "souk/pkg/x", "function": "F"}]}}`
	required = `{"osv": {"id": "GO-2", "summary": "Leak"}}
{"finding": {"osv": "GO-2", "trace": [{"module": "example.com/n", "version": "v0.1.0", "package": "example.com/n"}]}}`
	standard = `{"osv": {"id": "GO-3", "summary": "Slow"}}
{"finding": {"osv": "GO-3", "fixed_version": "v1.26.9", "trace": [
	{"module": "stdlib", "version": "go1.26.8", "package": "net/url", "function": "Parse"}]}}`
)

func TestReport(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		output  string
		fails   bool
		written []string
	}{
		"a function that souk calls": {called + required, true, []string{
			"GO-1, example.com/m v1.2.0: souk calls example.com/m/p.Parse (v1.2.1 mends it): Panic",
			"1 that souk calls in modules, 0 in the standard library, 1 in code that it does not call",
		}},
		"only required": {required, false, []string{"0 that souk calls in modules"}},
		"the standard library": {standard, false, []string{
			"GO-3, standard library: net/url.Parse (Go 1.26.9 mends it): Slow", "1 in the standard library",
		}},
		"nothing": {`{"config": {}}`, false, []string{"0 that souk calls in modules, 0 in the standard library, 0 in"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := read([]byte(test.output))
			require.NoError(t, err)
			var out strings.Builder
			err = r.write(&out)
			require.Equal(t, test.fails, err != nil)
			for _, text := range test.written {
				require.Contains(t, out.String(), text)
			}
		})
	}
	_, err := read([]byte(`{"finding": `))
	require.Error(t, err)
}
