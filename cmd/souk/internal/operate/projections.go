package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"souk/gen/go/souk/services"
	"souk/pkg/cqrs"
	"souk/pkg/errs"
	"souk/pkg/module"
	"souk/pkg/outbox"
)

// projection is a projection of a service.
type projection struct {
	cqrs.Projection
	module module.Module
}

// name is the projection's name in commands.
func (p projection) name() string { return p.module.Name + "." + p.Name }

// consumers are the durable consumers that keep the projection up to date.
func (p projection) consumers() (list []outbox.Durable) {
	for _, s := range services.All() {
		for _, c := range s.Consumers {
			if s.Name == p.module.Name && slices.Contains(p.Consumers, c.Purpose) {
				list = append(list, outbox.NewDurable(s.Name, c.Purpose, c.Subjects))
			}
		}
	}
	return list
}

// projections returns the projections of all services, sorted by name.
func (s *Souk) projections() (list []projection) {
	for _, m := range s.modules {
		for _, p := range m.Projections {
			list = append(list, projection{p, m})
		}
	}
	slices.SortFunc(list, func(a, b projection) int { return strings.Compare(a.name(), b.name()) })
	return list
}

// Projections prints the projections: their rows, the events that they follow, and how many of these wait.
func (s *Souk) Projections(ctx context.Context, out io.Writer) error {
	js, nc, err := s.jetStream()
	if err != nil {
		return err
	}
	defer nc.Close()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PROJECTION\tROWS\tPENDING\tLAST EVENT\tEVENTS\tSHOWS")
	now := time.Now()
	for _, p := range s.projections() {
		var rows int64
		err := s.withDB(ctx, p.module.Name, func(db cqrs.DB) error {
			rows, err = p.Rows(ctx, db)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", p.name(), err)
		}
		pending, last, subjects := "-", "-", []string{}
		if consumers := p.consumers(); len(consumers) > 0 {
			waiting, at, err := progress(ctx, js, consumers)
			if err != nil {
				return fmt.Errorf("the events of %s: %w", p.name(), err)
			}
			pending, last = fmt.Sprint(waiting), ago(at, now)
			for _, c := range consumers {
				subjects = append(subjects, c.Subjects...)
			}
		}
		fmt.Fprintf(
			w,
			"%s\t%d\t%s\t%s\t%s\t%s\n",
			p.name(),
			rows,
			pending,
			last,
			cell(strings.Join(subjects, " "), 300),
			p.Shows,
		)
	}
	return w.Flush()
}

// progress returns how many events durable consumers have not handled yet, and when they last handled one, which is the
// zero time if they never did.
//
// Errors: not_found (a consumer does not exist yet).
func progress(
	ctx context.Context,
	js jetstream.JetStream,
	consumers []outbox.Durable,
) (pending uint64, last time.Time, err error) {
	for _, d := range consumers {
		c, err := js.Consumer(ctx, outbox.StreamEvents, d.Name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			return 0, last, errs.New(errs.NotFound, "the consumer %s does not exist; natsauth creates it", d.Name)
		}
		if err != nil {
			return 0, last, err
		}
		info := c.CachedInfo()
		pending += info.NumPending + uint64(max(info.NumAckPending, 0))
		if at := info.AckFloor.Last; at != nil && at.After(last) {
			last = *at
		}
	}
	return pending, last, nil
}

// RebuildProjection derives a projection again, beside the one that serves.
//
// Errors: not_found (there is no such projection).
func (s *Souk) RebuildProjection(ctx context.Context, out io.Writer, name string) error {
	list := s.projections()
	i := slices.IndexFunc(list, func(p projection) bool { return p.name() == name })
	if i < 0 {
		var names []string
		for _, p := range list {
			names = append(names, p.name())
		}
		return errs.New(errs.NotFound, "there is no projection %q; choose from %s", name, strings.Join(names, ", "))
	}
	p := list[i]
	began := time.Now()
	return s.withStates(ctx, p.Source, func(source cqrs.States) error {
		return s.withDB(ctx, p.module.Name, func(db cqrs.DB) error {
			n, err := p.Rebuild(ctx, db, source)
			if err != nil {
				return fmt.Errorf("after %d %s: %w", n, p.Unit, err)
			}
			fmt.Fprintf(out, "rebuilt %d %s in %s\n", n, p.Unit, time.Since(began).Round(time.Millisecond))
			return nil
		})
	})
}

// withStates calls f with what the aggregates of a service are; nil if the service is "".
func (s *Souk) withStates(ctx context.Context, service string, f func(cqrs.States) error) error {
	if service == "" {
		return f(nil)
	}
	i := slices.IndexFunc(s.modules, func(m module.Module) bool { return m.Name == service })
	return s.withDB(ctx, service, func(db cqrs.DB) error { return f(s.modules[i].States(db)) })
}

// withDB calls f with a service's database and documents.
func (s *Souk) withDB(ctx context.Context, service string, f func(cqrs.DB) error) error {
	pool, err := s.open(ctx, service)
	if err != nil {
		return err
	}
	defer pool.Close()
	db := cqrs.DB{Pool: pool}
	if !slices.Contains(s.servicesWith(hasDocuments), service) {
		return f(db)
	}
	documents, closeStore, err := s.documentsOf(service, pool)
	if err != nil {
		return err
	}
	db.Documents = documents
	return errors.Join(f(db), closeStore(ctx))
}
