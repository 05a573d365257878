package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor time in /proc (USER_HZ, the same on all Linux systems).
const clockTick = 10 * time.Millisecond

// cpu is the processor time of souk's own processes and of its databases.
type cpu struct{ souk, databases time.Duration }

func (c cpu) add(from, to cpu) cpu {
	return cpu{souk: c.souk + to.souk - from.souk, databases: c.databases + to.databases - from.databases}
}

// cpuTime returns the processor time that a process and its descendants have used so far. It is zero on a
// system without /proc. Unlike a rate, it hardly depends on the other load of the machine.
func cpuTime(root int) cpu {
	type process struct {
		parent int
		used   time.Duration
		name   string
	}
	processes := map[int]process{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is valid
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil { // the process has ended
			continue
		}
		open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
		if open < 1 || end < open {
			continue
		}
		f := strings.Fields(string(raw[end+1:]))
		if len(f) < 15 {
			continue
		}
		var n [6]int
		for i, text := range []string{strings.TrimSpace(string(raw[:open])), f[1], f[11], f[12], f[13], f[14]} {
			n[i], _ = strconv.Atoi(text) // the kernel writes digits
		}
		p := process{parent: n[1], used: time.Duration(n[2]+n[3]) * clockTick, name: string(raw[open+1 : end])}
		if database(p.name) { // add the time of children that have ended, since PostgreSQL's workers are short-lived
			p.used += time.Duration(n[4]+n[5]) * clockTick
		}
		processes[n[0]] = p
	}
	var sum cpu
	for pid, p := range processes {
		for at := pid; at > 1; at = processes[at].parent {
			if at != root {
				continue
			}
			if database(p.name) {
				sum.databases += p.used
			} else {
				sum.souk += p.used
			}
			break
		}
	}
	return sum
}

func database(name string) bool {
	return strings.HasPrefix(name, "postgres") || strings.HasPrefix(name, "redis")
}

const (
	idleInterval = 500 * time.Millisecond
	idleTimeout  = 20 * time.Second
	idleCPU      = 0.35 // of one processor: more than the polls of all services and their databases take
)

// awaitIdle waits until souk and its databases have finished the work of earlier rows: mails, events, vacuum.
func (b *bench) awaitIdle(ctx context.Context) error {
	for began := time.Now(); time.Since(began) < idleTimeout; {
		before := cpuTime(b.souk.cmd.Process.Pid)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(idleInterval):
		}
		used := cpu{}.add(before, cpuTime(b.souk.cmd.Process.Pid))
		if (used.souk + used.databases).Seconds() < idleCPU*idleInterval.Seconds() {
			return nil
		}
	}
	b.progress("  souk is still busy with earlier rows after %s", idleTimeout)
	return nil
}
