// Package dev is souk dev, the development stack: a private PostgreSQL and Redis, embedded NATS, an OpenID provider, a
// mail sink and a trace viewer, and all services, in one process or one each. Other commands find it by its [State].
package dev

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"souk/cmd/souk/internal/machine"
	"souk/cmd/souk/internal/settings"
	"souk/pkg/config"
	"souk/pkg/devstack/oidcserver"
	"souk/pkg/logging"
	"souk/pkg/module"
	"souk/pkg/natsauth"
)

// Options are the flags of souk dev, and the services that it runs.
type Options struct {
	DataDir string
	// HTTP is the address of the API, host:port.
	HTTP string
	// Ephemeral removes the data directory at the end.
	Ephemeral bool
	// Demo loads the demo shops.
	Demo bool
	// Split runs every service as a process of its own.
	Split bool
	// MTLS makes all connections between processes use TLS, with a certificate on each side. Only with Split.
	MTLS bool
	// Transport is how services call each other: inprocess, nats, or "" for what goes with Split.
	Transport string
	// LogFile is where log lines go. "" is souk.log in the data directory, - is standard error.
	LogFile string
	// Modules are the services, in the order in which they start.
	Modules []module.Module
}

// Run starts the stack and the services, and stops them when ctx ends. It prints the addresses to out.
//
// Errors: [ErrStopped].
func Run(ctx context.Context, o Options, out io.Writer) (err error) {
	began := time.Now()
	if o.Transport, err = transportOf(o); err != nil {
		return err
	}
	address, err := parseHTTP(o.HTTP)
	if err != nil {
		return err
	}
	// Unknown SOUK_… variables are refused here. Their values are checked later, with the stack's settings.
	if _, err := settings.Load("", os.Environ()); err != nil {
		return err
	}
	// Nothing is changed before these checks pass.
	if err := errors.Join(addressFree(o.HTTP), roomToStart(o.DataDir), programsFor(o.DataDir)); err != nil {
		return err
	}
	h, err := openHome(o.DataDir, o.Ephemeral)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	logs, err := openLogs(o, h)
	if err != nil {
		return err
	}
	defer func() { _ = logs.Close() }() // nothing is buffered, so no line can be lost
	log, err := logging.New(logging.Default(), logs)
	if err != nil {
		return err
	}
	d := &run{o: o, address: address, home: h, out: out, logs: logs, log: log, began: began}
	defer func() {
		if ctx.Err() != nil && !d.isReady.Load() { // parts that are stopped during their start return many errors
			if err != nil {
				log.Info("stopped before it was ready", zap.Error(err))
			}
			err = ErrStopped
		}
	}()
	if o.Split {
		share(log)
	}
	if d.stack, err = startStack(ctx, h, address, o, log); err != nil {
		return explainDisk(err, h.dir, outsideBase)
	}
	defer func() { err = errors.Join(err, d.stack.stop()) }()
	return d.serve(ctx)
}

// transportOf returns how services call each other: inprocess, unless --transport or --split says nats.
// It fails if the two contradict each other.
func transportOf(o Options) (string, error) {
	switch {
	case o.Transport != "" && o.Transport != "inprocess" && o.Transport != "nats":
		return "", fmt.Errorf("--transport is inprocess or nats, not %q", o.Transport)
	case o.MTLS && !o.Split:
		return "", errors.New("--mtls needs --split: within one process there is no connection to protect")
	case o.Split && o.Transport == "inprocess":
		return "", errors.New("--split and --transport inprocess contradict each other: " +
			"processes call each other over NATS; leave out one of them")
	case o.Split:
		return "nats", nil
	}
	return cmp.Or(o.Transport, "inprocess"), nil
}

// programsFor fails if PostgreSQL or Redis is missing, too old, or of a version that can't read the data.
func programsFor(dataDir string) error {
	var missing []error
	for _, f := range []machine.Finding{machine.Postgres(dataDir), machine.Redis()} {
		if f.Advice != "" {
			missing = append(missing, fmt.Errorf("%s: %s: %s", f.What, f.Found, f.Advice))
		}
	}
	return errors.Join(missing...)
}

