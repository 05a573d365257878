package cache

import (
	"strconv"
	"time"
)

// now returns the system's time. The wait after a failure of Redis does not use an injected clock.
func now() time.Time { return time.Now() }

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }
