// Command bench measures souk: the real binary, over loopback, on a private PostgreSQL that syncs to disk.
//
//	go run ./tests/bench                      # everything, as make bench does
//	go run ./tests/bench -only get,checkout   # some rows
//	go run ./tests/bench -profile /tmp/prof   # with a CPU profile of souk for each row
//
// The table shows each figure beside its limit, measured in the same run on the same machine. The limit is a bare
// net/http handler that writes the same bytes, the same SQL through pgx alone, or one-row durable updates of the
// same PostgreSQL. The exit status is 0 whatever the figures are, since this is a measurement and not a test.
// docs/benchmarks.md explains each row.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"souk/pkg/devstack"
)

func main() {
	o := options{}
	var only string
	var bare bool
	flag.StringVar(&only, "only", "", "rows to measure, with commas: "+strings.Join(rowNames(), ","))
	flag.DurationVar(&o.duration, "duration", 5*time.Second, "how long each row is measured")
	flag.BoolVar(&o.split, "split", true, "measure souk dev --split, too")
	flag.BoolVar(&o.json, "json", false, "print JSON instead of a table")
	flag.StringVar(&o.profiles, "profile", "", "folder for CPU profiles of souk, one a row")
	flag.StringVar(&o.data, "data", "../shared/data",
		"where pricerunner/offers.csv and queries.csv are; made-up products otherwise")
	flag.IntVar(&o.products, "products", 16_000, "how many products are imported")
	flag.Float64Var(&o.eventRate, "event-rate", 200, "events a second for the row events")
	flag.StringVar(&o.binary, "binary", "", "a souk to measure; default: bin/souk, built from this tree")
	flag.BoolVar(&bare, "bare", false, "be the bare handler (the program starts itself so)")
	flag.Parse()
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if bare {
		err = serveBare(os.Stdin, os.Stdout)
	} else {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	binary    string
	only      []string
	duration  time.Duration
	split     bool
	json      bool
	profiles  string
	data      string
	products  int
	eventRate float64
}

// bench is one run.
type bench struct {
	options
	dir     string // temporary, removed at the end
	dataDir string // souk's data directory
	queries []string
	souk    *souk
	starts  int
	mode    string // mode of the current phase

	catalogue *catalogue
	rows      []row
}

// phase is one start of souk and the rows that are measured on it. All phases use the same data directory.
type phase struct {
	name string
	mode string // "in process" or "split"
	env  []string
	args []string
	rows []step
}

// step measures one row, or several rows that come from the same load.
type step struct {
	name    string // the name for -only
	measure func(context.Context, *bench) ([]row, error)
}

const (
	inProcess = "in process"
	split     = "split"
)

var (
	noLimits = []string{
		"SOUK_GATEWAY_CALLER_RATE_PER_SECOND=0", "SOUK_GATEWAY_ADDRESS_RATE_PER_SECOND=0",
		"SOUK_NOTIFICATION_MAX_PER_HOUR=1000000",
	}
	noResponseCache = "SOUK_GATEWAY_CACHE_MAX_BYTES=0"
	noSearchCache   = "SOUK_PRODUCT_SEARCH_CACHE_TTL=0s"
)

// phases returns the phases in their order. Memory is measured in the last one in process, which has the most
// load.
func phases() []phase {
	checkouts := []step{
		{"cart", measureCart},
		{"events", measureEvents},
		{"checkout", measureCheckout},
		{"hot", measureHotCheckout},
		{"voucher", measureVouchers},
		{"purchase", measurePurchase},
		{"reviews", measureReviews},
		{"notifications", measureNotifications},
		{"webhooks", measureWebhooks},
	}
	return []phase{
		{
			name: "first start, response cache and list cache off",
			mode: inProcess,
			env:  []string{noResponseCache, noSearchCache},
			rows: []step{{"import", measureImport}, {"search", measureSearch}, {"search", measureSettledSearch}},
		},
		{
			name: "second start, response cache off", mode: inProcess, env: []string{noResponseCache},
			rows: []step{{"ready", measureReady}, {"get", measureGet}, {"list", measureList}},
		},
		{
			name: "as it comes",
			mode: inProcess,
			rows: slices.Concat([]step{{"get-cached", measureGetCached}}, checkouts,
				[]step{{"flag", measureFlags}, {"import", measureReimport}, {"memory", measureMemory}}),
		},
		{
			name: "split, response cache off",
			mode: split,
			env:  []string{noResponseCache, noSearchCache},
			args: []string{"--split"},
			rows: slices.Concat([]step{{"search", measureSearch}}, []step{{"get", measureGet}}, checkouts,
				[]step{{"memory", measureMemory}}),
		},
		{
			name: "split, list cache on", mode: split, env: []string{noResponseCache}, args: []string{"--split"},
			rows: []step{{"list", measureList}},
		},
	}
}

func rowNames() []string {
	var names []string
	for _, p := range phases() {
		for _, s := range p.rows {
			if !slices.Contains(names, s.name) {
				names = append(names, s.name)
			}
		}
	}
	return names
}

// wanted returns the selected steps of a phase.
func (b *bench) wanted(p phase) []step {
	if p.mode == split && !b.split {
		return nil
	}
	var out []step
	for _, s := range p.rows {
		if len(b.only) == 0 || slices.Contains(b.only, s.name) {
			out = append(out, s)
		}
	}
	return out
}

func run(ctx context.Context, o options) (err error) {
	for _, name := range o.only {
		if !slices.Contains(rowNames(), name) {
			return fmt.Errorf("there is no row %q: choose from %s", name, strings.Join(rowNames(), ", "))
		}
	}
	b := &bench{options: o, queries: queries(o.data)}
	if o.profiles != "" {
		if err := os.MkdirAll(o.profiles, 0o755); err != nil {
			return err
		}
	}
	if b.binary, err = soukBinary(ctx, o.binary); err != nil {
		return err
	}
	if b.dir, err = devstack.TempDir(); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }() // best effort: it is a temporary directory
	b.dataDir = filepath.Join(b.dir, "data")

	env := environment(ctx)
	for _, p := range phases() {
		if err := b.phase(ctx, p); err != nil {
			return err
		}
	}
	if o.json {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"environment": env, "rows": b.rows})
	}
	printTable(os.Stdout, env, b.rows)
	return nil
}

