package operate

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"souk/pkg/event"
	"souk/pkg/outbox"
)

// TailEvents prints the events of subjects as they are published, until ctx ends. No subjects means all events.
// Payload prints the events' content, too.
func (s *Souk) TailEvents(ctx context.Context, out io.Writer, subjects []string, payload bool) error {
	js, nc, err := s.jetStream()
	if err != nil {
		return err
	}
	defer nc.Close()
	return outbox.Tail(ctx, js, subjects, func(e event.Event) { writeEvent(out, e, payload) })
}

func writeEvent(out io.Writer, e event.Event, payload bool) {
	at := e.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	fmt.Fprintf(out, "%s  %-28s  %s v%d  %s\n", at, e.Subject, e.AggregateID, e.AggregateVersion, e.ID)
	if payload {
		fmt.Fprintf(out, "    %s\n", payloadJSON(e.Type, e.Payload))
	}
}

// payloadJSON returns a payload as JSON. For a type that this binary does not know it returns only name and size.
func payloadJSON(name string, payload []byte) string {
	typ, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name))
	if err != nil {
		return fmt.Sprintf("%s, %d bytes", name, len(payload))
	}
	m := typ.New().Interface()
	if err := (event.Event{Type: name, Payload: payload}).Decode(m); err != nil {
		return fmt.Sprintf("%s can't be read: %v", name, err)
	}
	text, err := protojson.Marshal(m)
	if err != nil {
		return fmt.Sprintf("%s can't be shown: %v", name, err)
	}
	return name + " " + string(text)
}

// ListDead prints the newest dead letters.
func (s *Souk) ListDead(ctx context.Context, out io.Writer, limit int) error {
	js, nc, err := s.jetStream()
	if err != nil {
		return err
	}
	defer nc.Close()
	letters, err := outbox.ListDead(ctx, js, limit)
	if err != nil {
		return err
	}
	return writeDead(out, letters, time.Now())
}

func writeDead(out io.Writer, letters []outbox.Dead, now time.Time) error {
	if len(letters) == 0 {
		fmt.Fprintln(out, "no dead letters")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SEQ\tGIVEN UP\tCONSUMER\tSUBJECT\tABOUT\tTRIES\tREASON")
	for _, d := range letters {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%s\n",
			d.Seq, ago(d.At, now), d.Consumer, d.Subject, cell(d.AggregateID, 60), d.Attempts, cell(d.Reason, 100))
	}
	return w.Flush()
}

// ReplayDead gives dead letters to the consumers that gave them up: those with the numbers, or all without numbers.
func (s *Souk) ReplayDead(ctx context.Context, out io.Writer, seqs []uint64) error {
	js, nc, err := s.jetStream()
	if err != nil {
		return err
	}
	defer nc.Close()
	if len(seqs) == 0 {
		letters, err := outbox.ListDead(ctx, js, 100_000)
		if err != nil {
			return err
		}
		for _, l := range letters {
			seqs = append(seqs, l.Seq)
		}
		slices.Sort(seqs) // the oldest first, because an aggregate's events must keep their order
	}
	for i, seq := range seqs {
		if err := outbox.ReplayDead(ctx, js, seq); err != nil {
			return fmt.Errorf("%d of %d replayed; letter %d: %w", i, len(seqs), seq, err)
		}
	}
	fmt.Fprintf(out, "replayed %d dead letters\n", len(seqs))
	return nil
}

// ReplayEvents publishes what the outboxes hold from a time on again. Service "" means all services.
func (s *Souk) ReplayEvents(ctx context.Context, out io.Writer, service string, from time.Time) error {
	services := s.servicesWith(hasOutbox)
	if service != "" {
		if !slices.Contains(services, service) {
			return fmt.Errorf("--service is one of %s, not %q", strings.Join(services, ", "), service)
		}
		services = []string{service}
	}
	js, nc, err := s.jetStream()
	if err != nil {
		return err
	}
	defer nc.Close()
	for _, name := range services {
		pool, err := s.open(ctx, name)
		if err != nil {
			return err
		}
		n, err := outbox.Replay(ctx, pool, js, name, from)
		pool.Close()
		if err != nil {
			return fmt.Errorf("%s: %d events replayed, then: %w", name, n, err)
		}
		fmt.Fprintf(out, "%s: %d events replayed\n", name, n)
	}
	return nil
}
