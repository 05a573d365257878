package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"souk/cmd/souk/internal/jobsui"
	"souk/pkg/loopback"
)

// JobsUIOptions say where the pages of background jobs are served.
type JobsUIOptions struct {
	// HTTP is the address, host:port.
	HTTP string
	// Network allows an address that other machines reach. The pages have no sign-in.
	Network bool
	// Log takes the pages' errors.
	Log io.Writer
}

// JobsUI serves pages that show the background jobs of all services, until ctx ends.
func (s *Souk) JobsUI(ctx context.Context, out io.Writer, o JobsUIOptions) error {
	addr, err := net.ResolveTCPAddr("tcp", o.HTTP)
	if err != nil {
		return fmt.Errorf("--http is host:port, such as 127.0.0.1:8081, not %q: %w", o.HTTP, err)
	}
	local := addr.IP.IsLoopback()
	if !local && !o.Network {
		return fmt.Errorf("%s can be reached from the network, and the pages have no sign-in: "+
			"choose an address such as 127.0.0.1:8081, or allow this one with --network", o.HTTP)
	}
	urls := map[string]string{}
	for _, service := range s.servicesWith(hasJobs) {
		if urls[service], err = s.postgres.ServiceURL(service); err != nil {
			return err
		}
	}
	pages, err := jobsui.Open(ctx, jobsui.Options{
		Databases: urls, Pooled: s.postgres.Pooled,
		Logger: slog.New(slog.NewTextHandler(o.Log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	defer pages.Close()
	var handler http.Handler = pages
	if local {
		handler = loopback.Only(pages)
	}
	ln, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // the listener is closed either way
	fmt.Fprintf(out, "background jobs: http://%s/   (Ctrl-C ends)\n", ln.Addr())
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
