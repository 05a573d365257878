package dev

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"souk/cmd/souk/internal/machine"
)

const (
	// freeToStart is how many free bytes souk dev needs to start. A database that can't write may damage its data.
	freeToStart = 200 << 20
	// freeNone is how many free bytes count as a full disk, which then explains a failure.
	freeNone = 16 << 20
)

// errDiskFull ends souk dev. After a failed write, JetStream refuses all writes until it is restarted. No event is
// lost: events stay in the services' outboxes until JetStream has stored them.
var errDiskFull = errors.New(
	"the disk is full: JetStream can't store events; free space and start again (no event is lost)",
)

// roomToStart fails if the disk of dir has less than freeToStart bytes free.
func roomToStart(dir string) error {
	free, err := machine.Free(dir)
	if err != nil {
		return err
	}
	if free < freeToStart {
		return fmt.Errorf("the disk of %s has %d MiB free: souk dev needs at least %d MiB to start; "+
			"free some, or choose another disk with --data-dir", dir, free>>20, freeToStart>>20)
	}
	return nil
}

// explainDisk wraps err with an explanation if the disk of one of dirs is full. Otherwise it returns err.
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
