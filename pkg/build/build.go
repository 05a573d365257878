// Package build describes what a program was built from.
package build

import (
	"cmp"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// version, commit and date are set by the linker where the source has no repository, as in the build of an image:
// -ldflags "-X souk/pkg/build.version=v1.2.0 -X souk/pkg/build.commit=… -X souk/pkg/build.date=…".
var version, commit, date string

// Info describes the build of a program. Unknown fields are empty.
type Info struct {
	// Version is the module's version, or devel.
	Version string
	// Commit is the revision of the source, with "+changes" if files had been changed since.
	Commit string
	// Time is the time of the commit.
	Time string
	// Go is the version of Go.
	Go string
}

// Read returns what the running program was built from.
func Read() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Info{Version: "devel"}
	}
	return from(info).stamped(version, commit, date)
}

// stamped returns i with what the linker has set.
func (i Info) stamped(version, commit, date string) Info {
	i.Version, i.Commit, i.Time = cmp.Or(version, i.Version), cmp.Or(commit, i.Commit), cmp.Or(date, i.Time)
	return i
}

func from(info *debug.BuildInfo) Info {
	i := Info{Version: strings.Trim(info.Main.Version, "()"), Go: info.GoVersion}
	if i.Version == "" {
		i.Version = "devel"
	}
	changed := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			i.Commit = s.Value
		case "vcs.time":
			i.Time = s.Value
		case "vcs.modified":
			changed = s.Value == "true"
		}
	}
	if changed && i.Commit != "" {
		i.Commit += "+changes"
	}
	return i
}

// String returns one line, such as "v1.2.0 (commit 4f2d…, 2026-11-29T12:00:00Z, go1.26.0)".
func (i Info) String() string {
	var details []string
	if i.Commit != "" {
		details = append(details, "commit "+i.Commit)
	}
	for _, s := range []string{i.Time, i.Go} {
		if s != "" {
			details = append(details, s)
		}
	}
	return i.Version + " (" + strings.Join(details, ", ") + ")"
}

// Metric returns souk_build_info, a gauge of 1 with the build as labels.
func (i Info) Metric() prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "souk_build_info", Help: "What the program was built from.",
		ConstLabels: prometheus.Labels{"version": i.Version, "commit": i.Commit, "go": i.Go},
	})
	g.Set(1)
	return g
}
