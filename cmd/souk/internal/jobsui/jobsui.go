// Package jobsui shows the background jobs of services in a browser, with River UI.
//
// The pages have no sign-in. A server that uses them decides who may reach it.
package jobsui

import (
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"log/slog"
	"maps"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"riverqueue.com/riverui"

	"souk/pkg/postgres"
)

const maxConns = 4 // connections to one database, at most

// policy lets pages use what this server serves, and nothing else. River UI sets styles from its scripts.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed index.html
var indexHTML string

// Options say what is shown, and where.
type Options struct {
	// Prefix is the path of the pages, such as /dev/jobs; "": the root.
	Prefix string
	// Databases are the URLs of those of the services with jobs, by service.
	Databases map[string]string
	// Pooled: the URLs are those of a pooler; see [postgres.Config].
	Pooled bool
	// Logger takes the errors of River UI.
	Logger *slog.Logger
}

// Pages are a list of the services at Prefix/, and River UI of each at Prefix/SERVICE/. They count the jobs in the
// background. They refuse requests that a page of another site makes a browser send.
//
// A job can be retried, and a queue paused and resumed. A job cannot be cancelled or deleted: what it was to do would
// wait forever.
type Pages struct {
	handler http.Handler
	pools   []*pgxpool.Pool
	stop    context.CancelFunc
}

// Open connects to the databases. The caller closes the pages.
func Open(ctx context.Context, o Options) (pages *Pages, err error) {
	counting, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &Pages{stop: stop}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	index, err := template.New("index").Parse(indexHTML)
	if err != nil {
		return nil, err
	}
	services := slices.Sorted(maps.Keys(o.Databases))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+o.Prefix+"/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = index.Execute(w, services) // it fails only when the client is gone
	})
	for _, service := range services {
		ui, err := p.open(ctx, counting, o, service)
		if err != nil {
			return nil, fmt.Errorf("the jobs of %s: %w", service, err)
		}
		root := o.Prefix + "/" + service
		mux.Handle("GET "+root+"/", ui)
		mux.Handle("POST "+root+"/api/jobs/retry", ui)
		mux.Handle("PUT "+root+"/api/queues/{queue}/pause", ui)
		mux.Handle("PUT "+root+"/api/queues/{queue}/resume", ui)
		mux.HandleFunc("POST "+root+"/api/", refuse)
	}
	p.handler = http.NewCrossOriginProtection().Handler(mux)
	return p, nil
}

// open returns River UI of a service, which counts jobs until counting ends.
func (p *Pages) open(ctx, counting context.Context, o Options, service string) (http.Handler, error) {
	pool, err := postgres.Open(ctx, postgres.Config{
		URL: o.Databases[service], MaxConns: maxConns, Pooled: o.Pooled, ApplicationName: "souk jobs ui",
	})
	if err != nil {
		return nil, err
	}
	p.pools = append(p.pools, pool)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	ui, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(client, nil),
		Logger:    o.Logger.With("service", service),
		Prefix:    o.Prefix + "/" + service,
	})
	if err != nil {
		return nil, err
	}
	return ui, ui.Start(counting)
}

// ServeHTTP answers with a page.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	p.handler.ServeHTTP(w, r)
}

// Close ends the counting and closes the connections to the databases.
func (p *Pages) Close() {
	p.stop()
	for _, pool := range p.pools {
		pool.Close()
	}
}

// refuse answers in River UI's format.
func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte( // an error means that the client is gone
		`{"message":"this can't be done here: a job can be retried, and a queue paused and resumed"}`))
}
