package operate

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	app "souk/apps/audit"
	"souk/pkg/audit"
)

// auditService is the service that has the trail.
const auditService = "audit"

// AuditKey returns the public key of checkpoints: the given one in base64, or else that of the configuration.
//
// Errors: the key is malformed, or the configuration has none.
func (s *Souk) AuditKey(given string) (ed25519.PublicKey, error) {
	if given == "" && s.state != nil {
		given = s.state.AuditKey
	}
	if given != "" {
		raw, err := base64.StdEncoding.DecodeString(given)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, errors.New(
				"--public-key: must be the base64 of an Ed25519 public key; souk audit key prints it",
			)
		}
		return raw, nil
	}
	cfg := app.Default()
	if err := s.tree.Decode(auditService, &cfg); err != nil {
		return nil, err
	}
	key, err := cfg.SigningKey(s.identity.Secret)
	if err != nil {
		return nil, fmt.Errorf("%w; or give the public key with --public-key", err)
	}
	public, _ := key.Public().(ed25519.PublicKey)
	return public, nil
}

// VerifyAudit checks the audit trail, and the checkpoints in a file that was kept elsewhere ("": none).
//
// Errors: [audit.ErrAltered], unavailable.
func (s *Souk) VerifyAudit(ctx context.Context, out io.Writer, key ed25519.PublicKey, file string) error {
	var kept []audit.Checkpoint
	if file != "" {
		var err error
		if kept, err = readCheckpoints(file); err != nil {
			return err
		}
	}
	pool, err := s.open(ctx, auditService)
	if err != nil {
		return err
	}
	defer pool.Close()
	last, err := app.Verify(ctx, pool, key, kept)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "ok  %d entries, %d checkpoints of %s\n", last.Seq, len(kept), orNone(file))
	return err
}

func orNone(file string) string {
	if file == "" {
		return "no file"
	}
	return file
}

// readCheckpoints reads a file of the setting audit.checkpoint_file, or log lines that hold checkpoints.
func readCheckpoints(path string) ([]audit.Checkpoint, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	var out []audit.Checkpoint
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		if strings.HasPrefix(line, "{") {
			var entry struct{ Checkpoint string }
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Checkpoint == "" {
				continue // another log line
			}
			line = entry.Checkpoint
		}
		c, err := audit.ParseCheckpoint(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, c)
	}
	return out, lines.Err()
}

// tailInterval is how often new entries are looked for.
const tailInterval = time.Second

// tailBefore is how many entries are shown first.
const tailBefore = 20

// TailAudit prints entries as they are made, until ctx ends.
func (s *Souk) TailAudit(ctx context.Context, out io.Writer) error {
	pool, err := s.open(ctx, auditService)
	if err != nil {
		return err
	}
	defer pool.Close()
	var last int64
	if err := pool.QueryRow(ctx, `select seq from chain`).Scan(&last); err != nil {
		return err
	}
	after := max(0, last-tailBefore)
	for {
		for e, err := range app.Entries(ctx, pool, after, time.Time{}, time.Time{}) {
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			after = e.Seq
			if _, err := fmt.Fprintf(
				out,
				"%d  %s  %s %s  %s  %s  %s  %s\n",
				e.Seq,
				e.At.Format(time.RFC3339),
				e.GetActorKind(),
				e.GetActorId(),
				e.GetAction(),
				e.GetObject(),
				e.GetResult(),
				e.GetAddress(),
			); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(tailInterval):
		}
	}
}

// AuditExport says which entries to write, and how.
type AuditExport struct {
	From, To time.Time
	// Format is json (a line each), csv or html.
	Format string
	// Kind is access, changes, erasures or payments; "": all entries.
	Kind string
}

// auditKinds are the kinds of reports.
var auditKinds = map[string]func(audit.Entry) bool{
	"access": func(e audit.Entry) bool {
		switch e.GetPermission() {
		case "access.manage", "member.manage", "apikey.manage":
			return true
		}
		return e.GetAction() == audit.ActionRead
	},
	"changes": func(e audit.Entry) bool { return e.GetAction() != audit.ActionRead && e.GetResult() == audit.ResultOK },
	"erasures": func(e audit.Entry) bool {
		return e.GetPermission() == "user.erase" || e.GetAction() == "user.erased"
	},
	"payments": func(e audit.Entry) bool {
		return strings.HasPrefix(e.GetPermission(), "payment.") || strings.HasPrefix(e.GetAction(), "payment.") ||
			strings.HasPrefix(e.GetMethod(), "payment.")
	},
}

