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
)

// policy lets pages use what this server serves, and nothing else. River UI sets styles from its scripts.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed index.html
var indexHTML string

// Options say what is shown, and where.
type Options struct {
	// Prefix is the path of the pages, such as /dev/jobs; "": the root.
	Prefix string
	// Databases are those of the services with jobs, by service.
	Databases map[string]*pgxpool.Pool
	// Logger takes the errors of River UI.
	Logger *slog.Logger
}

// New returns the pages: a list of the services at Prefix/, and River UI of each at Prefix/SERVICE/. Until ctx ends,
// they count the jobs in the background. They refuse requests that a page of another site makes a browser send.
//
// A job can be retried, and a queue paused and resumed. A job cannot be cancelled or deleted: what it was to do would
// wait forever.
func New(ctx context.Context, o Options) (http.Handler, error) {
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
		pages, err := pagesOf(ctx, o, service)
		if err != nil {
			return nil, fmt.Errorf("the pages of %s: %w", service, err)
		}
		root := o.Prefix + "/" + service
		mux.Handle("GET "+root+"/", pages)
		mux.Handle("POST "+root+"/api/jobs/retry", pages)
		mux.Handle("PUT "+root+"/api/queues/{queue}/pause", pages)
		mux.Handle("PUT "+root+"/api/queues/{queue}/resume", pages)
		mux.HandleFunc("POST "+root+"/api/", refuse)
	}
	sameOrigin := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		sameOrigin.ServeHTTP(w, r)
	}), nil
}

func pagesOf(ctx context.Context, o Options, service string) (http.Handler, error) {
	client, err := river.NewClient(riverpgxv5.New(o.Databases[service]), &river.Config{Logger: o.Logger})
	if err != nil {
		return nil, err
	}
	pages, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(client, nil),
		Logger:    o.Logger.With("service", service),
		Prefix:    o.Prefix + "/" + service,
	})
	if err != nil {
		return nil, err
	}
	return pages, pages.Start(ctx)
}

// refuse answers in River UI's format.
func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte(`{"message":"this can't be done here: a job can be retried, and a queue paused and resumed"}`))
}
