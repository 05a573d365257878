package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/id"
	"souk/pkg/waittest"
)

// TestOutagesLoseNoAcknowledgedOrder kills Redis and PostgreSQL while customers buy. Requests fail as unavailable
// during the outage. Then everything recovers by itself, and no acknowledged order is lost.
func TestOutagesLoseNoAcknowledgedOrder(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", nil)
	shop := handle("outage")
	v := s.seller(shop).sell(shop, "Outage", "10.00", 100_000).Variants[0].ID
	l := startLoad(t, s, v, true)
	outage := func(what string, pid int) {
		before := l.orders.Load()
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		waittest.Until(t, func() bool {
			return l.orders.Load() > before+20
		}, "no orders are taken after %s was killed", what)
	}
	waittest.Until(t, func() bool { return l.orders.Load() > 20 }, "no orders are taken")
	outage("Redis", childOf(t, s, "redis-server"))
	outage("PostgreSQL", childOf(t, s, "postgres"))
	outage("Redis", childOf(t, s, "redis-server"))
	l.stop()
	require.Zero(t, l.unexpected.Load(), "answers that were neither a success nor a documented refusal")
	for orderID, p := range l.acknowledged {
		p.buyer.get("/v1/orders/" + orderID).want(http.StatusOK)
	}
	t.Logf("%d orders, %d answers unavailable", l.orders.Load(), l.unavailable.Load())
	sagasEnd(s)
	s.verify()
}

// childOf returns the process ID of a server that souk dev has started: its child process with the program's name.
func childOf(t *testing.T, s *souk, program string) int {
	t.Helper()
	var found int
	waittest.Until(t, func() bool {
		stats, err := filepath.Glob("/proc/[0-9]*/stat")
		require.NoError(t, err)
		for _, path := range stats {
			raw, err := os.ReadFile(path)
			if err != nil {
				continue // the process has ended
			}
			open, end := strings.IndexByte(string(raw), '('), strings.LastIndexByte(string(raw), ')')
			if open < 0 || end < 0 || string(raw[open+1:end]) != program {
				continue
			}
			fields := strings.Fields(string(raw[end+1:]))
			if fields[1] == strconv.Itoa(s.cmd.Process.Pid) {
				found, err = strconv.Atoi(filepath.Base(filepath.Dir(path)))
				require.NoError(t, err)
				return true
			}
		}
		return false
	}, "%s does not run", program)
	return found
}

// TestReplayRestoresLostJetStream removes all of JetStream's files between two runs and replays the outboxes. No
// consumer may handle an event twice, and no event may be missing.
func TestReplayRestoresLostJetStream(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", nil)
	shop := handle("lost")
	v := s.seller(shop).sell(shop, "Lost stream", "10.00", 100).Variants[0].ID
	buyers := map[string]*client{}
	for range 10 {
		g := s.guest()
		g.add(v, 1).want(http.StatusOK)
		body := checkoutBody("tok_ok")
		body["email"] = email("stream")
		buyers[body["email"].(string)] = g
		g.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	}
	mails := func(to string) int {
		var mail struct{ Messages []struct{ Subject string } }
		s.anonymous().get("/dev/mail?to=" + to).want(http.StatusOK).into(&mail)
		return len(mail.Messages)
	}
	for to := range buyers {
		waittest.Until(t, func() bool { return mails(to) == 1 }, "the mail does not arrive")
	}
	s.stop()
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "nats")))
	s.launch()
	s.must("events", "replay")
	g := s.guest()
	g.add(v, 1).want(http.StatusOK)
	body := checkoutBody("tok_ok")
	last := email("after")
	body["email"] = last
	g.post("/v1/checkout", body, "Idempotency-Key", id.New(id.Event)).order()
	waittest.Until(t, func() bool { return mails(last) == 1 }, "no events are handled")
	for to := range buyers {
		require.Zero(t, mails(to), "the restarted mail sink is empty, so this is a second mail")
	}
	s.verify()
}
