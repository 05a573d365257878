package devstack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockName is the file in a data directory that its owner holds locked.
const LockName = "souk.lock"

// DirLock is the right to use a data directory.
type DirLock struct {
	file *os.File
}

const (
	lockTries = 5 // Locked of another process holds the lock for a moment
	lockPause = 10 * time.Millisecond
)

// Lock takes the directory for this process, making it if need be. When another process has it, the error
// names that one. The lock ends with the process, so a crash leaves nothing to clean up.
//
// A directory that is made is for this user alone; root's can be passed through (not listed), for PostgreSQL's
// folder below belongs to another user.
func Lock(dir string) (*DirLock, error) {
	mode := os.FileMode(0o700)
	if os.Getuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, LockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	err = flock(f, syscall.LOCK_EX)
	for try := 1; errors.Is(err, syscall.EWOULDBLOCK) && try < lockTries; try++ {
		time.Sleep(lockPause)
		err = flock(f, syscall.LOCK_EX)
	}
	if err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
		}
		owner := "another souk dev"
		if pid := readPID(f); pid > 0 {
			owner += fmt.Sprintf(" (pid %d)", pid)
		}
		return nil, fmt.Errorf("%s uses this data directory: %s", owner, dir)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("lock data directory: %w", err), f.Close())
	}
	return &DirLock{file: f}, nil
}

// Locked reports whether a process has the directory, and which; its pid is 0 when that can't be told. It
// writes nothing, so that it works on a directory that may only be read.
func Locked(dir string) (pid int, locked bool) {
	f, err := os.Open(filepath.Join(dir, LockName)) //nolint:gosec // a data directory that the user names
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }() // gives the lock back, too
	if err := flock(f, syscall.LOCK_SH); !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, false
	}
	return readPID(f), true
}

func flock(f *os.File, how int) error { return syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB) }

// readPID is what the owner wrote; 0 when it has not yet.
func readPID(f *os.File) int {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)                                   // nothing: no pid
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n]))) // as above
	return pid
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// Unlock gives the directory back. It may be called twice.
func (l *DirLock) Unlock() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}