// phase starts souk, measures the phase's rows, and stops souk.
func (b *bench) phase(ctx context.Context, p phase) (err error) {
	steps := b.wanted(p)
	if len(steps) == 0 {
		return nil
	}
	ready := slices.ContainsFunc(steps, func(s step) bool { return s.name == "ready" })
	if ready && b.starts == 0 { // selected alone: a second start needs a first one
		if err := b.start(ctx, p); err != nil {
			return err
		}
		if err := b.stop(); err != nil {
			return err
		}
	}
	b.progress("\n%s: %s", p.mode, p.name)
	if err := b.start(ctx, p); err != nil {
		return err
	}
	defer func() {
		if serr := b.stop(); err == nil {
			err = serr
		}
	}()
	for _, s := range steps {
		if err := b.prepare(ctx); err != nil {
			return fmt.Errorf("prepare the catalogue: %w", err)
		}
		if err := b.awaitIdle(ctx); err != nil {
			return err
		}
		rows, err := s.measure(ctx, b)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			rows = append(rows, row{Name: s.name, Note: "not measured: " + err.Error(), failed: true})
		}
		for _, r := range rows {
			r.Mode = p.mode
			r.judge()
			b.rows = append(b.rows, r)
			b.progress("  %s", r.line())
		}
	}
	return nil
}

func (b *bench) start(ctx context.Context, p phase) (err error) {
	b.souk, err = startSouk(ctx, b.binary, b.dataDir, slices.Concat(noLimits, p.env), p.args...)
	b.mode = p.mode
	b.starts++
	return err
}

func (b *bench) stop() error {
	if b.souk == nil {
		return nil
	}
	s := b.souk
	b.souk = nil
	return s.stop()
}

func (b *bench) progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// soukBinary returns the path of the named binary. Without a name it builds bin/souk.
func soukBinary(ctx context.Context, named string) (string, error) {
	if named != "" {
		return filepath.Abs(named)
	}
	path, err := filepath.Abs("bin/souk")
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "souk/cmd/souk")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build souk: %w\n%s", err, out)
	}
	return path, nil
}
