// Package natsserver runs NATS with JetStream inside this process, for `souk dev`, small installations and tests.
//
// It listens on loopback only and requires its password. This process itself connects through a pipe
// (Connect, InProcess), which is ready in 10 ms and needs no port.
package natsserver

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// Options set where the server keeps its data and how clients reach it. For a test, only StoreDir is required.
type Options struct {
	// StoreDir is where JetStream keeps its files.
	StoreDir string
	// Port is the loopback port. Zero picks a free one. If it is negative, only this process can connect.
	Port int
	// User and Password are the credentials of clients. Empty means souk and a random password.
	User, Password string
	// MaxPayload is the largest message in bytes. Zero means 4 MiB.
	MaxPayload int32
	// MaxStore is the largest total size of JetStream's files in bytes. Zero means as much as the disk has.
	MaxStore int64
	// NoSync lets the system choose when to sync, instead of syncing after every write. For tests.
	NoSync bool
	// Logger logs the server's warnings and errors. If nil, they are dropped.
	Logger *zap.Logger
	// Callout, if not nil, lets a client decide who else connects. User and Password are that client's.
	Callout *Callout
	// TLS, if not nil, is required of connections by TCP, and it requires a certificate of each client.
	TLS *tls.Config `json:"-"`
	// SystemPassword is the password of User's counterpart in the system account, [SystemUser]. Empty: it has none.
	SystemPassword string
	// Cluster, if not nil, makes the server a node of a cluster.
	Cluster *Cluster
}

// Cluster places a server in a cluster on loopback.
type Cluster struct {
	// Node is the server's name. It is unique in the cluster.
	Node string
	// Port is the server's port for the other nodes.
	Port int
	// Ports are those of all nodes.
	Ports []int
}

// SystemUser may ask the server about its connections, and end them.
const SystemUser = "system"

// Callout sets up NATS's auth callout.
type Callout struct {
	// Issuer is the public key of the account that signs users.
	Issuer string
	// Box is the public key for encrypted requests.
	Box string
}

// maxControlLine is the longest line of the protocol in bytes. The token of a process that runs all services is longer
// than NATS's default of 4 KiB.
const maxControlLine = 16 << 10

// Server is a running NATS server.
type Server struct {
	ns       *server.Server
	user     string
	password string
	tcp      bool
	tls      bool

	stop    sync.Once
	stopped chan struct{}
	full    chan struct{}
}

const (
	defaultMaxPayload = 4 << 20
	// tlsTimeout bounds a handshake.
	tlsTimeout = 5 * time.Second
)

// Start starts the server and waits until it accepts connections.
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
		ServerName:     "souk",
		Host:           "127.0.0.1",
		Port:           o.Port,
		DontListen:     o.Port < 0,
		Username:       o.User,
		Password:       o.Password,
		MaxPayload:     defaultMaxPayload,
		MaxControlLine: maxControlLine,

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
	if c := o.Callout; c != nil {
		opts.Users = []*server.User{{Username: o.User, Password: o.Password}}
		opts.Username, opts.Password = "", ""
		opts.AuthCallout = &server.AuthCallout{Issuer: c.Issuer, XKey: c.Box, AuthUsers: []string{o.User}}
	}
	if o.SystemPassword != "" {
		system := server.NewAccount(server.DEFAULT_SYSTEM_ACCOUNT)
		opts.SystemAccount, opts.Accounts = server.DEFAULT_SYSTEM_ACCOUNT, []*server.Account{system}
		opts.Users = append(opts.Users, &server.User{Username: SystemUser, Password: o.SystemPassword, Account: system})
		if opts.AuthCallout != nil {
			opts.AuthCallout.AuthUsers = append(opts.AuthCallout.AuthUsers, SystemUser)
		}
	}
	if o.TLS != nil {
		opts.TLSConfig, opts.TLS, opts.TLSVerify, opts.TLSTimeout = o.TLS, true, true, tlsTimeout.Seconds()
	}
	if c := o.Cluster; c != nil {
		opts.ServerName = c.Node
		opts.Cluster = server.ClusterOpts{Name: "souk", Host: opts.Host, Port: c.Port}
		for _, port := range c.Ports {
			opts.Routes = append(opts.Routes,
				&url.URL{Scheme: "nats", Host: net.JoinHostPort(opts.Host, strconv.Itoa(port))})
		}
	}
	if err := portFree(ctx, opts); err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("nats: %w", err)
	}
	var fatal lastError
	s := &Server{
		ns:       ns,
		user:     o.User,
		password: o.Password,
		tcp:      !opts.DontListen,
		tls:      o.TLS != nil,
		stopped:  make(chan struct{}),
		full:     make(chan struct{}),
	}
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

// portFree checks that the port is free. The server would only log that it is not.
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

// URL returns the URL for other processes, including the user and password. It is empty if the server has no port.
func (s *Server) URL() string {
	address := s.Address()
	if address == "" {
		return ""
	}
	scheme, host, _ := strings.Cut(address, "://")
	return scheme + "://" + url.UserPassword(s.user, s.password).String() + "@" + host
}

// Address returns the URL for other processes without credentials. It is empty if the server has no port.
func (s *Server) Address() string {
	addr, ok := s.ns.Addr().(*net.TCPAddr)
	if !s.tcp || !ok {
		return ""
	}
	scheme := "nats://"
	if s.tls {
		scheme = "tls://"
	}
	return scheme + net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.Port))
}

// InProcess returns an option that connects this process through a pipe. nats.Connect then ignores its URL.
func (s *Server) InProcess() nats.Option { return nats.InProcessServer(s.ns) }

// Connect connects this process through a pipe, with the server's user and password.
func (s *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	opts = append([]nats.Option{s.InProcess(), nats.UserInfo(s.user, s.password)}, opts...)
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("nats: connect in process: %w", err)
	}
	return nc, nil
}

// DiskFull returns a channel that is closed when the server cannot write because the disk is full. The server then
// stores nothing until it is restarted, even if space becomes available.
func (s *Server) DiskFull() <-chan struct{} { return s.full }

// Stop shuts the server down and waits until its files are closed or ctx ends. It may be called twice.
func (s *Server) Stop(ctx context.Context) error {
	s.stop.Do(func() {
		go func() {
			defer close(s.stopped)
			s.drain()
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

// drain waits, for at most a second, until no JetStream request is in flight. The server would never close a
// stream that is created during shutdown, and would leak the stream's memory. Clients that are disconnecting
// may have sent such a request, so that drain waits up to a tenth of a second for them to disconnect.
func (s *Server) drain() {
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
