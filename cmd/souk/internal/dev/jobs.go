package dev

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"souk/cmd/souk/internal/jobsui"
)

// jobPages are the pages of background jobs. The first request opens them, because few runs need them.
type jobPages struct {
	urls map[string]string // databases of the services with jobs
	logs *slog.Logger

	mu    sync.Mutex
	pages *jobsui.Pages // nil until they are open
	ended bool
}

// ServeHTTP answers with the pages.
func (j *jobPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	pages, err := j.open(r.Context())
	if err != nil {
		j.logs.Error("the pages of background jobs can't be opened", "error", err)
		writeProblem(w, http.StatusServiceUnavailable, "unavailable", "the databases of the jobs do not answer")
		return
	}
	pages.ServeHTTP(w, r)
}

func (j *jobPages) open(ctx context.Context) (*jobsui.Pages, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return nil, errors.New("souk dev stops")
	}
	if j.pages == nil {
		pages, err := jobsui.Open(ctx, jobsui.Options{Prefix: "/dev/jobs", Databases: j.urls, Logger: j.logs})
		if err != nil {
			return nil, err
		}
		j.pages = pages
	}
	return j.pages, nil
}

// close closes the pages. Later requests fail.
func (j *jobPages) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	if j.pages != nil {
		j.pages.Close()
		j.pages = nil
	}
}
