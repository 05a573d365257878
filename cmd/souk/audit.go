package main

import (
	"encoding/base64"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/operate"
)

func auditCommand(data *dataFlag) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check, follow and export the audit trail",
		Long: `Check, follow and export the audit trail: who did what to which object, from where, when, with which result. See
docs/security.md.`,
		Example: `  souk audit verify --checkpoints checkpoints.txt
  souk audit tail
  souk audit report --from 2026-10-01 --to 2026-11-01 --kind access --format html > october.html`,
	}
	return group(cmd, auditVerify(data), auditTail(data), auditExport(data), auditReport(data), auditKey(data))
}

func auditVerify(data *dataFlag) *cobra.Command {
	var file configFlag
	var public, checkpoints string
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that no entry was changed or removed",
		Long: `Check that no entry was changed or removed. Somebody who can write to the database and has the signing key can make a
new trail. Checkpoints that were kept elsewhere show that, too: name their file, or a log, with --checkpoints.`,
		Example: "  souk audit verify\n  souk audit verify --checkpoints checkpoints.txt --public-key …",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			key, err := s.AuditKey(public)
			if err != nil {
				return err
			}
			return s.VerifyAudit(cmd.Context(), cmd.OutOrStdout(), key, checkpoints)
		},
	}
	cmd.Flags().
		StringVar(&public, "public-key", "", "public key of checkpoints (base64); default: from the configuration")
	cmd.Flags().StringVar(&checkpoints, "checkpoints", "", "file with checkpoints, or a log of the audit service")
	file.register(cmd.Flags())
	return cmd
}

func auditTail(data *dataFlag) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:     "tail",
		Short:   "Print entries as they are made, until Ctrl-C",
		Example: "  souk audit tail",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.TailAudit(cmd.Context(), cmd.OutOrStdout())
		},
	}
	file.register(cmd.Flags())
	return cmd
}

func auditExport(data *dataFlag) *cobra.Command {
	cmd := auditWriteCommand(data, "json", nil)
	cmd.Use, cmd.Short = "export", "Write all entries of a time"
	cmd.Example = "  souk audit export --from 2026-10-01 > october.jsonl"
	return cmd
}

func auditReport(data *dataFlag) *cobra.Command {
	var kind string
	cmd := auditWriteCommand(data, "html", &kind)
	cmd.Use, cmd.Short = "report", "Write a compliance report of a time"
	cmd.Long = `Write a compliance report of a time. Kinds: access (what people with permissions read, and who got permissions),
changes, erasures (of personal data), payments.`
	cmd.Example = "  souk audit report --from 2026-10-01 --to 2026-11-01 --kind payments --format csv"
	cmd.Flags().StringVar(&kind, "kind", "changes", "access, changes, erasures or payments")
	return cmd
}

// auditWriteCommand returns a command that writes entries. Kind is set by a flag of it; nil: it writes all kinds.
func auditWriteCommand(data *dataFlag, format string, kind *string) *cobra.Command {
	var file configFlag
	var from, to string
	var x operate.AuditExport
	cmd := &cobra.Command{
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if kind != nil {
				x.Kind = *kind
			}
			if x.From, err = auditMoment("from", from); err != nil {
				return err
			}
			if x.To, err = auditMoment("to", to); err != nil {
				return err
			}
			if err := x.Validate(); err != nil {
				return err
			}
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			return s.ExportAudit(cmd.Context(), cmd.OutOrStdout(), x)
		},
	}
	cmd.Flags().
		StringVar(&from, "from", "", "first day or moment, such as 2026-10-01 or 2026-10-01T12:00:00Z; default: the first entry")
	cmd.Flags().StringVar(&to, "to", "", "day or moment before which entries were made; default: now")
	cmd.Flags().StringVar(&x.Format, "format", format, "json (a line each), csv or html")
	file.register(cmd.Flags())
	return cmd
}

// auditMoment reads a day or a moment; "" is none. A day begins at midnight UTC.
func auditMoment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf(
		"--%s is a day such as 2026-10-01, or a moment such as 2026-10-01T12:00:00Z, not %q",
		flag,
		text,
	)
}

func auditKey(data *dataFlag) *cobra.Command {
	var file configFlag
	cmd := &cobra.Command{
		Use:     "key",
		Short:   "Print the public key with which checkpoints are checked",
		Example: "  souk audit key --config souk.yaml",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := data.open(&file)
			if err != nil {
				return err
			}
			key, err := s.AuditKey("")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), base64.StdEncoding.EncodeToString(key))
			return err
		},
	}
	file.register(cmd.Flags())
	return cmd
}
