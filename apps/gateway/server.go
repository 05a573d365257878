package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"souk/pkg/errs"
)

const (
	// lastRequests is how long clients with open connections may send their next request, whose answer closes the
	// connection, after the listener is closed.
	lastRequests = time.Second
	// closeTimeout is the time that Run takes beyond its waits.
	closeTimeout = 5 * time.Second
	readyTimeout = 2 * time.Second
)

// settings are the system settings, in memory.
type settings interface {
	// Run keeps them up to date until ctx ends.
	Run(ctx context.Context) error
	Ready(ctx context.Context) error
}

// server is the running gateway.
type server struct {
	http     *http.Server
	listener net.Listener
	lameDuck time.Duration
	drain    time.Duration
	logger   *zap.Logger
	redis    func(context.Context) error
	schemas  func(context.Context) error // checks the databases of all services of this process
	backends *backends
	settings settings
	// report reports observations until its context ends, and then once more.
	report   func(context.Context) error
	stopping atomic.Bool
	closing  atomic.Bool // answers close their connections
	// streams is closed when streams end.
	streams chan struct{}
}

// Run serves until ctx ends. Then it leaves in four steps, so that no connection is cut while a request is on it:
//
//   - It is not ready any more, and serves on for the time of the lame duck: load balancers send their requests
//     elsewhere.
//   - The listener is closed: new connections are refused.
//   - Each answer on an open connection says that the connection is closed after it.
//   - Idle connections are closed, and requests in flight are waited for.
func (s *server) Run(ctx context.Context) error {
	// The last requests need the settings, too.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var reading sync.WaitGroup
	defer reading.Wait()
	defer stop()
	unread := make(chan error, 1)
	reading.Go(func() {
		if err := s.settings.Run(background); background.Err() == nil {
			unread <- err
		}
	})
	if s.report != nil {
		reading.Go(func() { _ = s.report(background) }) // it logs what fails
	}
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		return err
	case err := <-unread:
		return errors.Join(err, s.http.Close())
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	var err error
	if s.lameDuck > 0 {
		s.logger.Info("stopping: not ready any more", zap.Duration("lame_duck", s.lameDuck))
		<-time.After(s.lameDuck)
		s.closing.Store(true)
		err = s.listener.Close()
		<-time.After(lastRequests)
	}
	close(s.streams)
	drain, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	err = errors.Join(err, s.http.Shutdown(drain))
	if errors.Is(err, context.DeadlineExceeded) {
		s.logger.Warn("requests in flight were cut off", zap.Duration("after", s.drain))
		err = s.http.Close()
	}
	serving := <-failed
	if !errors.Is(serving, http.ErrServerClosed) && !errors.Is(serving, net.ErrClosed) {
		err = errors.Join(err, serving)
	}
	return err
}

// StopTimeout is the longest time that Run takes to stop.
func (s *server) StopTimeout() time.Duration {
	return s.lameDuck + lastRequests + s.drain + closeTimeout
}

// closeWhenStopping asks clients to close their connections once the listener is closed.
func (s *server) closeWhenStopping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.closing.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// takesTraffic returns nil while the gateway is ready and no service of the same process lacks tables. A database that
// does not answer is no reason: the gateway still serves cached answers and the other services.
func (s *server) takesTraffic(ctx context.Context) error {
	if err := s.Ready(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := s.schemas(ctx)
	if code := errs.CodeOf(err); code == errs.Unavailable || code == errs.Timeout {
		return nil
	}
	return err
}

// Ready returns nil while the gateway accepts requests, Redis answers and the services are within reach.
func (s *server) Ready(ctx context.Context) error {
	if s.stopping.Load() {
		return errors.New("stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := s.redis(ctx); err != nil {
		return err
	}
	if err := s.settings.Ready(ctx); err != nil {
		return err
	}
	return s.backends.check(ctx)
}
