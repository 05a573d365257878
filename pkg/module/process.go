package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"souk/pkg/build"
	"souk/pkg/clock"
	"souk/pkg/config"
	"souk/pkg/failpoint"
	"souk/pkg/jobs"
	"souk/pkg/logging"
	"souk/pkg/metric"
	"souk/pkg/migration"
	"souk/pkg/outbox"
	"souk/pkg/postgres"
	"souk/pkg/saga"
	"souk/pkg/telemetry"
)

const (
	reconnectWait = 100 * time.Millisecond
	// A server that vanishes without closing its connections, as one does whose machine dies or whose network is cut
	// off, is noticed when it has not answered two pings: after 6 to 9 s. With NATS's defaults it takes 6 minutes.
	pingInterval     = 3 * time.Second
	pingsOutstanding = 2
	readyPoll        = 5 * time.Millisecond // poll interval of waitReady
	readyWarning     = 5 * time.Second      // interval of the warnings of waitReady
	readyTimeout     = 2 * time.Second      // of one check
	drainTimeout     = 20 * time.Second     // per module, unless it is a Stopper
	flushTimeout     = 2 * time.Second
)

// Options configure a process.
type Options struct {
	// Config is the process's configuration. Each module has a section with its name.
	Config *config.Tree
	// Logs receives the log lines; nil means os.Stderr.
	Logs io.Writer
	// Environ may contain SOUK_FAILPOINTS, for tests.
	Environ []string
	// NATS are additional connection options, e.g. for an embedded server.
	NATS []nats.Option
	// Clock gives the time to the modules; nil means the system's clock. Tokens between services always use that.
	Clock clock.Clock
	// Migrate applies the modules' migrations before the modules are built.
	Migrate bool
	// OnReady is called once all modules take traffic, with the address of the admin listener.
	OnReady func(adminAddr string)
}

// Run runs modules until ctx ends or one of them fails. The modules start in the given order, services before the
// gateway, and stop in reverse order: a module is drained before the modules that it depends on.
func Run(ctx context.Context, o Options, modules ...Module) error {
	if err := failpoint.FromEnv(o.Environ); err != nil {
		return err
	}
	p, err := newProcess(ctx, o, modules)
	if err != nil {
		return err
	}
	defer p.close()
	if o.Migrate {
		if err := migrateAll(ctx, p.shared.postgres, modules); err != nil {
			return err
		}
	}
	return p.run(ctx, o)
}

type process struct {
	modules   []Module
	shared    *resources
	telemetry *telemetry.Provider
	logger    *zap.Logger
	logs      *logSink
	registry  *prometheus.Registry
	admin     AdminConfig
	tree      *config.Tree

	mu       sync.Mutex
	started  []*running
	stopping bool
}

// running is a started module.
type running struct {
	name   string
	run    Runnable
	schema func(context.Context) error // checks the module's database
	stop   func(context.Context) error // drains the module's RPC service; nil if it has none
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned
	err    error         // of run; valid after done is closed

	reported bool // err is part of Run's error already
}

// Sections returns the configuration sections of every process, without those of its modules.
func Sections() []string {
	return []string{
		sectionLog,
		sectionTelemetry,
		sectionPostgres,
		sectionDocuments,
		sectionRedis,
		sectionCache,
		sectionNATS,
		sectionIdentity,
		sectionAdmin,
		sectionRPC,
		sectionVault,
	}
}

