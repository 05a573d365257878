package module

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"souk/pkg/loopback"
	"souk/pkg/metric"
)

// admin is the operators' HTTP listener: health, metrics, profiles.
type admin struct {
	addr   string
	server *http.Server
	done   chan struct{}
}

func startAdmin(
	c AdminConfig, reg *prometheus.Registry, ready func(context.Context) error, tested bool,
) (*admin, error) {
	if c.Addr == "" {
		return &admin{}, nil
	}
	ln, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("admin.addr: the listener for health and metrics cannot be opened: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	mux.Handle("GET /metrics", metric.Handler(reg))
	var handler http.Handler = mux
	if addr, ok := ln.Addr().(*net.TCPAddr); ok && addr.IP.IsLoopback() {
		handler = loopback.Only(mux)
		// A profile must not be exposed to the network.
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
		if tested {
			mux.HandleFunc("PUT /debug/failpoints", setFailpoints)
		}
	}
	a := &admin{
		addr:   ln.Addr().String(),
		server: &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(a.done)
		if err := a.server.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
			return
		}
	}()
	return a, nil
}

func (a *admin) close() {
	if a.server == nil {
		return
	}
	_ = a.server.Close() // ignored: the listener is closed either way
	<-a.done
}
