package tests

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	notificationv1 "souk/gen/go/souk/notification/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

// inboxes fakes the notification service.
type inboxes struct {
	notificationv1.UnimplementedNotificationServiceServer
	mu  sync.Mutex
	all map[string][]*notificationv1.Notification
	// down: it is away.
	down bool
	// ended are the tokens that ended mails.
	ended []string
}

func (i *inboxes) add(userID, title string, age time.Duration) (notificationID string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	begin := id.At(id.Notification, time.Now().Add(-age))
	n := &notificationv1.Notification{Id: begin + id.New(id.Notification)[len(begin):], Title: title}
	i.all[userID] = append(i.all[userID], n)
	return n.GetId()
}

func (i *inboxes) away(yes bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = yes
}

// PollNotifications answers as the service does.
func (i *inboxes) PollNotifications(
	_ context.Context, r *notificationv1.PollNotificationsRequest,
) (*notificationv1.PollNotificationsResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.down {
		return nil, errs.New(errs.Unavailable, "away")
	}
	res := &notificationv1.PollNotificationsResponse{}
	for _, p := range r.GetPositions() {
		news := &notificationv1.InboxNews{UserId: p.GetUserId(), UnreadCount: 7}
		for _, n := range i.all[p.GetUserId()] {
			if n.GetId() > p.GetAfter() {
				news.Notifications = append(news.Notifications, n)
			}
		}
		if len(news.GetNotifications()) > 0 {
			res.Inboxes = append(res.Inboxes, news)
		}
	}
	return res, nil
}

func (i *inboxes) option() moduletest.Option {
	return moduletest.Fake("notification", func(r grpc.ServiceRegistrar) {
		notificationv1.RegisterNotificationServiceServer(r, i)
	})
}

// stream is a client of the stream. Lines has its lines, and is closed when it ends.
type stream struct {
	*http.Response
	lines chan string
	close func()
}

func (g *gateway) stream(query string, header ...string) *stream {
	g.t.Helper()
	ctx, cancel := context.WithCancel(g.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.url+"/v1/me/notifications:stream"+query, http.NoBody)
	require.NoError(g.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := (&http.Client{Transport: client.Transport}).Do(r)
	require.NoError(g.t, err)
	s := &stream{Response: res, lines: make(chan string, 1000)}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(s.lines)
		for scan := bufio.NewScanner(res.Body); scan.Scan(); {
			s.lines <- scan.Text()
		}
	})
	s.close = sync.OnceFunc(func() {
		cancel()
		_ = res.Body.Close()
		reading.Wait()
	})
	g.t.Cleanup(s.close)
	return s
}

// next returns the ID and the data of the next event.
func (s *stream) next(t *testing.T) (notificationID, data string) {
	t.Helper()
	for {
		line := waittest.Receive(t, s.lines)
		if rest, ok := strings.CutPrefix(line, "id: "); ok {
			notificationID = rest
		}
		if rest, ok := strings.CutPrefix(line, "data: "); ok || t.Failed() {
			return notificationID, rest
		}
	}
}

// end waits for the end of the stream.
func (s *stream) end(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		select {
		case _, more := <-s.lines:
			return !more
		default:
			return false
		}
	}, "the stream does not end")
}

func TestStreamSendsWhatIsNewOnce(t *testing.T) {
	t.Parallel()
	in := &inboxes{all: map[string][]*notificationv1.Notification{}}
	g := setup(t, in.option(), config("timeout", "1s")) // which does not end streams
	old := in.add("usr_1", "old", time.Minute)
	first, second := g.stream("", "Authorization", asUser), g.stream("", "Authorization", asUser)
	require.Equal(t, http.StatusOK, first.StatusCode)
	require.Equal(t, "text/event-stream", first.Header.Get("Content-Type"))
	require.Equal(t, "no-store", first.Header.Get("Cache-Control"))
	in.add("usr_2", "another user's", 0)
	one := in.add("usr_1", "one", 0)
	for _, s := range []*stream{first, second} {
		got, data := s.next(t)
		require.Equal(t, one, got)
		require.Contains(t, data, `"title":"one"`)
		require.Contains(t, data, `"unreadCount":7`)
	}
	in.away(true)
	two := in.add("usr_1", "two", 0)
	in.away(false)
	for _, s := range []*stream{first, second} {
		got, _ := s.next(t)
		require.Equal(t, two, got)
	}

	// A client that connects again gets what it missed.
	again := g.stream("", "Authorization", asUser, "Last-Event-ID", old)
	for _, want := range []string{one, two} {
		got, _ := again.next(t)
		require.Equal(t, want, got)
	}

	// A gateway that stops ends its streams.
	g.Stop()
	for _, s := range []*stream{first, second, again} {
		s.end(t)
	}
}

func TestStreamsAreForUsersAndBounded(t *testing.T) {
	t.Parallel()
	in := &inboxes{all: map[string][]*notificationv1.Notification{}}
	g := setup(t, in.option(), moduletest.Clock(clock.System{}))
	const path = "/v1/me/notifications:stream"
	g.send(http.MethodGet, path, "").problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	g.send(http.MethodGet, path, "", "Authorization", asGuest).problem(t, http.StatusUnauthorized, errs.Unauthenticated)
	p := g.send(http.MethodGet, path+"?maxSeconds=901", "", "Authorization", asUser).
		problem(t, http.StatusBadRequest, errs.Invalid)
	require.Equal(t, "maxSeconds", field(t, p))
	require.Equal(t, http.StatusOK, g.send(http.MethodHead, path, "", "Authorization", asUser).StatusCode)
	var open []*stream
	for range 5 {
		s := g.stream("", "Authorization", asUser)
		require.Equal(t, http.StatusOK, s.StatusCode)
		open = append(open, s)
	}
	g.send(http.MethodGet, path, "", "Authorization", asUser).problem(t, http.StatusTooManyRequests, errs.RateLimited)
	short := g.stream("?maxSeconds=1", "Authorization", "Bearer user-usr_2")
	short.end(t)
	open[0].close()
	waittest.Until(t, func() bool {
		s := g.stream("", "Authorization", asUser)
		defer s.close()
		return s.StatusCode == http.StatusOK
	}, "a closed stream counts")
}
