package dev

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"souk/gen/go/souk/services"
	"souk/pkg/devstack"
	"souk/pkg/devstack/mailsink"
	"souk/pkg/devstack/natsserver"
	"souk/pkg/devstack/oidcserver"
	"souk/pkg/devstack/pki"
	"souk/pkg/jobs"
	"souk/pkg/loopback"
	"souk/pkg/module"
	"souk/pkg/natsauth"
	"souk/pkg/telemetry/receiver"
	"souk/pkg/tlsconf"
)

// stopTimeout bounds how long the stack, or one child process, may take to stop.
const stopTimeout = 20 * time.Second

// stack is the infrastructure that souk dev starts.
type stack struct {
	postgres *devstack.Postgres
	redis    *devstack.Redis
	nats     *natsserver.Server
	oidc     *oidcserver.Provider
	mail     *mailsink.Sink
	traces   *receiver.Recorder
	control  *control
	pki      *pki.PKI // nil without mutual TLS

	reloads       sync.WaitGroup
	stopReloading context.CancelFunc
}

// startStack starts all parts concurrently. If one fails, it stops those that have started.
func startStack(
	ctx context.Context, h *home, address httpAddress, o Options, log *zap.Logger,
) (*stack, error) {
	s := &stack{traces: receiver.NewRecorder(receiver.Options{})}
	var natsTLS *tls.Config
	if o.MTLS {
		authority, err := openPKI(h.path("pki"))
		if err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
		source, err := tlsconf.Open(authority.Config(natsServer), log)
		if err != nil {
			return nil, fmt.Errorf("certificates: %w", err)
		}
		s.pki, natsTLS = &authority, pki.Server(source)
	}
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if err := removeOrphans(outsideBase); err != nil {
			log.Warn("folders of data directories that are gone can't be removed", zap.Error(err))
		}
		dir, err := h.postgresDir()
		if err != nil {
			return err
		}
		s.postgres, err = devstack.StartPostgres(gctx, devstack.PostgresOptions{
			Dir: dir, Databases: services.Databases(), TLS: s.serverTLS(postgresServer), Restart: true, Logger: log,
		})
		return err
	})
	group.Go(func() (err error) {
		s.redis, err = devstack.StartRedis(gctx,
			devstack.RedisOptions{Dir: h.path("redis"), TLS: s.serverTLS(redisServer), Restart: true, Logger: log})
		return err
	})
	group.Go(func() (err error) {
		keys, err := h.secrets.natsKeys()
		if err != nil {
			return err
		}
		issuer, box, err := keys.Public()
		if err != nil {
			return err
		}
		s.nats, err = natsserver.Start(gctx, natsserver.Options{
			StoreDir: h.path("nats"), User: natsauth.User, Password: keys.Password, Logger: log,
			Callout: &natsserver.Callout{Issuer: issuer, Box: box},
			TLS:     natsTLS, SystemPassword: keys.SystemPassword,
		})
		return err
	})
	group.Go(func() (err error) {
		s.oidc, err = oidcserver.Start(gctx, oidcserver.Options{
			Dir: h.path("oidc"), TokenSecret: h.secrets.OIDCAdmin, RedirectURIs: address.redirects(),
		})
		return err
	})
	group.Go(func() (err error) {
		s.mail, err = mailsink.Start(gctx, mailsink.Options{})
		return err
	})
	err := group.Wait()
	if err == nil {
		s.control, err = startControl(s, s.jobPages(address, o.Modules, log))
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if s.pki != nil {
		var reloading context.Context
		reloading, s.stopReloading = context.WithCancel(context.WithoutCancel(ctx))
		s.reloads.Go(func() { s.keepReloading(reloading, log) })
	}
	return s, nil
}

// stop stops the parts that have started.
func (s *stack) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	var errs []error
	if s.stopReloading != nil {
		s.stopReloading()
		s.reloads.Wait()
	}
	if s.control != nil {
		errs = append(errs, s.control.close())
	}
	if s.mail != nil {
		errs = append(errs, s.mail.Stop(ctx))
	}
	if s.oidc != nil {
		errs = append(errs, s.oidc.Stop(ctx))
	}
	if s.nats != nil {
		errs = append(errs, s.nats.Stop(ctx))
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Stop(ctx))
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Stop(ctx))
	}
	return errors.Join(errs...)
}

