package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"souk/cmd/souk/internal/dev"
	"souk/cmd/souk/internal/explain"
	"souk/cmd/souk/internal/machine"
	"souk/pkg/migration"
	"souk/pkg/module"
	"souk/pkg/outbox"
	"souk/pkg/saga"
)

const (
	clockSlack  = 500 * time.Millisecond // tolerated between the clocks of this machine and a database
	backlogAge  = 30 * time.Second
	manyListed  = 1000
	doctorLimit = 30 * time.Second
)

// diagnosis is the result of one check.
type diagnosis struct {
	what, found string
	// advice is what to do about a problem; "" if there is no problem.
	advice string
}

// Doctor checks this machine and the souk of the source, and prints what to do. It fails if something is wrong.
// HTTPAddr is where souk dev is to listen.
func Doctor(ctx context.Context, out io.Writer, src Source, httpAddr string) error {
	ctx, cancel := context.WithTimeout(ctx, doctorLimit)
	defer cancel()
	list := examine(ctx, src, httpAddr)
	if err := writeDiagnoses(out, list); err != nil {
		return err
	}
	if n := ailing(list); n > 0 {
		return fmt.Errorf("%d of %d things need attention", n, len(list))
	}
	return nil
}

func ailing(list []diagnosis) int {
	n := 0
	for _, d := range list {
		if d.advice != "" {
			n++
		}
	}
	return n
}

func examine(ctx context.Context, src Source, httpAddr string) []diagnosis {
	s, err := Open(src)
	if err != nil && src.Config != "" {
		return []diagnosis{{"configuration", explain.Error(err), "put the configuration right"}}
	}
	var list []diagnosis
	if err != nil || s.state != nil { // souk dev is used on this machine, running or not
		running := ""
		if err == nil {
			running = s.state.URL
		}
		for _, f := range machine.Examine(src.DataDir, httpAddr, running) {
			list = append(list, diagnosis{f.What, f.Found, f.Advice})
		}
	}
	var stopped *dev.NotRunningError
	switch {
	case errors.As(err, &stopped):
		return append(list,
			diagnosis{what: "souk dev", found: "is not running: nothing more to look at (souk dev starts it)"})
	case err != nil:
		return append(list,
			diagnosis{"souk dev", explain.Error(err), "have souk doctor run by a user who may read " + src.DataDir})
	}
	if s.state != nil {
		list = append(list, examineDev(ctx, s.state))
	}
	for _, m := range s.databases() {
		list = append(list, examineDatabase(ctx, s, m)...)
	}
	return append(append(list, examineRedis(ctx, s)...), examineNATS(ctx, s)...)
}

func examineDev(ctx context.Context, state *dev.State) diagnosis {
	d := diagnosis{what: "souk dev", found: fmt.Sprintf("runs as pid %d, on %s", state.PID, state.URL)}
	processes, err := devProcesses(ctx, state)
	if err != nil {
		return diagnosis{d.what, err.Error(), "see souk.log in the data directory, and start souk dev again"}
	}
	for _, p := range processes {
		if err := fetch(ctx, "http://"+p.Admin+"/health/ready", func(io.Reader) error { return nil }); err != nil {
			return diagnosis{
				d.what,
				fmt.Sprintf("%s (pid %d) is not ready: %v", p.Name, p.PID, err),
				"see souk.log in the data directory",
			}
		}
	}
	return d
}

// examineDatabase checks one service's database: its schema, clock, unpublished events and parked sagas.
func examineDatabase(ctx context.Context, s *Souk, m module.Module) []diagnosis {
	what := "database " + m.Name
	url, err := s.postgres.ServiceURL(m.Name)
	if err != nil {
		return []diagnosis{
			{what, err.Error(), "set postgres.url, or postgres.urls." + m.Name + ", in the configuration"},
		}
	}
	pool, err := s.open(ctx, m.Name)
	if err != nil {
		return []diagnosis{{what, explain.Error(err), "look at the log of PostgreSQL, too"}}
	}
	defer pool.Close()
	list := []diagnosis{examineSchema(ctx, what, url, m), examineClock(ctx, what, pool)}
	if list[0].advice != "" {
		return list
	}
	if m.Tables.Outbox {
		list = append(list, examineOutbox(ctx, m.Name, pool))
	}
	if m.Documents && s.documents.URL.IsSet() {
		list = append(list, examineDocuments(ctx, s, m.Name, pool))
	}
	if m.Tables.Saga {
		list = append(list, examineSagas(ctx, m.Name, pool))
	}
	return list
}

func examineSchema(ctx context.Context, what, url string, m module.Module) diagnosis {
	pending := 0
	var newer []string // the sets that a newer souk has migrated
	for _, s := range m.Sets() {
		state, err := migration.Status(ctx, url, s.Name, s.FS)
		if err != nil {
			return diagnosis{what, err.Error(), "look at the log of PostgreSQL"}
		}
		if state.Version > state.Latest {
			newer = append(newer, fmt.Sprintf("%s is at %d, this souk knows %d", s.Name, state.Version, state.Latest))
		}
		pending += state.Pending
	}
	if pending > 0 {
		return diagnosis{
			what,
			fmt.Sprintf("%d migrations have not run", pending),
			"souk migrate up --service " + m.Name,
		}
	}
	if len(newer) > 0 { // a migration fits the program before it
		return diagnosis{
			what: what,
			found: "reachable, its schema is newer than this souk: " + strings.Join(newer, "; ") +
				". That is right after a rollback",
		}
	}
	return diagnosis{what: what, found: "reachable, its schema is up to date"}
}

