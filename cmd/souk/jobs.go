package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/operate"
)

func jobsCommand(data *dataFlag) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "Show background jobs, and run failed ones again",
		Long: `A background job is work that a service does later, is tried again when it fails, and is discarded after its last
attempt: a delivery of a notification or of a webhook.`,
		Example: "  souk jobs ls\n  souk jobs failed\n  souk jobs retry notification/17\n  souk jobs ui",
	}
	return group(cmd, jobsList(data), jobsFailed(data), jobsRetry(data), jobsUI(data))
}

func jobsList(data *dataFlag) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "Show how many jobs of each kind wait, run and fail",
		Example: "  souk jobs ls",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.Jobs(cmd.Context(), cmd.OutOrStdout())
		},
	}
	file.register(cmd.Flags())
	return cmd
}

func jobsFailed(data *dataFlag) *cobra.Command {
	var file configFlag
	var limit int
	cmd := &cobra.Command{
		Use:     "failed",
		Short:   "Show the jobs that failed, and why",
		Example: "  souk jobs failed --limit 20",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return fmt.Errorf("--limit is at least 1, not %d", limit)
			}
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.FailedJobs(cmd.Context(), cmd.OutOrStdout(), limit)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many of each service")
	file.register(cmd.Flags())
	return cmd
}

func jobsRetry(data *dataFlag) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:     "retry ID",
		Short:   "Run a failed job at once, also one that was discarded",
		Example: "  souk jobs retry notification/17",
		Args:    oneArg("the ID of a job, as souk jobs failed prints it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.RetryJob(cmd.Context(), cmd.OutOrStdout(), args[0])
		},
	}
	file.register(cmd.Flags())
	return cmd
}

func jobsUI(data *dataFlag) *cobra.Command {
	var file configFlag
	var o operate.JobsUIOptions
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Show background jobs in a browser, until Ctrl-C",
		Long: `Show background jobs in a browser, until Ctrl-C: River UI for each service with jobs. Jobs can be found by kind, queue
and state, and retried. Queues can be paused and resumed. Jobs cannot be cancelled or deleted: what they were to do
would wait forever.

The pages have no sign-in. So only this machine can reach them, unless --network allows another address. Then put a
proxy with a sign-in in front of them.

The pages of a running souk dev also show them, under /dev/jobs/.`,
		Example: "  souk jobs ui\n  souk jobs ui --http 127.0.0.1:9091\n  souk jobs ui --config souk.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			o.Log = cmd.ErrOrStderr()
			return s.JobsUI(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	cmd.Flags().StringVar(&o.HTTP, "http", "127.0.0.1:8081", "address of the pages")
	cmd.Flags().BoolVar(&o.Network, "network", false, "allow an address that other machines reach")
	file.register(cmd.Flags())
	return cmd
}