func newProcess(ctx context.Context, o Options, modules []Module) (*process, error) {
	logs, err := decode(o.Config, sectionLog, logging.Default())
	if err != nil {
		return nil, err
	}
	w := o.Logs
	if w == nil {
		w = os.Stderr
	}
	sink := newLogSink(w)
	log, err := logging.New(logs, sink)
	if err != nil {
		return nil, err
	}
	settings, err := decode(o.Config, sectionTelemetry, telemetry.Default())
	if err != nil {
		return nil, err
	}
	admin, err := decode(o.Config, sectionAdmin, DefaultAdmin())
	if err != nil {
		return nil, err
	}
	name := "souk"
	if len(modules) == 1 {
		name = modules[0].Name
	}
	reg := metric.NewRegistry()
	count, err := countLines(reg)
	if err != nil {
		return nil, err
	}
	log = log.WithOptions(zap.Hooks(sink.hook, count))
	info := build.Read()
	if err := reg.Register(info.Metric()); err != nil {
		return nil, err
	}
	log.Info(
		"starting",
		zap.String("version", info.Version),
		zap.String("commit", info.Commit),
		zap.String("go", info.Go),
	)
	tel, err := telemetry.New(ctx, name, settings, telemetry.WithErrorHandler(func(err error) {
		log.Warn("traces not sent", zap.Error(err))
	}))
	if err != nil {
		return nil, err
	}
	o.Config.Secrets().LogTo(log)
	p := &process{
		modules:   modules,
		telemetry: tel,
		logger:    log,
		logs:      sink,
		registry:  reg,
		admin:     admin,
		tree:      o.Config,
	}
	if p.shared, err = newResources(o.Config, log, reg, tel, o, moduleNames(modules)); err != nil {
		p.close()
		return nil, err
	}
	p.shared.schemas = p.checkSchemas
	return p, nil
}

func moduleNames(modules []Module) []string {
	names := make([]string, len(modules))
	for i, m := range modules {
		names[i] = m.Name
	}
	return names
}

// close closes the shared resources, and flushes spans and logs.
func (p *process) close() {
	if p.shared != nil {
		p.shared.close()
	}
	p.tree.Secrets().Close()
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	if err := p.telemetry.Shutdown(ctx); err != nil {
		p.logger.Warn("last spans not sent", zap.Error(err))
	}
	p.logs.close()
}

func (p *process) run(ctx context.Context, o Options) (err error) {
	failed := make(chan *running, len(p.modules))
	// stop ends the modules one after the other. The end of ctx must not end all of them at once.
	base := context.WithoutCancel(ctx)
	admin, err := startAdmin(p.admin, p.registry, p.ready, underTest(o.Environ))
	if err != nil {
		return err
	}
	defer admin.close() // last, so that the stop can be observed
	defer func() { err = errors.Join(err, p.stop()) }()
	for _, m := range p.modules {
		if err := p.start(ctx, base, m, failed); err != nil {
			if ctx.Err() != nil { // stopped while starting
				return nil
			}
			return fmt.Errorf("start %s: %w", m.Name, err)
		}
	}
	if r := p.waitReady(ctx, failed); r != nil {
		return fmt.Errorf("%s did not start: %w", r.name, r.failure())
	}
	if ctx.Err() != nil {
		return nil
	}
	p.logger.Info("ready", zap.Int("modules", len(p.modules)), zap.String("admin", admin.addr))
	p.logs.flush() // the addresses of the listeners are known before OnReady
	if o.OnReady != nil {
		o.OnReady(admin.addr)
	}
	select {
	case <-ctx.Done():
		return nil
	case r := <-failed:
		return fmt.Errorf("%s stopped: %w", r.name, r.failure())
	}
}

func (r *running) failure() error {
	r.reported = true
	if r.err != nil {
		return r.err
	}
	return errors.New("it ended by itself")
}

func (p *process) start(ctx, base context.Context, m Module, failed chan<- *running) error {
	platform, err := newPlatform(m, p.tree, p.shared)
	if err != nil {
		return err
	}
	run, err := m.Build(ctx, platform)
	if err != nil {
		return err
	}
	if err := platform.server.Err(); err != nil {
		return err
	}
	if platform.mongo != nil {
		run = Group(platform.mongo, run)
	}
	if platform.stale != nil {
		run = Group(platform.watchReplica(), run)
	}
	r := &running{name: m.Name, run: run, schema: platform.checkSchema, done: make(chan struct{})}
	if len(platform.server.Methods()) > 0 {
		transport, err := p.shared.transport()
		if err != nil {
			return err
		}
		if r.stop, err = transport.Serve(base, platform.server); err != nil {
			return fmt.Errorf("serve its RPCs: %w", err)
		}
	}
	var runCtx context.Context
	runCtx, r.cancel = context.WithCancel(base)
	p.mu.Lock()
	p.started = append(p.started, r)
	p.mu.Unlock()
	go func() {
		r.err = r.run.Run(runCtx)
		close(r.done)
		if runCtx.Err() == nil {
			failed <- r
		}
	}()
	return nil
}