// ErrStopped is the error of a souk dev that was interrupted before it was ready.
var ErrStopped = errors.New("stopped")

// serve runs the services until ctx ends or the disk is full.
func (d *run) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		select {
		case <-d.stack.nats.DiskFull():
			cancel(errDiskFull)
		case <-ctx.Done():
		}
	})
	serve := d.runInProcess
	if d.o.Split {
		serve = d.runSplit
	}
	err := serve(ctx)
	if errors.Is(context.Cause(ctx), errDiskFull) {
		if err != nil {
			d.log.Error("services stopped", zap.Error(err))
		}
		return errDiskFull
	}
	return err
}

// addressFree fails if another program listens on addr. It runs before anything is started, for a clear message.
func addressFree(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("%s can't be listened on: %w; stop what uses it, or choose another with --http", addr,
			errors.Unwrap(err))
	}
	return ln.Close()
}

func openLogs(o Options, h *home) (*os.File, error) {
	switch o.LogFile {
	case "-":
		return os.Stderr, nil
	case "":
		o.LogFile = h.path("souk.log")
	}
	return os.OpenFile(o.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// run is one run of souk dev.
type run struct {
	o       Options
	address httpAddress
	home    *home
	stack   *stack
	out     io.Writer
	logs    *os.File
	log     *zap.Logger
	began   time.Time
	isReady atomic.Bool
}

// settings returns the configuration of souk dev's processes. SOUK_… variables override it.
func (d *run) settings() map[string]any {
	s, own := d.stack, d.home.secrets
	settings := map[string]any{
		"telemetry": map[string]any{"endpoint": s.control.url, "sample_ratio": 0.01, "batch_delay": "100ms"},
		"postgres":  map[string]any{"urls": s.databases(), "max_conns": 16},
		"redis":     s.redisSettings(),
		"nats":      map[string]any{"url": s.nats.Address()},
		"identity":  map[string]any{"seed": own.Identity},
		"keyring":   map[string]any{"key": own.keyringKey()},
		"rpc":       map[string]any{"transport": d.o.Transport},
		"gateway": map[string]any{
			"addr": d.address.addr, "public_url": d.address.public, "dev_url": s.control.url,
			"environment": "development",
			"lame_duck":   "0s", // no load balancer
			// Pages that a developer serves on this machine may call the API, and others may not reach it by a name of
			// theirs.
			"origins": []string{
				"http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*",
				"https://localhost:*", "https://127.0.0.1:*", "https://[::1]:*",
			},
			"loopback_only": !d.address.open,
			// On one machine all clients share one address, and load tests send many requests from it.
			"address_rate": map[string]any{"per_second": 20000, "burst": 40000},
			"caller_rate":  map[string]any{"per_second": 1000, "burst": 2000},
			// For the same reason: guests share their address's quota.
			"idempotency_quota": 32 << 20,
		},
		"auth": map[string]any{
			"issuer":    s.oidc.Issuer(),
			"client_id": oidcserver.ClientID,
			"audience":  oidcserver.Audience,
			"key":       own.Auth,
		},
		"notification": map[string]any{
			"smtp_addr": s.mail.Addr(), "concurrency": 16, "public_url": d.address.public,
			"hold": "3s", // short enough to wait for
			"sms":  map[string]any{"webhook_url": s.control.url + "/sink/sms"},
			"push": map[string]any{"webhook_url": s.control.url + "/sink/push"},
		},
		"webhook": map[string]any{"allow_local": true}, // a developer receives webhooks on this machine
		"payment": map[string]any{
			"provider": "sandbox",
			"sandbox": map[string]any{
				"webhook_secret": own.Webhook, "webhook_url": d.address.public + "/v1/webhooks/payments/sandbox",
			},
		},
	}
	if d.o.MTLS {
		settings["natsauth"] = map[string]any{"trust_domain": trustDomain}
	}
	return settings
}

// configuration returns the settings, overridden by the environment, and checks them.
func (d *run) configuration(environ []string) (*config.Tree, error) {
	tree, err := settings.Load("", environ)
	if err != nil {
		return nil, err
	}
	if tree, err = tree.WithDefaults(d.settings()); err != nil {
		return nil, err
	}
	return tree, settings.Check(tree, d.o.Modules)
}

// runInProcess runs all services in this process.
func (d *run) runInProcess(ctx context.Context) error {
	environ := os.Environ()
	tree, err := d.configuration(environ)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wg.Go(func() { tuneMemory(ctx) })
	var readyErr error
	err = module.Run(ctx, module.Options{
		Config: tree, Logs: d.logs, Environ: environ, Migrate: true, NATS: []nats.Option{d.stack.nats.InProcess()},
		OnReady: func(admin string) {
			d.stack.control.setProcesses(func() []Process {
				return []Process{{Name: "souk", PID: os.Getpid(), Admin: admin}}
			})
			wg.Go(func() {
				if readyErr = d.ready(ctx, admin); readyErr != nil {
					cancel()
				}
			})
		},
	}, d.o.Modules...)
	cancel()
	wg.Wait()
	if errors.Is(readyErr, context.Canceled) {
		readyErr = nil
	}
	return errors.Join(err, readyErr)
}

// ready loads the demo shops, writes dev.json for other commands, and prints the addresses.
func (d *run) ready(ctx context.Context, admin string) error {
	s := d.stack
	operatorKey, err := d.home.secrets.operatorKey()
	if err != nil {
		return err
	}
	auditKey, err := d.home.secrets.auditKey()
	if err != nil {
		return err
	}
	tree, err := d.configuration(os.Environ())
	if err != nil {
		return err
	}
	var documents module.DocumentsConfig
	if err := tree.Decode("documents", &documents); err != nil {
		return err
	}
	passwords := map[string]string{}
	for service, password := range documents.Passwords {
		passwords[service] = password.Get()
	}
	state := &State{
		PID:       os.Getpid(),
		URL:       d.address.public,
		Admin:     admin,
		OIDC:      s.oidc.Issuer(),
		OIDCAdmin: d.home.secrets.OIDCAdmin,
		Control:   s.control.url,
		Transport: d.o.Transport,
		NATS:      NATSAccess{URL: s.nats.Address(), OperatorKey: operatorKey},
		AuditKey:  auditKey,
		Redis:     s.redis.Addr(),
		Databases: s.operatorDatabases(),
		Documents: DocumentsAccess{URL: documents.URL.Get(), Passwords: passwords},
	}
	if s.pki != nil {
		files := s.pki.Config(natsauth.Operator)
		state.Redis, state.TLS = s.redis.TLSAddr(), &files
	}
	if d.o.Demo {
		if err := loadDemo(ctx, state); err != nil {
			return fmt.Errorf("load the demo shops: %w", err)
		}
	}
	if err := d.home.publish(state); err != nil {
		return err
	}
	jobs := "souk jobs ui"
	if s.control.jobs != nil {
		jobs = state.URL + "/dev/jobs/"
	}
	fmt.Fprintf(d.out, `
  API          %s/v1/products
  docs         %s/docs
  mail         %s/dev/mail, SMS /dev/sms, push /dev/push
  traces       %s/dev/traces
  jobs         %s
  sign-in      %s/auth/login   (provider %s)
  NATS         %s
  admin        http://%s/metrics
  data, logs   %s   (%s)

  souk token --email you@example.com   prints a bearer token

`, state.URL, state.URL, state.URL, state.URL, jobs, state.URL, state.OIDC, withoutPassword(state.NATS.URL), admin,
		d.home.dir, filepath.Base(d.logs.Name()))
	d.log.Info("souk is ready", zap.Duration("after", time.Since(d.began)))
	if d.address.open {
		fmt.Fprintf(d.out, "warning: %s can be reached from the network, and so can the tools under /dev: "+
			"mail, traces, processes\n", d.address.addr)
	}
	d.isReady.Store(true)
	fmt.Fprintf(d.out, "souk is ready on %s\n", state.URL)
	return nil
}

// withoutPassword returns a URL with its password masked; "" if it can't be parsed.
func withoutPassword(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Redacted()
}
