package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func jobsCommand(data *dataFlag) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "jobs",
		Short: "Show background jobs, and run failed ones again",
		Long: `A background job is work that a service does later, is tried again when it fails, and is discarded after its last
attempt: a delivery of a notification or of a webhook.`,
		Example: "  souk jobs ls\n  souk jobs failed\n  souk jobs retry notification/17",
	}
	return group(cmd, jobsList(data), jobsFailed(data), jobsRetry(data))
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
