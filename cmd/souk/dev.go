package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"souk/cmd/souk/internal/machine"
	"souk/pkg/config"
	"souk/pkg/devstack/oidcserver"
	"souk/pkg/logging"
	"souk/pkg/module"
)

type devOptions struct {
	dataDir   string
	http      string
	ephemeral bool
	demo      bool
	split     bool
	transport string
	logFile   string
}

func devCommand(flags *devFlags) *cobra.Command {
	o := devOptions{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Start everything on this machine",
		Long: `Start everything on this machine: a private PostgreSQL and Redis, an embedded NATS with JetStream, an OpenID
provider, a mail sink, all services and the gateway. Data lives in --data-dir and survives a restart. Ctrl-C drains
and stops all that was started.

Other commands (token, import, verify, saga …) find it through its data directory.`,
		Example: `  souk dev --demo
  souk dev --ephemeral --http 127.0.0.1:9090
  souk dev --split`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.dataDir = flags.dataDir
			return runDev(cmd.Context(), o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.http, "http", "127.0.0.1:8080", "address of the API")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "remove the data directory at the end")
	f.BoolVar(&o.demo, "demo", false, "load the demo shops")
	f.BoolVar(&o.split, "split", false, "run every service as a process of its own")
	f.StringVar(
		&o.transport,
		"transport",
		"",
		"how services call each other: inprocess (default) or nats; with --split always nats",
	)
	f.StringVar(
		&o.logFile,
		"log-file",
		"",
		"where log lines go; default: souk.log in the data directory; - for standard error",
	)
	return cmd
}

func runDev(ctx context.Context, o devOptions, out io.Writer) (err error) {
	began := time.Now()
	if o.transport, err = transportOf(o); err != nil {
		return err
	}
	address, err := parseHTTP(o.http)
	if err != nil {
		return err
	}
	// Unknown SOUK_… variables are refused here. Their values are checked later, with the stack's settings.
	if _, err := new(configFlag).load(); err != nil {
		return err
	}
	// Nothing is changed before these checks pass.
	if err := errors.Join(addressFree(o.http), roomToStart(o.dataDir), programsFor(o.dataDir)); err != nil {
		return err
	}
	h, err := openHome(o.dataDir, o.ephemeral)
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
	d := &devRun{o: o, address: address, home: h, out: out, logs: logs, log: log, began: began}
	defer func() {
		if ctx.Err() != nil && !d.isReady.Load() { // parts that are stopped during their start return many errors
			if err != nil {
				log.Info("stopped before it was ready", zap.Error(err))
			}
			err = errStopped
		}
	}()
	if o.split {
		share(log)
	}
	if d.stack, err = startStack(ctx, h, address, log); err != nil {
		return explainDisk(err, h.dir, outsideBase)
	}
	defer func() { err = errors.Join(err, d.stack.stop()) }()
	return d.run(ctx)
}

