// Package natsserver runs NATS with JetStream inside this process, for `souk dev`, small installations and tests.
//
// It listens on loopback only, and only who has its password gets in. This process itself connects
// through a pipe (Connect, ClientOptions), which is ready in 10 ms and costs no port.
package natsserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// Options say where the server keeps its data and how it is reached. The zero value is good for a test
// but for StoreDir, which is required.
type Options struct {
	// StoreDir is where JetStream keeps its files.
	StoreDir string
	// Port is the loopback port; 0: any free one; negative: none, only this process can connect.
	Port int
	// User and Password are who may connect; "": souk, and a random password.
	User, Password string
	// MaxPayload bounds a message in bytes; 0: 4 MiB.
	MaxPayload int32
	// MaxStore bounds JetStream's files in bytes; 0: what the disk has to give.
	MaxStore int64
	// NoSync leaves syncing to the system's leisure instead of after every write. For tests.
	NoSync bool
	// Logger gets the server's warnings and errors; nil: nowhere.
	Logger *zap.Logger
	// Configure changes the server's options last, e.g. to set up an auth callout; nil: as they are.
	Configure func(*server.Options)
}

// Server is a running NATS server.
type Server struct {
	ns       *server.Server
	user     string
	password string
	tcp      bool

	stop    sync.Once
	stopped chan struct{}
	full    chan struct{}
}

const defaultMaxPayload = 4 << 20

// Start starts the server and waits until it takes connections.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.StoreDir == "" {
		return nil, errors.New("nats: a store directory is required")
	}
	if err := os.MkdirAll(o.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("nats: store directory: %w", err)
	}
	if o.User == "" {
		o.User = "souk"
	}
	if o.Password == "" {
		o.Password = rand.Text()
	}
	opts := &server.Options{
		ServerName: "souk",
		Host:       "127.0.0.1",
		Port:       o.Port,
		DontListen: o.Port < 0,
		Username:   o.User,
		Password:   o.Password,
		MaxPayload: defaultMaxPayload,

		JetStream:         true,
		StoreDir:          o.StoreDir,
		JetStreamMaxStore: o.MaxStore,
		SyncAlways:        !o.NoSync,

		NoSigs:                true,
		NoLog:                 true,
		DisableShortFirstPing: true,
		WriteDeadline:         10 * time.Second,
	}
	if o.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	if o.MaxPayload > 0 {
		opts.MaxPayload = o.MaxPayload
	}
	if o.Configure != nil {
		o.Configure(opts)
	}
	if err := portFree(ctx, opts); err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	var fatal fatalNotice
	s := &Server{ns: ns, user: o.User, password: o.Password, tcp: !opts.DontListen, stopped: make(chan struct{}), full: make(chan struct{})}
	full := sync.OnceFunc(func() { close(s.full) })
	ns.SetLoggerV2(&zapLogger{log: logger(o.Logger), fatal: &fatal, full: full}, false, false, false)
	ns.Start()
	if !ns.ReadyForConnections(readyFor(ctx)) {
		ns.Shutdown()
		ns.WaitForShutdown()
		if reason := fatal.get(); reason != "" {
			return nil, fmt.Errorf("nats: did not start: %s", reason)
		}
		return nil, errors.New("nats: did not get ready in time")
	}
	if !ns.JetStreamEnabled() {
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil, fmt.Errorf("nats: JetStream did not start: %s", fatal.get())
	}
	return s, nil
}

// portFree says in plain words what the server would only log.
func portFree(ctx context.Context, opts *server.Options) error {
	if opts.DontListen || opts.Port <= 0 {
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(opts.Host, strconv.Itoa(opts.Port)))
	if err != nil {
		return fmt.Errorf("nats: port %d is not free: %w", opts.Port, err)
	}
	return l.Close()
}

func readyFor(ctx context.Context) time.Duration {
	const most = 20 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		return min(most, time.Until(deadline))
	}
	return most
}

// URL is where other processes connect, with the user and password in it; "" when there is no port.
func (s *Server) URL() string {
	if !s.tcp {
		return ""
	}
	addr, ok := s.ns.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	u := url.URL{Scheme: "nats", User: url.UserPassword(s.user, s.password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))}
	return u.String()
}

// ClientOptions connect this process through a pipe; the URL given to nats.Connect does not matter then.
func (s *Server) ClientOptions() []nats.Option {
	return []nats.Option{nats.InProcessServer(s.ns), nats.UserInfo(s.user, s.password)}
}

// Connect connects this process through a pipe.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(s.ClientOptions(), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("nats: connect in process: %w", err)
	}
	return nc, nil
}

// DiskFull is closed when the server could not write for want of space. It refuses to store until it is
// started again, even when there is space by then.
func (s *Server) DiskFull() <-chan struct{} { return s.full }

// Stop shuts the server down and waits until its files are closed, or ctx ends. It may be called twice.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		go func() {
			defer close(s.stopped)
			s.finish()
			s.ns.Shutdown()
			s.ns.WaitForShutdown()
		}()
	})
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("nats: still shutting down: %w", ctx.Err())
	}
}

// finish waits, a second at most, until no request to JetStream is under way: the server would close a stream that is
// being made meanwhile neither now nor later, with what it holds in memory. Clients that are just leaving may have
// sent one: they get a tenth of that to be gone.
func (s *Server) finish() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range 1000 {
		info, err := s.ns.Jsz(nil)
		if err != nil || info.API.Inflight == 0 && (s.ns.NumClients() == 0 || i >= 100) {
			return
		}
		<-tick.C
	}
}