// databases returns the database URLs by service, for the services themselves.
func (s *stack) databases() map[string]string {
	out := map[string]string{}
	for _, name := range services.Databases() {
		out[name] = s.databaseURL(name, name)
	}
	return out
}

// operatorDatabases returns the database URLs by service, for commands.
func (s *stack) operatorDatabases() map[string]string {
	out := map[string]string{}
	for _, name := range services.Databases() {
		out[name] = s.databaseURL(name, natsauth.Operator)
	}
	return out
}

// databaseURL returns the URL of a service's database for the process with a certificate.
func (s *stack) databaseURL(service, certificate string) string {
	if s.pki == nil {
		return s.postgres.URL(service)
	}
	return s.postgres.TLSURL(service, s.pki.Config(certificate))
}

// jobPages returns the pages of the modules' background jobs. They are nil if the network can reach them: they change
// jobs without a sign-in.
func (s *stack) jobPages(address httpAddress, modules []module.Module, log *zap.Logger) *jobPages {
	if address.open {
		return nil
	}
	pages := &jobPages{urls: map[string]string{}, logs: jobs.Logger(log)}
	for _, m := range modules {
		if m.Tables.Jobs {
			pages.urls[m.Name] = s.databaseURL(m.Name, natsauth.Operator)
		}
	}
	return pages
}

// control is an HTTP server for the tools of souk dev, which the gateway shows under /dev. It also receives the spans
// of all processes.
type control struct {
	url    string
	server *http.Server
	done   chan struct{}
	jobs   *jobPages

	mu        sync.Mutex
	processes func() []Process
}

// startControl starts the server. Without pages, it has no /dev/jobs/.
func startControl(s *stack, pages *jobPages) (*control, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("control listener: %w", err)
	}
	c := &control{
		url: "http://" + ln.Addr().String(), done: make(chan struct{}), jobs: pages,
		processes: func() []Process { return nil },
	}
	mux := http.NewServeMux()
	mux.Handle("GET /dev/mail", s.mail)
	for _, channel := range []string{"sms", "push"} {
		messages := &sink{}
		mux.HandleFunc("GET /dev/"+channel, messages.list)
		mux.HandleFunc("POST /sink/"+channel, messages.take) // not below /dev, which the gateway shows
	}
	mux.Handle("GET /dev/traces", s.traces)
	mux.HandleFunc("GET /dev/traces/{traceId}", func(w http.ResponseWriter, r *http.Request) {
		if _, ok := s.traces.Trace(r.PathValue("traceId")); !ok {
			writeProblem(w, http.StatusNotFound, "not_found", "there is no such trace, or it was not sampled")
			return
		}
		s.traces.ServeHTTP(w, r)
	})
	mux.Handle("POST /v1/traces", s.traces)
	mux.HandleFunc("GET /dev/processes", func(w http.ResponseWriter, _ *http.Request) { c.writeProcesses(w) })
	if pages != nil {
		mux.Handle("/dev/jobs/", pages)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, http.StatusNotFound, "not_found", "souk dev has no "+r.URL.Path)
	})
	tools := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A tool with pages sets its own.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		mux.ServeHTTP(w, r)
	})
	c.server = &http.Server{Handler: loopback.Only(tools), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		defer close(c.done)
		_ = c.server.Serve(ln) // always returns an error, after close
	}()
	return c, nil
}

func (c *control) setProcesses(f func() []Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.processes = f
}

func (c *control) writeProcesses(w http.ResponseWriter) {
	c.mu.Lock()
	list := c.processes()
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"processes": list}) // it fails only when the client is gone
}

// writeProblem writes an error in the API's format.
func writeProblem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // it fails only when the client is gone
		"type": "https://souk.dev/problems/" + code, "title": http.StatusText(status), "status": status,
		"code": code, "detail": detail,
	})
}

func (c *control) close() error {
	err := c.server.Close()
	<-c.done
	if c.jobs != nil {
		c.jobs.close()
	}
	return err
}
