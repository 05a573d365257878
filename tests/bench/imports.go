package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxGrowth bounds the import's peak memory, as a multiple of its memory after a quarter of the time.
const maxGrowth = 1.5

// importRun is the result of a souk import.
type importRun struct {
	elapsed time.Duration
	summary string
	quarter int64 // resident bytes after a quarter of the time
	last    int64 // resident bytes at the end
	peak    int64 // most resident bytes
}

// importFile runs souk import products and watches its memory.
func (b *bench) importFile(ctx context.Context, file string) (importRun, error) {
	cmd := b.souk.command(ctx, "import", "products", file, "--create-shops")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return importRun{}, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	run := importRun{}
	var seen []int64
	for {
		select {
		case err := <-done:
			if err != nil {
				return run, fmt.Errorf("souk import: %w: %s%s", err, &out, &errOut)
			}
			run.elapsed = time.Since(began)
			run.summary = strings.TrimSpace(out.String())
			if len(seen) > 0 {
				run.quarter, run.last = seen[len(seen)/4], seen[len(seen)-1]
			}
			return run, nil
		case <-time.After(20 * time.Millisecond):
			if rss, err := memory(cmd.Process.Pid, "VmRSS"); err == nil {
				seen = append(seen, rss)
				run.peak = max(run.peak, rss)
			}
		}
	}
}

// memory returns a value of /proc/PID/status in bytes.
func memory(pid int, key string) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			kb, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, key)
}

const mega = 1e6

func measureImport(_ context.Context, b *bench) ([]row, error) {
	r := b.catalogue.imported
	return importRows("import", b.products, r), nil
}

func importRows(name string, products int, r importRun) []row {
	seconds := row{
		Name: fmt.Sprintf("%s of %d products", name, products), Value: r.elapsed.Seconds(), Unit: "s", AtMost: 60,
		Note: fmt.Sprintf("%s rows/s; %s", number(float64(products)/r.elapsed.Seconds()), r.summary),
	}
	memory := row{
		Name:   name + ", memory of the command at its peak",
		Value:  float64(r.peak) / mega,
		Unit:   "MB",
		AtMost: maxGrowth * float64(r.quarter) / mega,
		Note: fmt.Sprintf("%.0f MB after a quarter, %.0f MB at the end", float64(r.quarter)/mega,
			float64(r.last)/mega),
	}
	return []row{seconds, memory}
}

// measureReimport imports the same file again, which changes nothing.
func measureReimport(ctx context.Context, b *bench) ([]row, error) {
	run, err := b.importFile(ctx, b.dir+"/products.csv")
	if err != nil {
		return nil, err
	}
	rows := importRows("the same import again,", b.products, run)[:1]
	rows[0].AtMost = 0
	return rows, nil
}

func measureReady(_ context.Context, b *bench) ([]row, error) {
	return []row{
		{
			Name:   "ready, second start",
			Value:  b.souk.ready.Seconds(),
			Unit:   "s",
			AtMost: 4,
			Note:   "all migrations checked, with the catalogue",
		},
	}, nil
}

// memoryDelay is the time from the end of the load to the measurement of memory. souk returns the memory that
// it took under load within two seconds.
const memoryDelay = 3 * time.Second

// measureMemory measures the memory of souk's own processes after the load of the phase.
func measureMemory(ctx context.Context, b *bench) ([]row, error) {
	pids, err := b.souk.processes(ctx)
	if err != nil {
		return nil, err
	}
	atOnce, err := memoryOf(pids, "VmRSS")
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(memoryDelay):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	sum, err := memoryOf(pids, "VmRSS")
	if err != nil {
		return nil, err
	}
	peak, err := memoryOf(pids, "VmHWM")
	if err != nil {
		return nil, err
	}
	r := row{
		Name:  "memory, without databases",
		Value: float64(sum) / mega,
		Unit:  "MB",
		Note: fmt.Sprintf("%.0f MB as the load ended, this is %.0f s later; peak %.0f MB; %s", float64(atOnce)/mega,
			memoryDelay.Seconds(), float64(peak)/mega, b.gcSettings(ctx)),
	}
	if b.souk.split {
		r.Note = fmt.Sprintf("%d processes; %s", len(pids), r.Note)
	} else {
		r.AtMost = 200
	}
	return []row{r}, nil
}

// memoryOf returns the sum of a value of /proc/PID/status in bytes.
func memoryOf(pids []int, key string) (sum int64, err error) {
	for _, pid := range pids {
		n, err := memory(pid, key)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// gcSettings describes the garbage collector's settings and the size of the heap.
func (b *bench) gcSettings(ctx context.Context) string {
	raw, err := captureFor(ctx, "http://"+b.souk.state.Admin+"/metrics")
	if err != nil {
		return ""
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch name {
		case "go_gc_gogc_percent":
			out = append(out, fmt.Sprintf("GOGC=%.0f", v))
		case "go_gc_gomemlimit_bytes":
			if v < 1<<50 {
				out = append(out, fmt.Sprintf("GOMEMLIMIT=%.0fMB", v/mega))
			}
		case "go_memstats_heap_alloc_bytes":
			out = append(out, fmt.Sprintf("heap %.0f MB", v/mega))
		}
	}
	return strings.Join(out, ", ")
}

// verify runs souk verify and returns its result as a row.
func (b *bench) verify(ctx context.Context, after string) row {
	cmd := b.souk.command(ctx, "verify")
	out, err := cmd.CombinedOutput()
	r := row{Name: "souk verify after " + after, Unit: "clean"}
	if err != nil {
		r.Unit, r.failed = "", true
		var lines []string
		for line := range strings.Lines(string(out)) {
			lines = append(lines, strings.TrimSpace(line))
		}
		r.Note = err.Error() + ": " + strings.Join(lines[max(0, len(lines)-6):], " · ")
		return r
	}
	r.Value, r.Verdict = 1, "pass"
	return r
}
