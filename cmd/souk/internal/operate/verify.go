package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"souk/cmd/souk/internal/verify"
	"souk/pkg/module"
)

// VerifyOptions are the options of [Souk.Verify].
type VerifyOptions struct {
	// Settle is how long a difference between databases may last before it counts as wrong.
	Settle time.Duration
	JSON   bool
	// Warnings is where it says what it could not check.
	Warnings io.Writer
}

// Verify checks the invariants over all databases and prints the outcome. It fails if one is broken.
func (s *Souk) Verify(ctx context.Context, out io.Writer, o VerifyOptions) error {
	report, err := s.verifyAll(ctx, o)
	if err != nil {
		return err
	}
	return judge(out, report, o.JSON)
}

// judge prints the outcome of all checks, and fails if an invariant is broken.
func judge(out io.Writer, report verify.Report, asJSON bool) error {
	if err := writeChecks(out, report.Checks, asJSON); err != nil {
		return err
	}
	if n := report.Broken(); n > 0 {
		return fmt.Errorf("%d of %d invariants are broken", n, len(report.Checks))
	}
	return nil
}

func (s *Souk) verifyAll(ctx context.Context, o VerifyOptions) (verify.Report, error) {
	sagas, outboxes := s.servicesWith(hasSagas), s.servicesWith(hasOutbox)
	own := slices.DeleteFunc(s.databases(), func(m module.Module) bool { return !hasInvariants(m) })
	names := union([]string{"order", "payment", "product", "voucher"}, s.servicesWith(hasInvariants), sagas, outboxes)
	pools, closeAll, err := s.openAll(ctx, names)
	if err != nil {
		return verify.Report{}, err
	}
	defer closeAll()
	sources := verify.Sources{
		Order: pools["order"], Payment: pools["payment"], Product: pools["product"], Voucher: pools["voucher"],
		Comment: pools["comment"],
		Sagas:   subset(pools, sagas), Outboxes: subset(pools, outboxes), Pools: pools, RecheckDelay: o.Settle,
		Own: own,
	}
	if s.documents.URL.IsSet() {
		fmt.Fprintf(
			o.Warnings,
			"documents are in MongoDB: the invariants of those of %s are not checked, nor whether the "+
				"catalogue shows the ratings\n",
			strings.Join(s.servicesWith(hasDocuments), ", "),
		)
		sources.Comment = nil
		for i := range sources.Own { // tables of documents may be left from before
			if sources.Own[i].Documents {
				sources.Own[i].LateInvariants = nil
			}
		}
	}
	js, nc, err := s.jetStream()
	if err != nil {
		fmt.Fprintf(o.Warnings, "dead letters are not looked at: %v\n", err)
	} else {
		defer nc.Close()
		sources.JetStream = js
	}
	return verify.Run(ctx, sources)
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
