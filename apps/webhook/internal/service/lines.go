package service

import (
	"sync"
	"time"
)

const (
	// perOwner is the most requests that a process has in flight to the webhooks of one shop, or of the marketplace.
	perOwner = 16
	// perSlow is the same for one webhook whose answers take longer than slowAfter.
	perSlow   = 4
	slowAfter = 250 * time.Millisecond
	// minWait and maxWait bound the time after which a message is looked at again that found no place.
	minWait = 50 * time.Millisecond
	maxWait = 5 * time.Minute
)

// lines bound the requests in flight, so that a slow receiver delays only its own messages.
type lines struct {
	mu    sync.Mutex
	byKey map[string]*line
}

// line is the requests to one receiver.
type line struct {
	inFlight int
	// took is how long the last answer took, and entered when the last request began.
	took    time.Duration
	entered time.Time
	// next is when the last message that found no place will be looked at again.
	next time.Time
}

// pace returns how long an answer takes, as far as is known.
func (x *line) pace(now time.Time) time.Duration { return max(x.took, now.Sub(x.entered)) }

func newLines() *lines { return &lines{byKey: map[string]*line{}} }

// enter takes a place in the lines of a webhook and of its owner. If a line is full, it returns after which time to try
// again; these times are as far apart as the receiver's answers. Otherwise call leave with the time that the request
// took.
func (l *lines) enter(now time.Time, webhookID, owner string) (leave func(took time.Duration), wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	keys := []string{webhookID, "owner " + owner}
	for i, key := range keys {
		x, most := l.byKey[key], perOwner
		if x == nil {
			continue
		}
		pace := x.pace(now)
		if i == 0 && pace > slowAfter {
			most = perSlow
		}
		if x.inFlight < most {
			continue
		}
		if x.next.Before(now) {
			x.next = now
		}
		x.next = x.next.Add(pace / time.Duration(most))
		wait = max(wait, min(max(x.next.Sub(now), minWait), maxWait))
	}
	if wait > 0 {
		return nil, wait
	}
	for _, key := range keys {
		if l.byKey[key] == nil {
			l.byKey[key] = &line{}
		}
		l.byKey[key].inFlight++
		l.byKey[key].entered = now
	}
	return func(took time.Duration) {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range keys {
			x := l.byKey[key]
			x.took = took
			if x.inFlight--; x.inFlight == 0 {
				delete(l.byKey, key)
			}
		}
	}, 0
}