// waitReady waits until all modules take traffic or ctx ends. It returns a module that fails in the meantime. Every
// readyWarning it logs the reason for the wait.
func (p *process) waitReady(ctx context.Context, failed <-chan *running) *running {
	t := time.NewTicker(readyPoll)
	defer t.Stop()
	warning := time.NewTicker(readyWarning)
	defer warning.Stop()
	for {
		err := p.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case r := <-failed:
			return r
		case <-warning.C:
			p.logger.Warn("not ready yet", zap.Error(err))
		case <-t.C:
		}
	}
}

// ready returns nil if all modules take traffic.
func (p *process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	p.mu.Lock()
	started, stopping := slices.Clone(p.started), p.stopping
	p.mu.Unlock()
	if stopping {
		return errors.New("stopping")
	}
	if len(started) < len(p.modules) {
		return errors.New("starting")
	}
	for _, r := range started {
		if err := r.run.Ready(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return p.checkSchemas(ctx)
}

// checkSchemas returns an error if the database of a started module lacks a migration.
func (p *process) checkSchemas(ctx context.Context) error {
	p.mu.Lock()
	started := slices.Clone(p.started)
	p.mu.Unlock()
	for _, r := range started {
		if err := r.schema(ctx); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// stop stops the started modules in reverse order. It first drains a module's RPC service, then ends the module.
func (p *process) stop() error {
	p.mu.Lock()
	started := p.started
	p.started, p.stopping = nil, true
	p.mu.Unlock()
	var errs []error
	for i := len(started) - 1; i >= 0; i-- {
		r := started[i]
		timeout := drainTimeout
		if s, ok := r.run.(Stopper); ok {
			timeout = s.StopTimeout()
		}
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		if r.stop != nil {
			if err := r.stop(ctx); err != nil {
				errs = append(errs, fmt.Errorf("drain %s: %w", r.name, err))
			}
		}
		r.cancel()
		select {
		case <-r.done:
			if r.err != nil && !r.reported && !errors.Is(r.err, context.Canceled) {
				errs = append(errs, fmt.Errorf("stop %s: %w", r.name, r.err))
			}
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("stop %s: it did not end within %s", r.name, timeout))
		}
		cancel()
	}
	return errors.Join(errs...)
}

// Sets returns the module's migrations in the order in which they run: those of the shared tables, of what it embeds,
// then its own.
func (m Module) Sets() []migration.Set {
	var sets []migration.Set
	if m.Tables.Outbox {
		sets = append(sets, outbox.Migrations())
	}
	if m.Tables.Saga {
		sets = append(sets, saga.Migrations())
	}
	if m.Tables.Jobs {
		sets = append(sets, jobs.Migrations())
	}
	sets = append(sets, m.Embedded...)
	if m.Migrations != nil {
		sets = append(sets, migration.Set{Name: m.Name, FS: m.Migrations})
	}
	return sets
}

// migrateAll migrates the modules' databases concurrently.
func migrateAll(ctx context.Context, c PostgresConfig, modules []Module) error {
	errc := make(chan error, len(modules))
	var wg sync.WaitGroup
	for _, m := range modules {
		sets := m.Sets()
		if len(sets) == 0 {
			continue
		}
		wg.Go(func() {
			if err := m.MigrateUp(ctx, c); err != nil {
				errc <- fmt.Errorf("migrate the database of %s: %w", m.Name, postgres.Err(err))
			}
		})
	}
	wg.Wait()
	close(errc)
	return <-errc
}

// MigrateUp brings the module's database up to date. If the services use a pooler, it makes their settings the defaults
// of the module's role; c then has the URL of the server itself.
func (m Module) MigrateUp(ctx context.Context, c PostgresConfig) error {
	url, err := c.ServiceURL(m.Name)
	if err != nil {
		return err
	}
	if err := migration.UpAll(ctx, url, m.Sets()...); err != nil || !c.Pooled {
		return err
	}
	return postgres.SetForRole(ctx, postgres.Config{URL: url, ByKey: !m.Scans})
}
