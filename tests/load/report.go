package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

const mostFailures = 12 // that a table lists

// report prints what was measured and collects what failed.
type report struct {
	out    io.Writer
	began  time.Time
	topic  string
	broken []string
}

// begin begins a part of the report.
func (r *report) begin(topic string) {
	r.topic = topic
	fmt.Fprintf(r.out, "\n== %s\n", topic)
}

func (r *report) step(format string, args ...any) {
	fmt.Fprintf(r.out, "%6.1f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// fail adds what is broken.
func (r *report) fail(broken ...string) {
	for _, b := range broken {
		r.broken = append(r.broken, r.topic+": "+b)
		r.step("FAILED: %s", b)
	}
}

// table prints the requests of a result, and what is broken.
func (r *report) table(title string, res *result, broken []string) {
	r.step("%s", title)
	w := tabwriter.NewWriter(r.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "requests\tP50 ms\tP95 ms\tP99 ms\tP99.9 ms\tmax ms\tfailed\tnot to be retried\t  \trequest\t")
	row := func(name string, s *series) {
		fmt.Fprintf(w, "%d\t", s.latency.TotalCount())
		for _, q := range []float64{50, 95, 99, 99.9, 100} {
			fmt.Fprintf(w, "%.1f\t", float64(s.quantile(q))/float64(time.Millisecond))
		}
		fmt.Fprintf(w, "%d\t%d\t  \t%s\t\n", s.failed, s.lost, name)
	}
	for _, name := range res.names() {
		row(name, res.series[name])
	}
	row("all", res.all())
	_ = w.Flush() // as with every other line, a terminal that is gone is no error
	failures := res.failures()
	for _, line := range failures[:min(len(failures), mostFailures)] {
		fmt.Fprintln(r.out, "  "+line)
	}
	r.fail(broken...)
}

// err returns what was broken, as one error; nil if nothing was.
func (r *report) err() error {
	if len(r.broken) == 0 {
		return nil
	}
	return fmt.Errorf("%d objectives are not met:\n  %s", len(r.broken), strings.Join(r.broken, "\n  "))
}
