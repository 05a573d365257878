package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// destroy kills PostgreSQL, souk and its other servers without a warning, and removes the volumes of PostgreSQL,
// JetStream and Redis. The configuration (passwords, keys) stays, as it would be in a secrets store.
func (d *drill) destroy() error {
	// A souk that is stopped starts no server again.
	if err := d.souk.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(d.backup.data, "postmaster.pid"))
	if err != nil {
		return err
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	postmaster, err := strconv.Atoi(string(line))
	if err != nil {
		return fmt.Errorf("postmaster.pid: %w", err)
	}
	if err := syscall.Kill(postmaster, syscall.SIGKILL); err != nil {
		return err
	}
	d.souk.kill() // which ends Redis, too
	d.backup.stop()
	var failed error
	for _, volume := range []string{d.backup.data, filepath.Join(d.souk.dir, "nats"), filepath.Join(d.souk.dir, "redis")} {
		failed = errors.Join(failed, remove(volume))
	}
	return failed
}

// remove removes a folder, in which servers that are about to end may still write.
func remove(folder string) error {
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := os.RemoveAll(folder)
		if err == nil || time.Since(began) > 10*time.Second {
			return err
		}
	}
}
