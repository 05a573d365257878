package main

import (
	"os"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/operate"
	"souk/cmd/souk/internal/settings"
)

func healthCommand() *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:   "health [URL]",
		Short: "Ask a process of this machine whether it is ready",
		Long: `Ask a process of this machine whether it is ready, for the health check of a container without curl.

The process with the same configuration is asked: GET /health/ready at admin.addr, which must have a fixed port. With a
URL, that URL is asked instead.

Exit status: 0 when the answer is 2xx, 1 when it is another one, or when no answer comes within 4 s.`,
		Example: "  souk health\n  SOUK_ADMIN_ADDR=:9090 souk health\n  souk health http://127.0.0.1:9090/health/live",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return operate.Health(cmd.Context(), args[0])
			}
			tree, err := settings.Load(file.path, os.Environ())
			if err != nil {
				return err
			}
			url, err := operate.ReadyURL(tree)
			if err != nil {
				return err
			}
			return operate.Health(cmd.Context(), url)
		},
	}
	file.register(cmd.Flags())
	return cmd
}
