package rest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"souk/apps/gateway/internal/middleware"
	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/jsonpb"
)

const (
	// streamPath is the path of a user's stream.
	streamPath = "/v1/me/notifications:stream"
	// longestStream is how long a stream lasts at most. Then the client connects again, and shows who it is.
	longestStream = 15 * time.Minute
	// streamsPerUser and streamsOfAll bound the streams of one gateway.
	streamsPerUser = 5
	streamsOfAll   = 5000
	// pollEvery is the interval at which new notifications are requested, for all streams together.
	pollEvery = time.Second
	// pollUsers is the most inboxes that one request is about.
	pollUsers = 500
	// checkEvery is how often a stream checks that its user is still signed in.
	checkEvery = 5 * time.Second
	// heartbeat is how long a stream is silent at most.
	heartbeat = 20 * time.Second
	// settled is the age from which no notification with a smaller ID appears any more.
	settled = 5 * time.Second
	// writeTimeout is how long a client may take to read an event.
	writeTimeout = 10 * time.Second
)

// streams sends users what is new in their inboxes, as server-sent events. One goroutine polls for all of them, while
// there are any.
type streams struct {
	notifications notificationv1.NotificationServiceClient
	clock         clock.Clock
	logger        *zap.Logger
	// stopping is closed when the gateway stops: streams end.
	stopping <-chan struct{}

	mu   sync.Mutex
	open map[string][]*stream // by user
	all  int
	stop func() // ends the goroutine and waits for it
}

// stream is an open stream of a user.
type stream struct {
	// after is the ID after which notifications are new. Those of sent are not, although they are later.
	after string
	sent  map[string]bool
	news  chan []event
}

// event is what a stream sends.
type event struct {
	id   string
	data []byte
}

// handle serves GET /v1/me/notifications:stream.
func (s *streams) handle(w http.ResponseWriter, r *http.Request) {
	actor := identity.FromContext(r.Context())
	if !actor.IsUser() {
		middleware.WriteProblem(w, r, errs.New(errs.Unauthenticated, "sign in first"))
		return
	}
	longest, err := longestOf(r)
	if err != nil {
		middleware.WriteProblem(w, r, err)
		return
	}
	x := &stream{after: r.Header.Get("Last-Event-ID"), sent: map[string]bool{}, news: make(chan []event, 1)}
	if !id.Valid(id.Notification, x.after) {
		x.after = id.At(id.Notification, s.clock.Now())
	}
	if err := s.enter(actor.ID, x); err != nil {
		middleware.WriteProblem(w, r, err)
		return
	}
	defer s.leave(actor.ID, x)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	if r.Method == http.MethodHead {
		return
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // without it, the server's limit for requests ends the stream earlier
	send := func(format string, args ...any) bool {
		if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, format, args...); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	end := time.NewTimer(longest)
	defer end.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	valid := middleware.From(r.Context()).StillValid
	for ok := send("retry: 3000\n\n"); ok; {
		select {
		case events := <-x.news:
			for _, e := range events {
				ok = ok && send("id: %s\nevent: notification\ndata: %s\n\n", e.id, e.data)
			}
		case <-beat.C:
			ok = send(": \n\n")
		case <-check.C:
			ok = valid(r.Context()) // else the user has signed out or is suspended
		case <-end.C:
			return
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		}
	}
}

// longestOf returns how long a stream may last.
//
// Errors: invalid_argument.
func longestOf(r *http.Request) (time.Duration, error) {
	given := r.URL.Query().Get("maxSeconds")
	if given == "" {
		return longestStream, nil
	}
	n, err := strconv.Atoi(given)
	if err != nil || n < 1 || time.Duration(n)*time.Second > longestStream {
		return 0, errs.InvalidField("maxSeconds", "must be from 1 to %d", int(longestStream.Seconds()))
	}
	return time.Duration(n) * time.Second, nil
}

// enter adds a stream, unless there are too many.
//
// Errors: rate_limited.
func (s *streams) enter(userID string, x *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open[userID]) >= streamsPerUser || s.all >= streamsOfAll {
		return &errs.Error{
			Code: errs.RateLimited, Message: "too many streams are open; close one first", RetryAfter: heartbeat,
		}
	}
	s.open[userID] = append(s.open[userID], x)
	s.all++
	if s.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		var polling sync.WaitGroup
		polling.Go(func() { s.poll(ctx) })
		s.stop = func() {
			cancel()
			polling.Wait()
		}
	}
	return nil
}

// leave removes a stream. The last one ends the polling.
func (s *streams) leave(userID string, x *stream) {
	s.mu.Lock()
	s.open[userID] = slices.DeleteFunc(s.open[userID], func(other *stream) bool { return other == x })
	if len(s.open[userID]) == 0 {
		delete(s.open, userID)
	}
	s.all--
	var stop func()
	if s.all == 0 {
		stop, s.stop = s.stop, nil
	}
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// poll requests what is new until ctx ends.
func (s *streams) poll(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		var failed error
		for positions := range slices.Chunk(s.positions(), pollUsers) {
			asking, cancel := context.WithTimeout(own(ctx), writeTimeout)
			res, err := s.notifications.PollNotifications(asking,
				&notificationv1.PollNotificationsRequest{Positions: positions})
			cancel()
			if err != nil {
				failed = err
				continue
			}
			s.distribute(res)
		}
		if failed != nil && !failing && ctx.Err() == nil {
			s.logger.Warn("new notifications could not be requested; streams wait", zap.Error(failed))
		}
		failing = failed != nil
	}
}

// positions returns, for each user, from where on a stream lacks notifications.
func (s *streams) positions() []*notificationv1.InboxPosition {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*notificationv1.InboxPosition, 0, len(s.open))
	for userID, of := range s.open {
		after := of[0].after
		for _, x := range of {
			after = min(after, x.after)
		}
		out = append(out, &notificationv1.InboxPosition{UserId: userID, After: after})
	}
	return out
}

// distribute hands what is new to the streams. One whose client has not read the last events yet gets it later.
func (s *streams) distribute(res *notificationv1.PollNotificationsResponse) {
	floor := id.At(id.Notification, s.clock.Now().Add(-settled))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, inbox := range res.GetInboxes() {
		for _, x := range s.open[inbox.GetUserId()] {
			x.take(inbox, floor)
		}
	}
}

// take queues the notifications that a stream has not sent. What is older than floor is settled.
func (x *stream) take(inbox *notificationv1.InboxNews, floor string) {
	var events []event
	for _, n := range inbox.GetNotifications() {
		if n.GetId() <= x.after || x.sent[n.GetId()] {
			continue
		}
		data := []byte(`{"notification":`)
		data, err := jsonpb.Append(data, n)
		if err != nil {
			continue // texts of the database are UTF-8
		}
		data = fmt.Appendf(data, `,"unreadCount":%d}`, inbox.GetUnreadCount())
		events = append(events, event{n.GetId(), data})
	}
	if len(events) > 0 {
		select {
		case x.news <- events:
		default:
			return
		}
	}
	for _, e := range events {
		x.sent[e.id] = true
	}
	for _, n := range inbox.GetNotifications() {
		if n.GetId() < floor {
			x.after = max(x.after, n.GetId())
		}
	}
	maps.DeleteFunc(x.sent, func(sent string, _ bool) bool { return sent <= x.after })
}
