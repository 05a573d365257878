package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventsPageSaysWhoConsumes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ comment, consumer, want, err string }{
		"a variable": {
			"Made is evt.x.made: a thing was made.", `var XSubjects = []string{"evt.x.made"}
				var _ = Options{Purpose: "things", Subjects: handler.XSubjects}`,
			"| `evt.x.made` | A thing was made | `thingId` | x |", "",
		},
		"a field": {
			"Made is evt.x.made.", `var _ = Options{Purpose: "things", Subjects: []string{"evt.x.made"}}`,
			"| `evt.x.made` | – | `thingId` | x |", "",
		},
		"a reason": {
			"Made is evt.x.made: a thing was made. No service consumes it: it is for integrators.", "",
			"| `evt.x.made` | A thing was made | `thingId` | none: it is for integrators |", "",
		},
		"nobody": {"Made is evt.x.made: a thing was made.", "", "", `no service consumes evt.x.made: its comment must say why`},
		"no such event": {
			"Made is evt.x.made. No service consumes it: so far.", `var _ = Options{Purpose: "x", Subjects: []string{"evt.x.gone"}}`, "",
			"apps/x consumes evt.x.gone, but no events.proto has it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := compileSource(t, "events.proto", "syntax = \"proto3\"; package souk.x.v1;\n// "+tt.comment+`
				message Made { string thing_id = 1; } message Part { string id = 1; }`)
			require.NoError(t, err)
			root := t.TempDir()
			require.NoError(t, os.MkdirAll(filepath.Join(root, "apps/x"), 0o755))
			require.NoError(
				t,
				os.WriteFile(filepath.Join(root, "apps/x/x.go"), []byte("package x\n"+tt.consumer), 0o600),
			)
			consumers, err := consumersOf(filepath.Join(root, "apps/x"))
			require.NoError(t, err)
			page, err := eventsPage(c, []service{{Name: "x", Consumers: consumers}})
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Contains(t, string(page), tt.want+"\n")
			require.NotContains(t, string(page), "Part")
		})
	}
}

func TestConsumersMustNameTheirSubjects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	source := `package x
		var _ = Options{Purpose: "things", Subjects: handler.Subjects()}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.go"), []byte(source), 0o600))
	_, err := consumersOf(dir)
	require.ErrorContains(t, err, "the subjects of the consumer things must be literals, or a variable …Subjects")
}
