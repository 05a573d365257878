package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/operate"
)

// settleRestored is the default of --settle after a restore: consumers have the events of days to handle.
const settleRestored = time.Minute

func verifyCommand(data *dataFlag) *cobra.Command {
	var file configFlag
	var o operate.VerifyOptions
	var every time.Duration
	var metrics, moment string
	var restored operate.RestoredOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the invariants over all databases",
		Long: `Check what must hold over all databases: stock is never oversold, reserved pieces are those of open
reservations, every confirmed order is paid once and in full, every captured payment has an order,
cancelled orders keep neither money nor stock, totals add up, the catalogue shows what reviews add
up to, the sandbox provider's ledger sums to zero and agrees with our payments, no saga is stuck, no
event waits.

It only reads, and may run beside a busy marketplace: what differs between databases is looked at again after
--settle, and counts when no saga works on its order and nothing of it moved.

With --every it checks again and again until it is stopped, and serves the outcome as metrics for Prometheus on
--metrics. Run one such process for a marketplace: two would only do the work twice.

With --after-restore and the moment to which the databases were restored, it first publishes the outboxes again,
compares the charges that the payment provider has made since then with our payments, and finds orders that were lost
although another service keeps money, stock or vouchers for them. With --repair, it gives back what belongs to no order.
To compare the charges of another souk than a souk dev, name its API with --url, and an operator's token with --token.

Exit status: 0 when all holds, 1 when an invariant is broken or can't be checked. A WARNING breaks none.`,
		Example: `  souk verify
  souk verify --every 15m --metrics 127.0.0.1:9464 --config souk.yaml
  souk verify --json | jq '.checks[] | select(.wrong > 0)'
  souk verify --config souk.yaml
  souk verify --after-restore 2026-11-30T03:42:27Z
  souk verify --after-restore 2026-11-30T03:42:27Z --repair
  souk verify --after-restore 2026-11-30T03:42:27Z --config souk.yaml --url https://shop.example --token "$TOKEN"`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Settle < 0 {
				return fmt.Errorf("--settle is a duration from 0 on, such as 2s, not %s", o.Settle)
			}
			if every < 0 || (every > 0) != (metrics != "") {
				return errors.New("--every and --metrics go together, such as --every 15m --metrics 127.0.0.1:9464")
			}
			if every > 0 && o.JSON {
				return errors.New("--json prints one run, --every serves metrics of many: leave out one of them")
			}
			if moment == "" && (restored.Repair || restored.URL != "" || restored.Token != "") {
				return errors.New("--repair, --url and --token belong to --after-restore")
			}
			if moment != "" && (every > 0 || o.JSON) {
				return errors.New("--after-restore checks once, and prints text: leave out --every and --json")
			}
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			o.Warnings = cmd.ErrOrStderr()
			if moment != "" {
				if restored.Moment, err = parseMoment(moment, time.Now()); err != nil {
					return err
				}
				if !cmd.Flags().Changed("settle") {
					o.Settle = settleRestored
				}
				restored.VerifyOptions = o
				return s.VerifyRestored(cmd.Context(), cmd.OutOrStdout(), restored)
			}
			if every > 0 {
				return s.Watch(cmd.Context(), operate.WatchOptions{
					VerifyOptions: o, Every: every, Addr: metrics,
					OnListen: func(addr string) { fmt.Fprintf(o.Warnings, "metrics on http://%s/metrics\n", addr) },
				})
			}
			return s.Verify(cmd.Context(), cmd.OutOrStdout(), o)
		},
	}
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&every, "every", 0, "check again after this time, and serve metrics on --metrics")
	cmd.Flags().StringVar(&metrics, "metrics", "", "address on which --every serves /metrics, host:port")
	cmd.Flags().DurationVar(&o.Settle, "settle", 2*time.Second,
		"how long what differs between databases may take to become the same; after a restore 1m")
	cmd.Flags().StringVar(&moment, "after-restore", "", "the moment to which the databases were restored (RFC 3339)")
	cmd.Flags().BoolVar(&restored.Repair, "repair", false, "after a restore: give back what belongs to no order")
	cmd.Flags().
		StringVar(&restored.URL, "url", "", "after a restore: address of the API; default: the running souk dev's")
	cmd.Flags().StringVar(&restored.Token, "token", "",
		"after a restore: an operator's bearer token; default: one of the running souk dev")
	file.register(cmd.Flags())
	return cmd
}

// parseMoment parses a time in the past.
func parseMoment(s string, now time.Time) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.After(now) {
		return time.Time{}, fmt.Errorf("--after-restore is a time in the past such as 2026-11-30T03:42:27Z, not %q", s)
	}
	return t, nil
}
