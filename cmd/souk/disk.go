package main

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"souk/cmd/souk/internal/machine"
)

const (
	freeToStart = 200 << 20 // below that souk dev does not start: databases that can't write do harm
	freeNone    = 16 << 20  // below that a failure is the disk's
)

// errDiskFull ends souk dev: once JetStream could not write it refuses until it is started again. Nothing is
// lost, for events stay in the services' outboxes until JetStream has them.
var errDiskFull = errors.New("the disk is full: JetStream can't store events; free space and start again (no event is lost)")

// roomToStart refuses a disk on which nothing could be written soon.
func roomToStart(dir string) error {
	free, err := machine.Free(dir)
	if err != nil {
		return err
	}
	if free < freeToStart {
		return fmt.Errorf("the disk of %s has %d MiB free: souk dev needs at least %d MiB to start; free some, or choose another disk with --data-dir", dir, free>>20, freeToStart>>20)
	}
	return nil
}

// explainDisk says of a failure that it is the full disk's, if so.
func explainDisk(err error, dirs ...string) error {
	for _, dir := range dirs {
		if free, ferr := machine.Free(dir); ferr == nil && free < freeNone {
			return fmt.Errorf("the disk of %s is full: free some space and start again (%w)", dir, err)
		}
	}
	if errors.Is(err, syscall.ENOSPC) || strings.Contains(strings.ToLower(err.Error()), "no space left on device") {
		return fmt.Errorf("the disk of %s is full: free some space and start again (%w)", dirs[0], err)
	}
	return err
}
