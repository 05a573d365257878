package dev

import (
	"fmt"
	"os"
	"strings"
	"sync"

	"souk/cmd/souk/internal/explain"
)

// failedPrefix begins the line that a process writes to its Readiness if it can't become ready.
const failedPrefix = "error: "

// Readiness reports to souk dev, which started this process, that the process is ready, or why it failed.
type Readiness struct {
	// FD is the file descriptor to which it writes. With 0 it reports nothing.
	FD   int
	once sync.Once
}

// Reached reports that the process is ready, and the address of its admin listener.
func (r *Readiness) Reached(admin string) { r.report(admin) }

// Failed reports an error, unless it is nil.
func (r *Readiness) Failed(err error) {
	if err != nil {
		r.report(failedPrefix + strings.Join(strings.Fields(explain.Error(err)), " "))
	}
}

// report writes the line. Only the first call has an effect.
func (r *Readiness) report(line string) {
	if r.FD == 0 {
		return
	}
	r.once.Do(func() {
		f := os.NewFile(uintptr(r.FD), "ready") //nolint:gosec // a small number
		_, _ = fmt.Fprintln(f, line)            // it fails only if the parent is gone, and then this process ends, too
		_ = f.Close()                           // as above
	})
}
