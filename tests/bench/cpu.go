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

// tick is the unit of processor time in /proc (USER_HZ, the same on all Linux systems).
const tick = 10 * time.Millisecond

// cpu is processor time, of souk's own processes and of its databases'.
type cpu struct{ souk, databases time.Duration }

func (c cpu) add(from, to cpu) cpu {
	return cpu{souk: c.souk + to.souk - from.souk, databases: c.databases + to.databases - from.databases}
}

// spent reads what a process and all that descend from it have used so far. It is zero where there is no /proc.
// Unlike a rate it hardly depends on what else the machine does.
func spent(root int) cpu {
	type process struct {
		parent int
		used   time.Duration
		name   string
	}
	processes := map[int]process{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil { // it has ended
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
		p := process{parent: n[1], used: time.Duration(n[2]+n[3]) * tick, name: string(raw[open+1 : end])}
		if database(p.name) { // with what those used that have ended: PostgreSQL's workers come and go
			p.used += time.Duration(n[4]+n[5]) * tick
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
	quietFor  = 500 * time.Millisecond
	quietWait = 20 * time.Second
	quietPart = 0.15 // of one processor, which souk uses when nobody calls it
)

// quiet waits until souk and its databases have done what an earlier row left them to do: mails, events, vacuum.
func (b *bench) quiet(ctx context.Context) error {
	for began := time.Now(); time.Since(began) < quietWait; {
		before := spent(b.souk.cmd.Process.Pid)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietFor):
		}
		used := cpu{}.add(before, spent(b.souk.cmd.Process.Pid))
		if (used.souk + used.databases).Seconds() < quietPart*quietFor.Seconds() {
			return nil
		}
	}
	b.progress("  souk is still busy with earlier rows after %s", quietWait)
	return nil
}
