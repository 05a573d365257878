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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C kills
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err == nil {
		return
	}
	if errors.Is(err, errStopped) {
		fmt.Fprintln(os.Stderr, errStopped)
		os.Exit(errStopped.status)
	}
	fmt.Fprintln(os.Stderr, "error:", message(err))
	var exit *exitError
	if errors.As(err, &exit) {
		os.Exit(exit.status)
	}
	os.Exit(1)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "souk",
		Short: "A multi-vendor marketplace backend",
		Long: `A multi-vendor marketplace backend: shops sell, customers buy from several shops in one checkout.

Start it on this machine with: souk dev --demo`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	dev := &devFlags{}
	root.PersistentFlags().
		StringVar(&dev.dataDir, "data-dir", ".souk", "where souk dev keeps its data; other commands find a running souk dev there")
	root.AddCommand(
		devCommand(dev),
		runCommand(),
		migrateCommand(dev),
		importCommand(dev),
		exportCommand(dev),
		tokenCommand(dev),
		verifyCommand(dev),
		sagaCommand(dev),
		eventsCommand(dev),
		searchIndexCommand(dev),
		servicesCommand(dev),
		doctorCommand(dev),
	)
	return root
}
