// Command load tests souk under load: the flows of the k6 scripts, by visitors who arrive at planned times whatever souk
// does. A request's latency counts from when it was due, so a souk that stalls is not asked less.
//
//	go run ./tests/load              # everything, about twelve minutes; make load
//	go run ./tests/load -short       # a minute
//	go run ./tests/load -only soak -soak 2h
//	go run ./tests/load -only cost   # what a checkout and a browse cost, for docs/capacity.md
//
// It starts its own souk, measures how many customers a second it can serve, and holds the plan's stages up to half of
// that: P95 under 200 ms, P99 under 500 ms, errors under 0.1 %. Meanwhile every service of a split souk is restarted, one
// after the other. Then souk verify must be clean, and each acknowledged order must be there once. A flash sale must sell
// exactly its pieces. If anything of this fails, the exit status is 1.
package main

import (
	"context"
	"errors"
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

// parts are what -only selects from. The first ones are run without it.
var (
	parts   = []string{"one", "split"}
	further = []string{"soak", "cost", "replicas"}
)

type options struct {
	binary   string
	only     []string
	short    bool
	rate     float64
	soak     time.Duration
	services []string
	rounds   int
	keep     bool
}

func main() {
	var o options
	var only, services string
	flag.StringVar(
		&only,
		"only",
		"",
		"parts to run, with commas: one (souk in one process), split (a process for each "+
			"service, all restarted), soak, cost, replicas; default: one,split",
	)
	flag.BoolVar(&o.short, "short", false, "a minute of split instead of everything")
	flag.Float64Var(&o.rate, "rate", 0, "customers a second of the plan, instead of half of the measured capacity")
	flag.DurationVar(&o.soak, "soak", 10*time.Minute, "how long soak takes")
	flag.StringVar(&services, "restart", "", "services to restart, with commas; default: all")
	flag.IntVar(&o.rounds, "rounds", 1, "how often they are restarted, or replicas are compared")
	flag.StringVar(&o.binary, "binary", "", "the program; default: bin/souk, built from this tree")
	flag.BoolVar(&o.keep, "keep", false, "keep the data directory")
	flag.Parse()
	o.only, o.services = list(only), list(services)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func run(ctx context.Context, o options) (err error) {
	for _, part := range o.only {
		if !slices.Contains(slices.Concat(parts, further), part) {
			return fmt.Errorf(
				"there is no part %q: choose from %s",
				part,
				strings.Join(slices.Concat(parts, further), ", "),
			)
		}
	}
	switch {
	case len(o.only) > 0:
	case o.short:
		o.only = []string{"split"}
	default:
		o.only = parts
	}
	if o.binary, err = soukBinary(ctx, o.binary); err != nil {
		return err
	}
	r := &report{out: os.Stdout, began: time.Now()}
	for _, part := range o.only {
		r.begin(part)
		if err := runPart(ctx, o, part, r); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	if err := r.err(); err != nil {
		return err
	}
	r.step("all objectives are met")
	return nil
}

// runPart runs a part on a souk of its own.
func runPart(ctx context.Context, o options, part string, r *report) (err error) {
	dir, err := devstack.TempDir()
	if err != nil {
		return err
	}
	if o.keep {
		r.step("the data directory is %s", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }() // best effort: it is a temporary directory
	}
	s, err := startSouk(ctx, o.binary, filepath.Join(dir, "souk"), part != "one" && part != "soak")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	c := newClient(s.url)
	defer c.close()
	products := filepath.Join(dir, "products.csv")
	if err := writeProducts(products); err != nil {
		return err
	}
	if _, err := s.command(ctx, "import", "products", products, "--create-shops"); err != nil {
		return err
	}
	p := &phases{times: full, report: r, souk: s, client: c, orders: newPlaced(), dir: dir}
	if o.short {
		p.times = short
	}
	if p.catalogue, err = c.readCatalogue(ctx); err != nil {
		return err
	}
	r.step("souk runs with %d products in %d shops", shops*shopProducts, shops)
	switch part {
	case "cost":
		err = p.cost(ctx)
	case "replicas":
		err = p.replicas(ctx, o.rounds)
	case "soak":
		err = p.soak(ctx, max(o.rate, 1), o.soak)
	default:
		err = p.everything(ctx, o)
	}
	if err != nil {
		return err
	}
	clean, err := s.check(ctx, p.orders)
	if err != nil {
		r.fail(err.Error())
		return ctx.Err()
	}
	r.step("%s", clean)
	return nil
}

// everything measures the capacity, holds the plan, lets visitors browse and has a flash sale.
func (p *phases) everything(ctx context.Context, o options) error {
	rate := o.rate
	if rate == 0 {
		capacity, err := p.measureCapacity(ctx)
		if err != nil {
			return err
		}
		rate = capacity / 2
		p.report.step("capacity: %.1f customers/s with 12 requests each; the plan goes to half of it", capacity)
	}
	during := func(context.Context) error { return nil }
	if p.souk.split {
		during = func(ctx context.Context) error {
			for range o.rounds {
				if err := p.restartAll(ctx, o.services); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if err := p.hold(ctx, rate, during); err != nil {
		return err
	}
	if err := p.browse(ctx, 2*rate, p.times.browse); err != nil {
		return err
	}
	return p.flash(ctx, rate)
}

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
