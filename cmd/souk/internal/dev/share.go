package dev

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// Each process of souk dev --split uses splitGarbagePercent, up to splitMemoryGoal bytes. A service has some 8 MB of
// live bytes. With Go's default, the collector would scan them after every 8 MB of allocations.
const (
	splitGarbagePercent = 400
	splitMemoryGoal     = 98 << 20
)

// share tunes this process to share the machine with the services of souk dev --split. The services inherit its
// scheduling policy; splitEnviron sets the rest.
func share(log *zap.Logger) {
	if !setByUser(os.Environ(), "GOGC", "GOMEMLIMIT") {
		debug.SetGCPercent(splitGarbagePercent)
		debug.SetMemoryLimit(splitMemoryGoal)
	}
	if err := scheduleAsBatch(); err != nil {
		log.Warn("processes are not scheduled as a batch: calls between them cost more", zap.Error(err))
	}
}

// splitEnviron returns the environment of one service of souk dev --split. It adds what the user did not set.
func splitEnviron(environ []string, processors int) []string {
	if !setByUser(environ, "GOGC", "GOMEMLIMIT") {
		environ = append(environ,
			fmt.Sprintf("GOGC=%d", splitGarbagePercent), fmt.Sprintf("GOMEMLIMIT=%d", splitMemoryGoal))
	}
	if !setByUser(environ, "GOMAXPROCS") {
		// With all processors, a service wakes a thread for each message to search for more work. That takes the
		// processors from the other services.
		environ = append(environ, fmt.Sprintf("GOMAXPROCS=%d", max(1, processors/2)))
	}
	return environ
}

// setByUser reports whether one of the variables is set and not empty.
func setByUser(environ []string, names ...string) bool {
	return slices.ContainsFunc(environ, func(kv string) bool {
		name, value, _ := strings.Cut(kv, "=")
		return value != "" && slices.Contains(names, name)
	})
}
