package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"souk/apps/order"
	"souk/apps/payment"
	"souk/cmd/souk/internal/verify"
)

func verifyCommand(dev *devFlags) *cobra.Command {
	var file configFlag
	var asJSON bool
	var recheckDelay time.Duration
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the invariants over all databases",
		Long: `Check what must hold over all databases: stock is never oversold, reserved pieces are those of open reservations,
every confirmed order is paid once and in full, every captured payment has an order, cancelled orders keep neither
money nor stock, totals add up, the sandbox provider's ledger sums to zero and agrees with our payments, no saga is
stuck, no event waits.

It only reads, and may run beside a busy marketplace: what differs between databases is looked at again after
--settle, and counts when no saga works on its order and nothing of it moved.

Exit status: 0 when all holds, 1 when an invariant is broken or can't be checked. A WARNING breaks none.`,
		Example: `  souk verify
  souk verify --json | jq '.checks[] | select(.wrong > 0)'
  souk verify --config souk.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if recheckDelay < 0 {
				return fmt.Errorf("--settle is a duration from 0 on, such as 2s, not %s", recheckDelay)
			}
			r, err := reachOf(dev, &file)
			if err != nil {
				return err
			}
			checks, err := verifyAll(cmd.Context(), r, recheckDelay, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := writeChecks(cmd.OutOrStdout(), checks, asJSON); err != nil {
				return err
			}
			broken := 0
			for _, c := range checks {
				if c.Violated() {
					broken++
				}
			}
			if broken > 0 {
				return fmt.Errorf("%d of %d invariants are broken", broken, len(checks))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().DurationVar(&recheckDelay, "settle", 2*time.Second,
		"how long what differs between databases may take to become the same")
	file.register(cmd)
	return cmd
}

func verifyAll(
	ctx context.Context, r *reach, recheckDelay time.Duration, warnings io.Writer,
) ([]verify.Check, error) {
	sagas, outboxes := servicesWith(hasSagas), servicesWith(hasOutbox)
	pools, closeAll, err := r.openAll(
		ctx,
		union([]string{order.Module.Name, payment.Module.Name, "product"}, sagas, outboxes),
	)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	s := verify.Sources{
		Order: pools["order"], Payment: pools["payment"], Product: pools["product"],
		Sagas: subset(pools, sagas), Outboxes: subset(pools, outboxes), Pools: pools, RecheckDelay: recheckDelay,
		Own: map[string]verify.Own{
			"order": verify.OwnOf(func(ctx context.Context, pool *pgxpool.Pool) ([]order.Finding, error) {
				return order.Verify(ctx, pool)
			}),
			"payment": verify.OwnOf(func(ctx context.Context, pool *pgxpool.Pool) ([]payment.Finding, error) {
				return payment.Verify(ctx, pool)
			}),
		},
	}
	js, nc, err := r.jetStream()
	if err != nil {
		fmt.Fprintf(warnings, "dead letters are not looked at: %v\n", err)
	} else {
		defer nc.Close()
		s.JetStream = js
	}
	return verify.Run(ctx, s)
}

func union(lists ...[]string) []string {
	seen := map[string]bool{}
	var out []string
	for _, list := range lists {
		for _, s := range list {
			if !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
		}
	}
	return out
}

func subset(pools map[string]*pgxpool.Pool, names []string) map[string]*pgxpool.Pool {
	out := map[string]*pgxpool.Pool{}
	for _, n := range names {
		out[n] = pools[n]
	}
	return out
}

// writeChecks prints the outcome of all checks.
func writeChecks(out io.Writer, checks []verify.Check, asJSON bool) error {
	if asJSON {
		ok := true
		for _, c := range checks {
			ok = ok && !c.Violated()
		}
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(map[string]any{"ok": ok, "checks": checks})
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, c := range checks {
		verdict := "ok"
		switch {
		case c.Violated():
			verdict = "VIOLATION"
		case c.Wrong > 0:
			verdict = "WARNING"
		}
		counts := fmt.Sprintf("%d checked", c.Checked)
		if c.Wrong > 0 {
			counts += fmt.Sprintf(", %d wrong", c.Wrong)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", verdict, c.Rule, counts)
		if len(c.Examples) > 0 {
			more := ""
			if int64(len(c.Examples)) < c.Wrong {
				more = ", …"
			}
			fmt.Fprintf(w, "\t  %s%s\t\n", strings.Join(c.Examples, ", "), more)
		}
		if c.Note != "" {
			fmt.Fprintf(w, "\t  %s\t\n", c.Note)
		}
	}
	return w.Flush()
}
