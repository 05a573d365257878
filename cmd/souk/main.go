// Command souk starts, operates and checks the marketplace. All services are in this one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/catalogue"
	"souk/cmd/souk/internal/dev"
	"souk/cmd/souk/internal/explain"
	"souk/pkg/build"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills
	err := rootCommand().ExecuteContext(ctx)
	stop()
	switch {
	case err == nil:
		return
	case errors.Is(err, dev.ErrStopped):
		fmt.Fprintln(os.Stderr, dev.ErrStopped)
	default:
		fmt.Fprintln(os.Stderr, "error:", explain.Error(err))
	}
	os.Exit(status(err))
}

// status returns the exit status of a command that returned err.
func status(err error) int {
	var unreadable *catalogue.FileError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, dev.ErrStopped):
		return 130
	case errors.As(err, &unreadable):
		return 2
	}
	return 1
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "souk",
		Short: "A multi-vendor marketplace backend",
		Long: `A multi-vendor marketplace backend: shops sell, customers buy from several shops in one checkout.

Start it on this machine with: souk dev --demo`,
		Version:       build.Read().String(),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("souk {{.Version}}\n")
	data := &dataFlag{}
	root.PersistentFlags().StringVar(&data.dir, "data-dir", ".souk",
		"where souk dev keeps its data; other commands find a running souk dev there")
	root.AddCommand(
		devCommand(data),
		runCommand(),
		migrateCommand(data),
		importCommand(data),
		exportCommand(data),
		seedCommand(data),
		tokenCommand(
			data,
		),
		verifyCommand(data),
		sagaCommand(data),
		eventsCommand(data),
		auditCommand(data),
		jobsCommand(data),
		projectionsCommand(data),
		searchCommand(data),
		reviewsCommand(data),
		servicesCommand(data),
		doctorCommand(data),
		healthCommand(),
		configCommand(),
		natsauthCommand(),
		pkiCommand(),
	)
	return root
}
