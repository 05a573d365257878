package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// stdlib is the module name that govulncheck gives the standard library.
const stdlib = "stdlib"

// entry is a part of govulncheck's JSON output:
// https://pkg.go.dev/golang.org/x/vuln/internal/govulncheck#Message
type entry struct {
	OSV *struct {
		ID      string `json:"id"`
		Summary string `json:"summary"`
	} `json:"osv"`
	Finding *struct {
		OSV          string  `json:"osv"`
		FixedVersion string  `json:"fixed_version"`
		Trace        []frame `json:"trace"`
	} `json:"finding"`
}

// frame is a place in a trace. The first one is the vulnerable code: of a module, a package or a function, as far as
// govulncheck could follow.
type frame struct {
	Module   string `json:"module"`
	Version  string `json:"version"`
	Package  string `json:"package"`
	Function string `json:"function"`
}

// vulnerability is one that affects a module that souk requires.
type vulnerability struct {
	id, summary     string
	module, version string
	fixed           string // the version that mends it; "" if no version does
	function        string // that souk calls; "" if it calls none
}

type report map[string]vulnerability // by ID

func read(output []byte) (report, error) {
	r, summaries := report{}, map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(output)); ; {
		var e entry
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if e.OSV != nil {
			summaries[e.OSV.ID] = e.OSV.Summary
		}
		f := e.Finding
		if f == nil || len(f.Trace) == 0 {
			continue
		}
		v := r[f.OSV]
		at := f.Trace[0]
		v.id, v.module, v.version, v.fixed = f.OSV, at.Module, at.Version, f.FixedVersion
		if at.Function != "" {
			v.function = at.Package + "." + at.Function
		}
		r[f.OSV] = v
	}
	for id, v := range r {
		v.summary = summaries[id]
		r[id] = v
	}
	return r, nil
}

// write prints the report. It fails if souk calls a vulnerable function of a module.
func (r report) write(out io.Writer) error {
	var called, standard, others int
	for _, id := range slices.Sorted(maps.Keys(r)) {
		v := r[id]
		fixed := "nothing mends it yet"
		if v.fixed != "" {
			fixed = v.fixed + " mends it"
		}
		switch {
		case v.function == "":
			others++
			continue
		case v.module == stdlib:
			standard++
			fixed = strings.Replace(fixed, "v", "Go ", 1)
			fmt.Fprintf(out, "%s, standard library: %s (%s): %s\n", v.id, v.function, fixed, v.summary)
		default:
			called++
			fmt.Fprintf(
				out,
				"%s, %s %s: souk calls %s (%s): %s\n",
				v.id,
				v.module,
				v.version,
				v.function,
				fixed,
				v.summary,
			)
		}
	}
	fmt.Fprintf(
		out,
		"vulnerabilities: %d that souk calls in modules, %d in the standard library, %d in code that it does "+
			"not call\n",
		called,
		standard,
		others,
	)
	if called > 0 {
		return fmt.Errorf("souk calls code with %d known vulnerabilities: update the modules", called)
	}
	return nil
}
