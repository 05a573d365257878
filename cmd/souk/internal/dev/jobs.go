package dev

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"souk/cmd/souk/internal/jobsui"
	"souk/pkg/postgres"
)

// jobPages are the pages of background jobs. The first request opens them, because few runs need them.
type jobPages struct {
	urls map[string]string // databases of the services with jobs
	logs *slog.Logger

	mu    sync.Mutex
	pages http.Handler
	close func() // nil until they are open
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

func (j *jobPages) open(ctx context.Context) (http.Handler, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return nil, errors.New("souk dev stops")
	}
	if j.pages != nil {
		return j.pages, nil
	}
	counting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	pools := map[string]*pgxpool.Pool{}
	closeAll := func() {
		cancel()
		for _, pool := range pools {
			pool.Close()
		}
	}
	for service, url := range j.urls {
		pool, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: 2, ApplicationName: "souk dev jobs"})
		if err != nil {
			closeAll()
			return nil, err
		}
		pools[service] = pool
	}
	pages, err := jobsui.New(counting, jobsui.Options{Prefix: "/dev/jobs", Databases: pools, Logger: j.logs})
	if err != nil {
		closeAll()
		return nil, err
	}
	j.pages, j.close = pages, closeAll
	return pages, nil
}

// end closes the databases.
func (j *jobPages) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	if j.close != nil {
		j.close()
		j.close = nil
	}
}
