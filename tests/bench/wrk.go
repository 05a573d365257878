package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// wrkPath is where wrk is installed; "" when it is not. It costs about a third of what a client in Go costs, so
// more of the machine is left to what is measured.
func wrkPath() string {
	p, err := exec.LookPath("wrk")
	if err != nil {
		return ""
	}
	return p
}

// repeat sends one GET over and over: by wrk when it is there, by the program's own client otherwise.
func repeat(ctx context.Context, addr, path string, conns int, d time.Duration) (stats, error) {
	if bin := wrkPath(); bin != "" {
		return runWrk(ctx, bin, "http://"+addr+path, conns, d)
	}
	get := request(addr, "GET", path, "", "")
	return load{addr: addr, conns: conns, duration: d, next: func(int) []byte { return get }}.run(ctx)
}

var (
	wrkRequests = regexp.MustCompile(`(\d+) requests in ([\d.]+\w+),`)
	wrkQuantile = regexp.MustCompile(`\s(50|99)%\s+([\d.]+\w+)`)
	wrkErrors   = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkBroken   = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

func runWrk(ctx context.Context, bin, url string, conns int, d time.Duration) (stats, error) {
	seconds := max(1, int((d+time.Second-1)/time.Second))
	out, err := exec.CommandContext(ctx, bin, "-t2", "-c", strconv.Itoa(conns), "-d", strconv.Itoa(seconds), "--latency", url).CombinedOutput()
	if err != nil {
		return stats{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	text := string(out)
	m := wrkRequests.FindStringSubmatch(text)
	if m == nil {
		return stats{}, fmt.Errorf("wrk printed no figures: %s", out)
	}
	s := stats{failed: map[int]int{}}
	all, _ := strconv.Atoi(m[1]) // matched digits
	if s.elapsed, err = time.ParseDuration(m[2]); err != nil {
		return stats{}, fmt.Errorf("wrk: %w", err)
	}
	for _, q := range wrkQuantile.FindAllStringSubmatch(text, -1) {
		v, err := time.ParseDuration(q[2])
		if err != nil {
			return stats{}, fmt.Errorf("wrk: %w", err)
		}
		if q[1] == "50" {
			s.p50 = v
		} else {
			s.p99 = v
		}
	}
	if e := wrkErrors.FindStringSubmatch(text); e != nil {
		n, _ := strconv.Atoi(e[1]) // matched digits
		s.failed[-1] += n
	}
	if e := wrkBroken.FindStringSubmatch(text); e != nil {
		for _, digits := range e[1:] {
			n, _ := strconv.Atoi(digits) // matched digits
			if n > 0 {
				s.failed[0] += n
			}
		}
	}
	s.done = all - s.failed[-1]
	return s, nil
}
