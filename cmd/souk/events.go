package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func eventsCommand(data *dataFlag) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Follow events, see and replay what consumers gave up, rebuild JetStream",
		Example: `  souk events tail 'evt.order.>'
  souk events dlq
  souk events replay --since 24h`,
	}
	return group(cmd, eventsTail(data), eventsDead(data), eventsReplay(data))
}

func eventsTail(data *dataFlag) *cobra.Command {
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
						"%q is no subject of events: they look like evt.order.confirmed or 'evt.order.>'", s,
					)
				}
			}
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.TailEvents(cmd.Context(), cmd.OutOrStdout(), subjects, payload)
		},
	}
	cmd.Flags().BoolVar(&payload, "payload", false, "print the events' content too; it may hold personal data")
	file.register(cmd.Flags())
	return cmd
}

func eventsDead(data *dataFlag) *cobra.Command {
	var file configFlag
	var limit int
	list := func(cmd *cobra.Command, _ []string) error {
		if limit < 1 {
			return fmt.Errorf("--limit is at least 1, not %d", limit)
		}
		s, err := data.open(&file)
		if err != nil {
			return err
		}
		return s.ListDead(cmd.Context(), cmd.OutOrStdout(), limit)
	}
	cmd := &cobra.Command{
		Use:     "dlq",
		Short:   "List the events that consumers gave up (dead letters), or replay them",
		Example: "  souk events dlq\n  souk events dlq replay 17 18\n  souk events dlq replay --all",
		Args:    onlyCommands,
		RunE:    list,
	}
	cmd.PersistentFlags().IntVar(&limit, "limit", 50, "at most so many, the newest")
	file.register(cmd.PersistentFlags())
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List dead letters, the newest first", Args: noArgs, RunE: list},
		eventsDeadReplay(data, &file),
	)
	return cmd
}

func eventsDeadReplay(data *dataFlag, file *configFlag) *cobra.Command {
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
			s, err := data.open(file)
			if err != nil {
				return err
			}
			return s.ReplayDead(cmd.Context(), cmd.OutOrStdout(), seqs)
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

func eventsReplay(data *dataFlag) *cobra.Command {
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
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.ReplayEvents(cmd.Context(), cmd.OutOrStdout(), service, from)
		},
	}
	cmd.Flags().StringVar(&since, "since", "",
		"how far back: a duration such as 24h, or a time (RFC 3339); default: all there is")
	cmd.Flags().StringVar(&service, "service", "", "one service's events; default: all services'")
	file.register(cmd.Flags())
	return cmd
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
			"--since is a duration such as 24h or a time such as 2026-11-01T00:00:00Z, not %q", s,
		)
	}
	return t, nil
}