// Validate checks the format and the kind.
func (x AuditExport) Validate() error {
	switch x.Format {
	case "json", "csv", "html":
	default:
		return fmt.Errorf("--format is json, csv or html, not %q", x.Format)
	}
	if _, ok := auditKinds[x.Kind]; !ok && x.Kind != "" {
		return fmt.Errorf("--kind is access, changes, erasures or payments, not %q", x.Kind)
	}
	return nil
}

// ExportAudit writes entries.
func (s *Souk) ExportAudit(ctx context.Context, out io.Writer, x AuditExport) error {
	pool, err := s.open(ctx, auditService)
	if err != nil {
		return err
	}
	defer pool.Close()
	w := newAuditWriter(out, x)
	wanted := auditKinds[x.Kind]
	for e, err := range app.Entries(ctx, pool, 0, x.From, x.To) {
		if err != nil {
			return err
		}
		if wanted != nil && !wanted(e) {
			continue
		}
		if err := w.write(e); err != nil {
			return err
		}
	}
	return w.close()
}

// auditRow is an entry as it is exported.
type auditRow struct {
	Seq        int64    `json:"seq"`
	At         string   `json:"at"`
	ActorKind  string   `json:"actorKind"`
	ActorID    string   `json:"actorId"`
	Roles      []string `json:"roles"`
	Permission string   `json:"permission"`
	Method     string   `json:"method"`
	Action     string   `json:"action"`
	Object     string   `json:"object"`
	Result     string   `json:"result"`
	Address    string   `json:"address"`
	RequestID  string   `json:"requestId"`
	Hash       string   `json:"hash"`
}

func rowOf(e audit.Entry) auditRow {
	return auditRow{
		Seq:        e.Seq,
		At:         e.At.UTC().Format(time.RFC3339Nano),
		ActorKind:  e.GetActorKind(),
		ActorID:    e.GetActorId(),
		Roles:      e.GetRoles(),
		Permission: e.GetPermission(),
		Method:     e.GetMethod(),
		Action:     e.GetAction(),
		Object:     e.GetObject(),
		Result:     e.GetResult(),
		Address:    e.GetAddress(),
		RequestID:  e.GetRequestId(),
		Hash:       base64.StdEncoding.EncodeToString(e.Hash),
	}
}

func (r auditRow) texts() []string {
	return []string{
		strconv.FormatInt(r.Seq, 10), r.At, r.ActorKind, r.ActorID, strings.Join(r.Roles, " "), r.Permission, r.Method,
		r.Action, r.Object, r.Result, r.Address, r.RequestID, r.Hash,
	}
}

var auditHeader = []string{
	"seq", "at", "actor_kind", "actor_id", "roles", "permission", "method", "action", "object", "result", "address",
	"request_id", "hash",
}

// auditWriter writes entries in one format.
type auditWriter struct {
	write func(audit.Entry) error
	close func() error
}

func newAuditWriter(out io.Writer, x AuditExport) auditWriter {
	switch x.Format {
	case "csv":
		w := csv.NewWriter(out)
		err := w.Write(auditHeader)
		return auditWriter{
			write: func(e audit.Entry) error { return errors.Join(err, w.Write(rowOf(e).texts())) },
			close: func() error { w.Flush(); return errors.Join(err, w.Error()) },
		}
	case "html":
		page := auditPage{Kind: x.Kind, From: x.From, To: x.To, Header: auditHeader}
		return auditWriter{
			write: func(e audit.Entry) error { page.Rows = append(page.Rows, rowOf(e).texts()); return nil },
			close: func() error { return auditHTML.Execute(out, page) },
		}
	}
	w := json.NewEncoder(out)
	return auditWriter{
		write: func(e audit.Entry) error { return w.Encode(rowOf(e)) },
		close: func() error { return nil },
	}
}
