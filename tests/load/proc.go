package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of processor time in /proc (USER_HZ, the same on all Linux systems).
const clockTick = 10 * time.Millisecond

// proc is a process as /proc shows it.
type proc struct {
	pid, parent int
	name        string
	used        time.Duration // processor time
	ended       time.Duration // of its children that have ended
	memory      int64         // resident bytes
	args        string
}

// procs returns souk's processes and their descendants, PostgreSQL's and Redis's included.
func (s *souk) procs() (map[int]proc, error) {
	all := map[int]proc{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, errors.New("processor time is measured by /proc, which this system does not have")
	}
	for _, file := range files {
		if p, ok := readProc(filepath.Dir(file)); ok {
			all[p.pid] = p
		}
	}
	roots := map[int]bool{s.dev.cmd.Process.Pid: true}
	for _, p := range s.more {
		roots[p.cmd.Process.Pid] = true
	}
	ours := map[int]proc{}
	for pid, p := range all {
		for at := pid; at > 1; at = all[at].parent {
			if roots[at] {
				ours[pid] = p
				break
			}
		}
	}
	return ours, nil
}

// readProc reads a process. It reports false if the process has ended.
func readProc(dir string) (proc, bool) {
	raw, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return proc{}, false
	}
	open, end := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')')
	if open < 1 || end < open {
		return proc{}, false
	}
	f := strings.Fields(string(raw[end+1:]))
	if len(f) < 22 {
		return proc{}, false
	}
	number := func(text string) int64 {
		n, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64) // the kernel writes digits
		return n
	}
	args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	return proc{
		pid: int(number(string(raw[:open]))), parent: int(number(f[1])), name: string(raw[open+1 : end]),
		used:   time.Duration(number(f[11])+number(f[12])) * clockTick,
		ended:  time.Duration(number(f[13])+number(f[14])) * clockTick,
		memory: number(f[21]) * int64(os.Getpagesize()),
		args:   strings.TrimRight(string(bytes.ReplaceAll(args, []byte{0}, []byte{' '})), " "),
	}, err == nil
}

// part returns which part of souk a process is: a service's name, "nats" (souk dev, which runs NATS, the
// development's OpenID provider and the receiver of traces), "redis", or "postgres/" and a database, or "postgres".
func (s *souk) part(p proc) string {
	switch {
	case strings.HasPrefix(p.name, "redis"):
		return "redis"
	case strings.HasPrefix(p.name, "postgres"):
		// "postgres: USER DATABASE [local] idle"
		if f := strings.Fields(p.args); len(f) > 2 && f[0] == "postgres:" && s.state.Databases[f[2]] != "" {
			return "postgres/" + f[2]
		}
		return "postgres"
	}
	for arg := range strings.FieldsSeq(p.args) {
		if service, ok := strings.CutPrefix(arg, "--target="); ok {
			return service
		}
	}
	if !s.split {
		return "souk"
	}
	return "nats"
}

// cpu returns the processor time that the parts of souk have used so far.
func (s *souk) cpu() (map[string]time.Duration, error) {
	procs, err := s.procs()
	if err != nil {
		return nil, err
	}
	used := map[string]time.Duration{}
	for _, p := range procs {
		part := s.part(p)
		used[part] += p.used
		if part == "postgres" { // its workers come and go
			used[part] += p.ended
		}
	}
	return used, nil
}

// memory returns the resident bytes of souk's own processes.
func (s *souk) memory(context.Context) (bytes int64, err error) {
	procs, err := s.procs()
	if err != nil {
		return 0, err
	}
	for _, p := range procs {
		if part := s.part(p); part != "redis" && !strings.HasPrefix(part, "postgres") {
			bytes += p.memory
		}
	}
	if bytes == 0 {
		return 0, fmt.Errorf("no process of souk in /proc")
	}
	return bytes, nil
}
