package operate

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"souk/pkg/migration"
	"souk/pkg/module"
)

// Migrate brings the databases up to date ("up"), takes back the last migration ("down"), or changes nothing
// ("status"), and prints where the schemas stand. Service "" means all services.
func (s *Souk) Migrate(ctx context.Context, out io.Writer, what, service string) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tSET\tVERSION\tPENDING")
	found := false
	for _, m := range s.databases() {
		if service != "" && m.Name != service {
			continue
		}
		found = true
		if err := s.migrate(ctx, w, what, m); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	if !found {
		return fmt.Errorf("there is no service %q with a database", service)
	}
	return w.Flush()
}

func (s *Souk) migrate(ctx context.Context, w io.Writer, what string, m module.Module) error {
	url, err := s.postgres.ServiceURL(m.Name)
	if err != nil {
		return err
	}
	sets := m.Sets()
	switch what {
	case "up":
		if err := m.MigrateUp(ctx, s.postgres); err != nil {
			return err
		}
	case "down":
		own := sets[len(sets)-1]
		if state, err := migration.Status(ctx, url, own.Name, own.FS); err != nil {
			return err
		} else if state.Version > state.Latest {
			return fmt.Errorf("its schema is at %d, and this souk has migrations up to %d only: take it back "+
				"with the souk that brought it there", state.Version, state.Latest)
		}
		if err := migration.DownSteps(ctx, url, own.Name, own.FS, 1); err != nil {
			return err
		}
	}
	for _, s := range sets {
		state, err := migration.Status(ctx, url, s.Name, s.FS)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\n", m.Name, s.Name, state.Version, state.Pending)
	}
	return nil
}