// transportOf returns how services call each other: inprocess, unless --transport or --split says nats.
// It fails if the two contradict each other.
func transportOf(o devOptions) (string, error) {
	switch {
	case o.transport != "" && o.transport != "inprocess" && o.transport != "nats":
		return "", fmt.Errorf("--transport is inprocess or nats, not %q", o.transport)
	case o.split && o.transport == "inprocess":
		return "", errors.New("--split and --transport inprocess contradict each other: " +
			"processes call each other over NATS; leave out one of them")
	case o.split:
		return "nats", nil
	}
	return cmp.Or(o.transport, "inprocess"), nil
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

// errStopped is the error of a souk dev that was interrupted before it was ready.
var errStopped = &exitError{status: 130, err: errors.New("stopped")}

// run runs the services until ctx ends or the disk is full.
func (d *devRun) run(ctx context.Context) error {
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
	if d.o.split {
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
		return fmt.Errorf(
			"%s can't be listened on: %w; stop what uses it, or choose another with --http",
			addr,
			errors.Unwrap(err),
		)
	}
	return ln.Close()
}

func openLogs(o devOptions, h *home) (*os.File, error) {
	switch o.logFile {
	case "-":
		return os.Stderr, nil
	case "":
		o.logFile = h.path("souk.log")
	}
	return os.OpenFile(o.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// devRun is one run of souk dev.
type devRun struct {
	o       devOptions
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
func (d *devRun) settings() map[string]any {
	s, secrets := d.stack, d.home.secrets
	return map[string]any{
		"telemetry": map[string]any{"endpoint": s.control.url, "sample_ratio": 0.01, "batch_delay": "100ms"},
		"postgres":  map[string]any{"urls": s.databases(), "max_conns": 16},
		"redis":     map[string]any{"addr": s.redis.Addr()},
		"nats":      map[string]any{"url": s.nats.URL(), "user": "souk", "password": secrets.NATSPassword},
		"identity":  map[string]any{"seed": secrets.Identity},
		"rpc":       map[string]any{"transport": d.o.transport},
		"gateway": map[string]any{
			"addr": d.address.addr, "public_url": d.address.public, "dev_url": s.control.url,
			// On one machine all clients share one address, and load tests send many requests from it.
			"address_rate": map[string]any{"per_second": 20000, "burst": 40000},
			"caller_rate":  map[string]any{"per_second": 1000, "burst": 2000},
		},
		"auth": map[string]any{
			"issuer":    s.oidc.Issuer(),
			"client_id": oidcserver.ClientID,
			"audience":  oidcserver.Audience,
			"key":       secrets.Auth,
		},
		"notification": map[string]any{"smtp_addr": s.mail.Addr(), "concurrency": 16},
		"payment": map[string]any{
			"sandbox": map[string]any{
				"webhook_secret": secrets.Webhook, "webhook_url": d.address.public + "/v1/webhooks/payments/sandbox",
			},
		},
	}
}

// configuration returns the settings, overridden by the environment, and checks them.
func (d *devRun) configuration(environ []string) (*config.Tree, error) {
	tree, err := config.Load("", environ, ofCommands...)
	if err != nil {
		return nil, err
	}
	if tree, err = tree.WithDefaults(d.settings()); err != nil {
		return nil, err
	}
	if err := tree.CheckSections(sections()...); err != nil {
		return nil, err
	}
	return tree, checkSettings(tree, modules())
}

// runInProcess runs all services in this process.
func (d *devRun) runInProcess(ctx context.Context) error {
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
		Config: tree, Logs: d.logs, Environ: environ, Migrate: true, NATS: inProcess(d),
		OnReady: func(admin string) {
			d.stack.control.setProcesses(func() []processInfo {
				return []processInfo{{Name: "souk", PID: os.Getpid(), Admin: admin}}
			})
			wg.Go(func() {
				if readyErr = d.ready(ctx, admin); readyErr != nil {
					cancel()
				}
			})
		},
	}, modules()...)
	cancel()
	wg.Wait()
	if errors.Is(readyErr, context.Canceled) {
		readyErr = nil
	}
	return errors.Join(err, readyErr)
}

// inProcess returns options that connect to the embedded NATS without a socket.
func inProcess(d *devRun) []nats.Option { return d.stack.nats.ClientOptions() }

// ready loads the demo shops, writes dev.json for other commands, and prints the addresses.
func (d *devRun) ready(ctx context.Context, admin string) error {
	s := d.stack
	state := &devState{
		PID:       os.Getpid(),
		URL:       d.address.public,
		Admin:     admin,
		OIDC:      s.oidc.Issuer(),
		OIDCAdmin: d.home.secrets.OIDCAdmin,
		Control:   s.control.url,
		Transport: d.o.transport,
		NATS:      natsAccess{URL: s.nats.URL(), User: "souk", Password: d.home.secrets.NATSPassword},
		Redis:     s.redis.Addr(),
		Databases: s.databases(),
	}
	if d.o.demo {
		if err := loadDemo(ctx, state); err != nil {
			return fmt.Errorf("load the demo shops: %w", err)
		}
	}
	if err := d.home.publish(state); err != nil {
		return err
	}
	fmt.Fprintf(d.out, `
  API          %s/v1/products
  docs         %s/docs
  mail         %s/dev/mail
  traces       %s/dev/traces
  sign-in      %s/auth/login   (provider %s)
  NATS         %s
  admin        http://%s/metrics
  data, logs   %s   (%s)

  souk token --email you@example.com   prints a bearer token

`, state.URL, state.URL, state.URL, state.URL, state.URL, state.OIDC, withoutPassword(state.NATS.URL), admin,
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

func (c *control) setProcesses(f func() []processInfo) {
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

// devToken gets a bearer token from the OpenID provider of a running souk dev. The provider creates the user on
// first use.
func devToken(ctx context.Context, state *devState, email string, roles []string) (string, error) {
	body, err := json.Marshal(map[string]any{"email": email, "roles": roles})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, state.OIDC+"/dev/token", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+state.OIDCAdmin)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("the development OpenID provider can't be reached: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // the body is only read
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the development OpenID provider refused: %s", bytes.TrimSpace(raw))
	}
	var answer struct {
		Token string `json:"accessToken"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Token == "" {
		return "", errors.New("the development OpenID provider answered without a token")
	}
	return answer.Token, nil
}