func examineClock(ctx context.Context, what string, pool *pgxpool.Pool) diagnosis {
	what += ", clock"
	began := time.Now()
	var there time.Time
	if err := pool.QueryRow(ctx, `select clock_timestamp()`).Scan(&there); err != nil {
		return diagnosis{what, err.Error(), "look at the log of PostgreSQL"}
	}
	took := time.Since(began)
	off := there.Sub(began.Add(took / 2))
	if off.Abs() > clockSlack+took/2 {
		return diagnosis{
			what, "is " + off.Round(time.Millisecond).String() + " off this machine's",
			"have both follow a time server (chrony, systemd-timesyncd): tokens and leases depend on it",
		}
	}
	return diagnosis{what: what, found: "agrees with this machine's"}
}

func examineOutbox(ctx context.Context, service string, pool *pgxpool.Pool) diagnosis {
	what := "events of " + service
	var waiting, old int64
	err := pool.QueryRow(ctx,
		`select count(*), count(*) filter (where created_at < $1) from outbox where sent_at is null`,
		time.Now().Add(-backlogAge)).
		Scan(&waiting, &old)
	switch {
	case err != nil:
		return diagnosis{what, err.Error(), "look at the log of PostgreSQL"}
	case old > 0:
		return diagnosis{
			what,
			fmt.Sprintf("%d wait to be sent, %d of them for more than %s", waiting, old, backlogAge),
			"is " + service + " running (souk services), and does JetStream take events? Its log tells",
		}
	}
	return diagnosis{what: what, found: fmt.Sprintf("%d wait to be sent", waiting)}
}

// examineDocuments checks that MongoDB answers, and that events of documents get into the outbox.
func examineDocuments(ctx context.Context, s *Souk, service string, pool *pgxpool.Pool) diagnosis {
	what := "documents of " + service
	m, err := s.documents.Open(service, pool, nil, zap.NewNop())
	if err != nil {
		return diagnosis{what, explain.Error(err), "put documents.url right"}
	}
	defer func() { _ = m.Close(ctx) }() // the process ends soon
	waiting, err := m.Waiting(ctx, time.Now().Add(-backlogAge))
	switch {
	case err != nil:
		return diagnosis{what, explain.Error(err), "look at MongoDB, at documents.url and documents.passwords"}
	case waiting > 0:
		return diagnosis{
			what, fmt.Sprintf("%d have events that are not in the outbox after %s", waiting, backlogAge),
			"is " + service + " running (souk services)? Its log tells",
		}
	}
	return diagnosis{what: what, found: "MongoDB answers, and no events wait"}
}

func examineSagas(ctx context.Context, service string, pool *pgxpool.Pool) diagnosis {
	what := "sagas of " + service
	parked, err := saga.List(ctx, pool, saga.Filter{State: saga.Parked, Limit: manyListed})
	switch {
	case err != nil:
		return diagnosis{what, explain.Error(err), "look at the log of PostgreSQL"}
	case len(parked) > 0:
		return diagnosis{
			what, fmt.Sprintf("%d are parked, e.g. %s", len(parked), parked[0].ID),
			fmt.Sprintf("souk saga show %s tells why; then souk saga resume", parked[0].ID),
		}
	}
	return diagnosis{what: what, found: "none is parked"}
}

func examineNATS(ctx context.Context, s *Souk) []diagnosis {
	js, nc, err := s.jetStream()
	if err != nil {
		return []diagnosis{{"NATS", err.Error(), "is NATS running, and are the URL and the credentials right?"}}
	}
	defer nc.Close()
	list := []diagnosis{examineStream(ctx, js, outbox.StreamEvents), examineStream(ctx, js, outbox.StreamDead)}
	if list[1].advice != "" {
		return list
	}
	letters, err := outbox.ListDead(ctx, js, manyListed)
	switch {
	case err != nil:
		return append(list, diagnosis{"dead letters", explain.Error(err), "does JetStream run?"})
	case len(letters) > 0:
		return append(list, diagnosis{
			"dead letters", fmt.Sprintf("%d events were given up", len(letters)),
			"souk events dlq tells why; then souk events dlq replay",
		})
	}
	return append(list, diagnosis{what: "dead letters", found: "none"})
}

func examineStream(ctx context.Context, js jetstream.JetStream, name string) diagnosis {
	what := "stream " + name
	stream, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return diagnosis{what, "is missing", "start a service (it makes the streams), then souk events replay"}
	}
	if err != nil {
		return diagnosis{what, err.Error(), "is JetStream on, with room in its store?"}
	}
	state := stream.CachedInfo().State
	return diagnosis{
		what:  what,
		found: fmt.Sprintf("%d messages, %d MiB, %d consumers", state.Msgs, state.Bytes>>20, state.Consumers),
	}
}

func writeDiagnoses(out io.Writer, list []diagnosis) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, d := range list {
		verdict := "ok"
		if d.advice != "" {
			verdict = "PROBLEM"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", verdict, d.what, cell(d.found, 200))
		if d.advice != "" {
			fmt.Fprintf(w, "\t\tto do: %s\n", d.advice)
		}
	}
	return w.Flush()
}
