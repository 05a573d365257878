package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// wrkPath returns the path of wrk, or "" if it is not installed. wrk uses about a third of the processor time
// of a client in Go, so that more of the machine is left for souk.
func wrkPath() string {
	p, err := exec.LookPath("wrk")
	if err != nil {
		return ""
	}
	return p
}

// repeat sends the same GET repeatedly, by wrk if it is installed, otherwise by the program's own client.
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
	out, err := exec.CommandContext(ctx, bin, "-t2", "-c", strconv.Itoa(conns), "-d", strconv.Itoa(seconds),
		"--latency", url).
		CombinedOutput()
	if err != nil {
		return stats{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	text := string(out)
	m := wrkRequests.FindStringSubmatch(text)
	if m == nil {
		return stats{}, fmt.Errorf("wrk printed no figures: %s", out)
	}
	s := stats{failed: map[int]int{}}
	all, _ := strconv.Atoi(m[1]) // the pattern matches digits
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
		n, _ := strconv.Atoi(e[1]) // the pattern matches digits
		s.failed[-1] += n
	}
	if e := wrkBroken.FindStringSubmatch(text); e != nil {
		for _, digits := range e[1:] {
			n, _ := strconv.Atoi(digits) // the pattern matches digits
			if n > 0 {
				s.failed[0] += n
			}
		}
	}
	s.done = all - s.failed[-1]
	return s, nil
}
