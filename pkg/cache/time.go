package cache

import (
	"strconv"
	"time"
)

// now is the machine's time: how long Redis is left alone is no business of a domain's clock.
func now() time.Time { return time.Now() }

func milliseconds(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }
