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
	lockAttempts = 5 // Locked, called by another process, holds the lock for a moment
	lockBackoff  = 10 * time.Millisecond
)

// Lock acquires the directory for this process and creates it if it does not exist. If another process holds
// it, the error gives that process's ID. The lock ends with the process, so that a crash leaves nothing to
// clean up.
//
// A directory that Lock creates is accessible to this user only. Root's directory can be traversed, but not
// listed, by other users, since PostgreSQL's folder in it belongs to another user.
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
	for attempt := 1; errors.Is(err, syscall.EWOULDBLOCK) && attempt < lockAttempts; attempt++ {
		time.Sleep(lockBackoff)
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

// Locked reports whether a process holds the directory, and its process ID, which is 0 if it is not known.
// Locked writes nothing, so that it works on a read-only directory.
func Locked(dir string) (pid int, locked bool) {
	f, err := os.Open(filepath.Join(dir, LockName)) //nolint:gosec // a data directory that the user names
	if err != nil {
		return 0, false
	}
	defer func() { _ = f.Close() }() // also releases the lock
	if err := flock(f, syscall.LOCK_SH); !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, false
	}
	return readPID(f), true
}

func flock(f *os.File, how int) error { return syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB) }

// readPID returns the process ID that the owner wrote, or 0 if it has not written one yet.
func readPID(f *os.File) int {
	b := make([]byte, 32)
	n, _ := f.ReadAt(b, 0)                                   // an error leaves n or the PID 0
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n]))) // 0 if it is not a number
	return pid
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// Unlock releases the directory. It may be called twice.
func (l *DirLock) Unlock() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("unlock data directory: %w", err)
	}
	return nil
}
