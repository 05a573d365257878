package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"souk/pkg/event"
	"souk/pkg/outbox"
)

func eventsCommand(dev *devFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow events, see and replay what consumers gave up, rebuild JetStream",
		Example: `  souk events tail 'evt.order.>'
  souk events dlq
  souk events replay --since 24h`,
	}
	return group(cmd, eventsTail(dev), eventsDead(dev), eventsReplay(dev))
}

func eventsTail(dev *devFlags) *cobra.Command {
	var file configFlag
	var payload bool
	cmd := &cobra.Command{
		Use:     "tail [SUBJECT…]",
		Short:   "Print events as they happen, until Ctrl-C",
		Long:    "Print events as they happen, until Ctrl-C. Subjects may end in > or have * for one part; none means all.",
		Example: "  souk events tail\n  souk events tail 'evt.order.*' evt.inventory.low --payload",
		RunE: func(cmd *cobra.Command, subjects []string) error {
			for _, s := range subjects {
				if s != "evt" && !strings.HasPrefix(s, "evt.") || strings.ContainsAny(s, " \t") ||
					strings.HasSuffix(s, ".") {
					return fmt.Errorf(
						"%q is no subject of events: they look like evt.order.confirmed or 'evt.order.>'",
						s,
					)
				}
			}
			r, err := reachOf(dev, &file)
			if err != nil {
				return err
			}
			js, nc, err := r.jetStream()
			if err != nil {
				return err
			}
			defer nc.Close()
			return outbox.Tail(
				cmd.Context(),
				js,
				subjects,
				func(e event.Event) { writeEvent(cmd.OutOrStdout(), e, payload) },
			)
		},
	}
	cmd.Flags().BoolVar(&payload, "payload", false, "print the events' content too; it may hold personal data")
	file.register(cmd)
	return cmd
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

func eventsDead(dev *devFlags) *cobra.Command {
	var file configFlag
	var limit int
	list := func(cmd *cobra.Command, _ []string) error {
		if limit < 1 {
			return fmt.Errorf("--limit is at least 1, not %d", limit)
		}
		r, err := reachOf(dev, &file)
		if err != nil {
			return err
		}
		js, nc, err := r.jetStream()
		if err != nil {
			return err
		}
		defer nc.Close()
		letters, err := outbox.ListDead(cmd.Context(), js, limit)
		if err != nil {
			return err
		}
		return writeDead(cmd.OutOrStdout(), letters, time.Now())
	}
	cmd := &cobra.Command{
		Use:     "dlq",
		Short:   "List the events that consumers gave up (dead letters), or replay them",
		Example: "  souk events dlq\n  souk events dlq replay 17 18\n  souk events dlq replay --all",
		Args:    onlyCommands,
		RunE:    list,
	}
	cmd.PersistentFlags().IntVar(&limit, "limit", 50, "at most so many, the newest")
	cmd.PersistentFlags().
		StringVar(&file.path, "config", os.Getenv("SOUK_CONFIG"), "configuration file (YAML); SOUK_… variables override it")
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List dead letters, the newest first", Args: noArgs, RunE: list},
		eventsDeadReplay(dev, &file),
	)
	return cmd
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

func eventsDeadReplay(dev *devFlags, file *configFlag) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "replay SEQ…",
		Short: "Give dead letters to the consumers that gave them up once more",
		Long: `Give dead letters to the consumers that gave them up once more, and to them alone. What fails again becomes a
letter again. SEQ is the first column of souk events dlq.`,
		Example: "  souk events dlq replay 17 18\n  souk events dlq replay --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.New("say which: numbers from `souk events dlq`, or --all")
			}
			seqs, err := parseSeqs(args)
			if err != nil {
				return err
			}
			r, err := reachOf(dev, file)
			if err != nil {
				return err
			}
			js, nc, err := r.jetStream()
			if err != nil {
				return err
			}
			defer nc.Close()
			if all {
				letters, err := outbox.ListDead(cmd.Context(), js, 100_000)
				if err != nil {
					return err
				}
				for _, l := range letters {
					seqs = append(seqs, l.Seq)
				}
				slices.Sort(seqs) // the oldest first, because an aggregate's events must keep their order
			}
			for i, seq := range seqs {
				if err := outbox.ReplayDead(cmd.Context(), js, seq); err != nil {
					return fmt.Errorf("%d of %d replayed; letter %d: %w", i, len(seqs), seq, err)
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "replayed %d dead letters\n", len(seqs))
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "replay all of them, the oldest first")
	return cmd
}

func parseSeqs(args []string) ([]uint64, error) {
	var seqs []uint64
	for _, a := range args {
		n, err := strconv.ParseUint(a, 10, 64)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q is no number of a dead letter: souk events dlq lists them", a)
		}
		seqs = append(seqs, n)
	}
	return seqs, nil
}

func eventsReplay(dev *devFlags) *cobra.Command {
	var file configFlag
	var service, since string
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Publish what the services' outboxes hold again",
		Long: `Publish what the services' outboxes hold again, in order: at least the last 7 days. It rebuilds JetStream after its
files were lost. Consumers skip what they have taken in before, so it is safe at any time.`,
		Example: `  souk events replay
  souk events replay --since 24h --service order
  souk events replay --since 2026-11-01T00:00:00Z`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			services := servicesWith(hasOutbox)
			if service != "" {
				if !slices.Contains(services, service) {
					return fmt.Errorf("--service is one of %s, not %q", strings.Join(services, ", "), service)
				}
				services = []string{service}
			}
			r, err := reachOf(dev, &file)
			if err != nil {
				return err
			}
			return replay(cmd.Context(), r, services, from, cmd.OutOrStdout())
		},
	}
	cmd.Flags().
		StringVar(&since, "since", "", "how far back: a duration such as 24h, or a time (RFC 3339); default: all there is")
	cmd.Flags().StringVar(&service, "service", "", "one service's events; default: all services'")
	file.register(cmd)
	return cmd
}

func replay(ctx context.Context, r *reach, services []string, from time.Time, out io.Writer) error {
	js, nc, err := r.jetStream()
	if err != nil {
		return err
	}
	defer nc.Close()
	for _, s := range services {
		pool, err := r.open(ctx, s)
		if err != nil {
			return err
		}
		n, err := outbox.Replay(ctx, pool, js, s, from)
		pool.Close()
		if err != nil {
			return fmt.Errorf("%s: %d events replayed, then: %w", s, n, err)
		}
		fmt.Fprintf(out, "%s: %d events replayed\n", s, n)
	}
	return nil
}

// parseSince parses --since: a duration before now, or a time. An empty text is the zero time.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf(
			"--since is a duration such as 24h or a time such as 2026-11-01T00:00:00Z, not %q",
			s,
		)
	}
	return t, nil
}
