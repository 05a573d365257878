package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// splitGarbagePercent is for each process of souk dev --split, up to splitMemoryGoal: some 8 MB live in a service, which by
// Go's default are looked through whenever 8 more were allocated.
const (
	splitGarbagePercent = 400
	splitMemoryGoal     = 98 << 20
)

// share makes this process one of many that share the machine: souk dev --split's. What it starts inherits how it
// is scheduled; splitEnviron is the rest of what its services are told.
func share(log *zap.Logger) {
	if !setByUser(os.Environ(), "GOGC", "GOMEMLIMIT") {
		debug.SetGCPercent(splitGarbagePercent)
		debug.SetMemoryLimit(splitMemoryGoal)
	}
	if err := scheduleAsBatch(); err != nil {
		log.Warn("processes are not scheduled as a batch: calls between them cost more", zap.Error(err))
	}
}

// splitEnviron is the environment of one service of many, with what the user's leaves open.
func splitEnviron(environ []string, processors int) []string {
	if !setByUser(environ, "GOGC", "GOMEMLIMIT") {
		environ = append(environ, fmt.Sprintf("GOGC=%d", splitGarbagePercent), fmt.Sprintf("GOMEMLIMIT=%d", splitMemoryGoal))
	}
	if !setByUser(environ, "GOMAXPROCS") {
		// A service that has all processors wakes a thread for each message, to look for work that the other services
		// are about to do.
		environ = append(environ, fmt.Sprintf("GOMAXPROCS=%d", max(1, processors/2)))
	}
	return environ
}

// setByUser reports whether one of the variables is set, and not to nothing.
func setByUser(environ []string, names ...string) bool {
	return slices.ContainsFunc(environ, func(kv string) bool {
		name, value, _ := strings.Cut(kv, "=")
		return value != "" && slices.Contains(names, name)
	})
}
