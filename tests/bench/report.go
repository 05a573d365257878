package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// row is a line of the table.
type row struct {
	Name  string  `json:"name"`
	Mode  string  `json:"mode"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// P50 and P99 are in milliseconds. Zero means not measured.
	P50 float64 `json:"p50Ms,omitempty"`
	P99 float64 `json:"p99Ms,omitempty"`
	// SoukCPU and DatabaseCPU are the microseconds of processor time per request. Zero means not measured.
	SoukCPU     float64 `json:"soukCpuMicros,omitempty"`
	DatabaseCPU float64 `json:"databaseCpuMicros,omitempty"`
	// Limit is the limit that was measured with Value. Zero means that there is no limit.
	Limit     float64 `json:"limit,omitempty"`
	LimitName string  `json:"limitName,omitempty"`
	// Reached is Value divided by Limit. Required is the least that Reached should be; zero means no requirement.
	Reached  float64 `json:"reached,omitempty"`
	Required float64 `json:"required,omitempty"`
	// AtMost is the most that Value should be, in rows without a limit. Zero means no bound.
	AtMost float64 `json:"atMost,omitempty"`
	Errors int     `json:"errors,omitempty"`
	Note   string  `json:"note,omitempty"`
	// Verdict is pass or below. It is empty if nothing is required.
	Verdict string `json:"verdict,omitempty"`

	failed bool
}

// judge computes Reached and Verdict.
func (r *row) judge() {
	if r.Limit > 0 {
		r.Reached = r.Value / r.Limit
	}
	switch {
	case r.failed, r.Errors > 0:
		r.Verdict = "below"
	case r.Required > 0:
		r.Verdict = verdict(r.Reached >= r.Required)
	case r.AtMost > 0:
		r.Verdict = verdict(r.Value < r.AtMost)
	}
}

func verdict(ok bool) string {
	if ok {
		return "pass"
	}
	return "below"
}

func (r *row) figure() string {
	if r.failed {
		return "–"
	}
	return strings.TrimSpace(number(r.Value) + " " + r.Unit)
}

func (r *row) latency() string {
	if r.P99 == 0 {
		return ""
	}
	return fmt.Sprintf("%s / %s", millis(r.P50), millis(r.P99))
}

func (r *row) cpu() string {
	if r.SoukCPU == 0 {
		return ""
	}
	return fmt.Sprintf("%s + %s", number(r.SoukCPU), number(r.DatabaseCPU))
}

func (r *row) limit() string {
	if r.Limit == 0 {
		return "–"
	}
	return number(r.Limit) + "/s " + r.LimitName
}

func (r *row) required() string {
	switch {
	case r.Required > 0:
		return percent(r.Required)
	case r.AtMost > 0:
		return "under " + strings.TrimSpace(number(r.AtMost)+" "+r.Unit)
	}
	return "–"
}

func (r *row) reached() string {
	if r.Limit == 0 {
		return "–"
	}
	return percent(r.Reached)
}

func (r *row) note() string {
	if r.Errors > 0 {
		return strings.TrimSuffix(fmt.Sprintf("%d errors; %s", r.Errors, r.Note), "; ")
	}
	return r.Note
}

// line returns the row as a line for the terminal.
func (r *row) line() string {
	text := fmt.Sprintf("%-46s %14s", r.Name, r.figure())
	if l := r.latency(); l != "" {
		text += "  p50/p99 ms " + l
	}
	if c := r.cpu(); c != "" {
		text += "  CPU µs " + c
	}
	if r.Limit > 0 {
		text += fmt.Sprintf("  %s of %s", r.reached(), r.limit())
	}
	if r.required() != "–" {
		text += fmt.Sprintf("  (%s: %s)", r.required(), r.Verdict)
	}
	if n := r.note(); n != "" {
		text += "  " + n
	}
	return text
}

func number(v float64) string {
	switch {
	case v >= 100:
		s := fmt.Sprintf("%.0f", v)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func percent(v float64) string {
	if v < 0.1 {
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return fmt.Sprintf("%.0f %%", 100*v)
}

func millis(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// printTable writes the table of docs/benchmarks/figures.md.
func printTable(w io.Writer, env string, rows []row) {
	fmt.Fprintf(w, "%s\n\n", env)
	fmt.Fprintln(
		w,
		"| what | mode | souk | p50 / p99 ms | CPU µs each: souk + databases | limit beside it | reached | required | | note |",
	)
	fmt.Fprintln(w, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | --- |")
	for _, r := range rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			r.Name, r.Mode, r.figure(), r.latency(), r.cpu(), r.limit(), r.reached(), r.required(), r.Verdict, r.note())
	}
}

// environment describes the machine and the programs of the measurement.
func environment(ctx context.Context) string {
	load, generator := "", "the program's own client"
	if raw, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = ", load before " + string(bytes.Fields(raw)[0])
	}
	if wrk := wrkPath(); wrk != "" {
		generator = "wrk for repeated GETs, the program's own client for the rest"
	}
	return fmt.Sprintf("%s, %d × %s%s, %s, %s; load by %s", time.Now().Format("2006-01-02"), runtime.NumCPU(),
		processor(), load, runtime.Version(), postgresVersion(ctx), generator)
}

func processor() string {
	raw, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func postgresVersion(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "psql", "--version").Output()
	if err != nil {
		return "PostgreSQL"
	}
	if f := strings.Fields(string(out)); len(f) >= 3 {
		return "PostgreSQL " + f[2]
	}
	return "PostgreSQL"
}
