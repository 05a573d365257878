// Package failpoint makes a process fail at a named place, so that tests can stop it exactly between two writes.
//
// Code calls Hit at the place, which costs one atomic load while no failpoint is on. A test turns a failpoint on with
// Enable, or in a process that it starts with the environment variable SOUK_FAILPOINTS:
//
//	SOUK_FAILPOINTS="checkout.after_reserve=exit;checkout.before_capture=stall(5s),after=2"
//
// Entries are separated by semicolons. An action is exit (kill -9 of the process), stall(duration) or error
// (errs.Unavailable). after=n lets the first n hits pass; times=n limits the action to n hits.
//
// Failpoints are global to the process, so parallel tests must use different names.
package failpoint

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"souk/pkg/errs"
)

// Variable is the environment variable that FromEnv reads.
const Variable = "SOUK_FAILPOINTS"

// Action is the effect of a failpoint. Create one with Exit, Stall, Error or Call.
type Action struct {
	run   func(ctx context.Context, name string) error
	after int64
	times int64
}

// Exit kills the process at once: no deferred function runs and nothing is flushed.
func Exit() Action {
	return Action{run: func(context.Context, string) error {
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return errs.Wrap(err, errs.Internal, "the failpoint could not kill the process")
		}
		select {} // until the signal arrives
	}}
}

// Stall waits for d or the end of the context. It returns no error: the stalled code must notice that it is late.
func Stall(d time.Duration) Action {
	return Action{run: func(ctx context.Context, _ string) error {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return nil
	}}
}

// Error returns err from Hit, or an errs.Unavailable error if err is nil.
func Error(err error) Action {
	return Action{run: func(_ context.Context, name string) error {
		if err == nil {
			return errs.New(errs.Unavailable, "failpoint %s", name)
		}
		return err
	}}
}

// Call runs f and returns its error from Hit. Tests use it to wait until the place is reached.
func Call(f func(ctx context.Context) error) Action {
	return Action{run: func(ctx context.Context, _ string) error { return f(ctx) }}
}

// After returns a copy of a that ignores the first n hits.
func (a Action) After(n int) Action {
	a.after = int64(n)
	return a
}

// Times returns a copy of a that fires at most n times; 0 means no limit.
func (a Action) Times(n int) Action {
	a.times = int64(n)
	return a
}

type point struct {
	action Action
	hits   atomic.Int64
}

// points holds the failpoints that are on; it is nil if all are off. It is global because the code that calls Hit can
// be reached from anywhere.
var (
	enabling sync.Mutex
	points   atomic.Pointer[map[string]*point]
)

// Hit runs the action of the failpoint name. It does nothing if the failpoint is off.
func Hit(ctx context.Context, name string) error {
	on := points.Load()
	if on == nil {
		return nil
	}
	p, ok := (*on)[name]
	if !ok {
		return nil
	}
	n := p.hits.Add(1) - p.action.after
	if n <= 0 || p.action.times > 0 && n > p.action.times {
		return nil
	}
	return p.action.run(ctx, name)
}

// Enable turns the failpoint name on and replaces its previous action. The returned function turns it off; it may be
// called more than once.
func Enable(name string, action Action) (disable func()) {
	p := &point{action: action}
	change(func(on map[string]*point) { on[name] = p })
	return func() {
		change(func(on map[string]*point) {
			if on[name] == p {
				delete(on, name)
			}
		})
	}
}

func change(f func(on map[string]*point)) {
	enabling.Lock()
	defer enabling.Unlock()
	next := map[string]*point{}
	if on := points.Load(); on != nil {
		next = maps.Clone(*on)
	}
	f(next)
	if len(next) == 0 {
		points.Store(nil)
		return
	}
	points.Store(&next)
}

// Enabled returns the names of the failpoints that are on, sorted. A process can log them at its start.
func Enabled() []string {
	on := points.Load()
	if on == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(*on))
}

// FromEnv turns on the failpoints that SOUK_FAILPOINTS lists in environ, which has the form of os.Environ. It turns
// nothing on if an entry is malformed.
//
// Errors: invalid_argument.
func FromEnv(environ []string) error {
	actions := map[string]Action{}
	for _, variable := range environ {
		spec, ok := strings.CutPrefix(variable, Variable+"=")
		if !ok {
			continue
		}
		for entry := range strings.SplitSeq(spec, ";") {
			if entry = strings.TrimSpace(entry); entry == "" {
				continue
			}
			name, action, err := parse(entry)
			if err != nil {
				return errs.Wrap(err, errs.Invalid,
					"%s: %q is not name=exit, name=stall(duration) or name=error, with ,after=n or ,times=n: %v",
					Variable, entry, err)
			}
			actions[name] = action
		}
	}
	for name, action := range actions {
		Enable(name, action)
	}
	return nil
}

func parse(entry string) (name string, a Action, err error) {
	name, spec, ok := strings.Cut(entry, "=")
	if !ok || name == "" {
		return "", Action{}, fmt.Errorf("there is no name")
	}
	what, options, _ := strings.Cut(spec, ",")
	argument, isStall := strings.CutPrefix(what, "stall(")
	switch {
	case what == "exit":
		a = Exit()
	case what == "error":
		a = Error(nil)
	case isStall && strings.HasSuffix(argument, ")"):
		d, err := time.ParseDuration(strings.TrimSuffix(argument, ")"))
		if err != nil {
			return "", Action{}, err
		}
		a = Stall(d)
	default:
		return "", Action{}, fmt.Errorf("unknown action %q", what)
	}
	if options == "" {
		return name, a, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		n, err := strconv.ParseUint(value, 10, 31)
		switch {
		case err != nil:
			return "", Action{}, fmt.Errorf("%s needs a number: %w", key, err)
		case key == "after":
			a = a.After(int(n))
		case key == "times":
			a = a.Times(int(n))
		default:
			return "", Action{}, fmt.Errorf("unknown option %q", key)
		}
	}
	return name, a, nil
}
