package tests

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/service"
	notificationv1 "souk/gen/go/souk/notification/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/id"
)

func TestConfirmationIsSent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, metrics := h.run(t)
	order := h.place(t, "zoe@example.com", "")
	h.confirm(t, order)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	m, err := h.sink.Wait(ctx, "zoe@example.com")
	require.NoError(t, err)
	require.Equal(t, "shop@souk.example", m.From)
	require.Equal(t, []string{"zoe@example.com"}, m.To)
	require.Equal(t, "Your order S-Ünïcode-42 is confirmed", m.Subject)
	require.Equal(t, order+".order_confirmed@souk", m.MessageID)
	require.NotContains(t, m.Headers, "Bcc")
	for _, want := range []string{
		"Hello Zoë Müller", "<script>alert('chá')</script> Чай 🍵 (Size: M & L)", "Aurora & Söhne", "Borealis", "BRL 39.80",
		"Shipping: BRL 9.90", "Total: BRL 63.88", "Secret Street 7", "01000-000 São Paulo", "https://souk.example/v1/orders/" + order,
	} {
		require.Contains(t, m.Text, want)
	}
	require.NotContains(t, m.Text, "Discount")
	require.NotContains(t, m.HTML, "<script>")
	require.Contains(t, m.HTML, "&lt;script&gt;alert(&#39;chá&#39;)&lt;/script&gt; Чай 🍵")
	require.Contains(t, m.HTML, "Aurora &amp; Söhne")
	require.Contains(t, m.HTML, "63.88")

	h.state(t, order, "sent")
	require.EqualValues(t, 1, value(t, metrics, "mail_sent_total"))
	var payload []byte
	var subject, typ string
	require.NoError(
		t,
		h.pool.QueryRow(t.Context(), "select subject, type, payload from outbox").Scan(&subject, &typ, &payload),
	)
	require.Equal(t, service.SubjectSent, subject)
	var sent notificationv1.NotificationSent
	require.NoError(t, event.Event{Type: typ, Payload: payload}.Decode(&sent))
	require.Equal(t, order, sent.GetOrderId())
	require.Equal(t, "order_confirmed", sent.GetKind())
}

func TestCancellationIsSentOnlyForConfirmedOrders(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(t)
	never, order := h.place(t, "", "never@example.com"), h.place(t, "", "guest@example.com")
	h.publishNew(t, "evt.order.cancelled", never, &orderv1.OrderCancelled{OrderId: never, Reason: "out_of_stock"})
	h.publishNew(
		t,
		"evt.order.cancelled",
		order,
		&orderv1.OrderCancelled{OrderId: order, Reason: "customer", WasConfirmed: true},
	)
	h.state(t, order, "sent")
	h.handled(t, 2)
	require.Len(t, h.sink.Messages(), 1)
	m := h.sink.Messages()[0]
	require.Equal(t, []string{"guest@example.com"}, m.To)
	require.Equal(t, "Your order S-Ünïcode-42 was cancelled", m.Subject)
	require.NotContains(t, m.Text, "Secret Street")
}

func TestRepeatedEventsSendOneMail(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(t)
	h.run(t) // two processes
	var orders []string
	for i := range 20 {
		orders = append(orders, h.place(t, fmt.Sprintf("u%d@example.com", i), ""))
	}
	for range 3 { // new events about the same orders, each published twice
		for _, order := range orders {
			e := h.confirm(t, order)
			h.publish(t, e)
		}
	}
	h.handled(t, 120)
	for _, order := range orders {
		h.state(t, order, "sent")
	}
	require.Len(t, h.sink.Messages(), 20)
}

func TestOutageOfOtherServicesLosesNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, metrics := h.run(t)
	h.others.fail(errs.New(errs.Unavailable, "order is away"))
	order := h.place(t, "zoe@example.com", "")
	h.confirm(t, order)
	h.handled(t, 1)
	h.attempted(t, order)
	require.Zero(t, value(t, metrics, "mail_failed_total"))
	h.others.fail(nil)
	h.state(t, order, "sent")
	require.Len(t, h.sink.Messages(), 1)
}

// attempted waits until an attempt to send a mail has failed, and returns why.
func (h *harness) attempted(t *testing.T, orderID string) (reason string) {
	t.Helper()
	require.Eventually(t, func() bool {
		err := h.pool.QueryRow(t.Context(), "select last_error from mail where order_id = $1", orderID).Scan(&reason)
		return err == nil && reason != ""
	}, timeout, 2*time.Millisecond)
	return reason
}

func TestUnsendableMailFails(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, metrics := h.run(t)
	unknown := id.New(id.Order)
	noAddress, broken := h.place(t, "", ""), h.place(t, "", "not an address\r\nBcc: x@example.com")
	for _, order := range []string{unknown, noAddress, broken} {
		h.confirm(t, order)
		h.state(t, order, "failed")
	}
	require.EqualValues(t, 3, value(t, metrics, "mail_failed_total"))
	require.Empty(t, h.sink.Messages())
}

func TestCrashBetweenSendAndRecordSendsTwice(t *testing.T) {
	// Not parallel: the failpoint is the process's.
	h := setup(t)
	reached := make(chan struct{})
	disable := failpoint.Enable(service.FailAfterSend, failpoint.Call(func(context.Context) error {
		close(reached)
		return errs.New(errs.Internal, "the process died")
	}).Times(1))
	defer disable()
	stop, _ := h.run(t)
	order := h.place(t, "zoe@example.com", "")
	h.confirm(t, order)
	select {
	case <-reached:
	case <-time.After(timeout):
		require.Fail(t, "no mail was sent")
	}
	stop()
	// The lease expires and another process claims the mail. The server gets it twice, with one Message-ID.
	_, err := h.pool.Exec(t.Context(), "update mail set next_at = now() - interval '1 second'")
	require.NoError(t, err)
	h.run(t)
	h.state(t, order, "sent")
	got := h.sink.Messages()
	require.Len(t, got, 2)
	require.Equal(t, got[0].MessageID, got[1].MessageID)
	require.Equal(t, got[0].Text, got[1].Text)
}

func TestMailFollowsItsEventWithinASecond(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.run(t)
	var worst time.Duration
	for i := range 10 {
		address := fmt.Sprintf("q%d@example.com", i)
		order := h.place(t, address, "")
		began := time.Now()
		h.confirm(t, order)
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		_, err := h.sink.Wait(ctx, address)
		cancel()
		require.NoError(t, err)
		worst = max(worst, time.Since(began))
	}
	t.Logf("slowest of 10: %v", worst)
	require.Less(t, worst, time.Second, "the mail waited for a poll")
}

// server starts an SMTP server that answers by a script, from command to answer; an empty answer closes the
// connection.
func server(t *testing.T, script map[string]string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				talk(conn, script)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

func talk(conn net.Conn, script map[string]string) {
	say := func(step, otherwise string) bool {
		answer, ok := script[step]
		if !ok {
			answer = otherwise
		}
		if answer == "" {
			return false
		}
		_, err := fmt.Fprintf(conn, "%s\r\n", answer)
		return err == nil
	}
	if !say("greeting", "220 hello") {
		return
	}
	r := bufio.NewScanner(conn)
	data := false
	for r.Scan() {
		line := r.Text()
		if data {
			if line == "." {
				data = false
				if !say("content", "250 taken") {
					return
				}
			}
			continue
		}
		verb, _, _ := strings.Cut(line, " ")
		otherwise := "250 ok"
		if verb == "DATA" {
			otherwise = "354 go on"
			data = script["DATA"] == ""
		}
		if !say(verb, otherwise) || verb == "QUIT" {
			return
		}
	}
}

func TestRefusalDecidesWhetherAMailIsRetried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script map[string]string
		failed bool
		reason string
	}{
		"unknown recipient":  {map[string]string{"RCPT": "550 5.1.1 <zoe@example.com> Zoë Müller is unknown"}, true, "smtp: recipient refused with 550"},
		"bad content":        {map[string]string{"content": "554 zoe@example.com wants no spam"}, true, "smtp: content refused with 554"},
		"sender refused":     {map[string]string{"MAIL": "553 no"}, true, "smtp: sender refused with 553"},
		"greylisted":         {map[string]string{"RCPT": "451 zoe@example.com later"}, false, "smtp: recipient failed with 451"},
		"not now":            {map[string]string{"greeting": "554 no service"}, false, "smtp: greeting failed with 554"},
		"breaks off":         {map[string]string{"content": ""}, false, "smtp: content failed: the connection broke"},
		"closes at once":     {map[string]string{"greeting": ""}, false, "smtp: greeting failed: the connection broke"},
		"nothing but answer": {map[string]string{"EHLO": "421 closing", "HELO": "421 closing"}, false, "smtp: hello failed with 421"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t)
			h.smtp.Addr = server(t, c.script)
			_, metrics := h.run(t)
			order := h.place(t, "zoe@example.com", "")
			h.confirm(t, order)
			require.Equal(t, c.reason, h.attempted(t, order))
			if c.failed {
				h.state(t, order, "failed")
				require.EqualValues(t, 1, value(t, metrics, "mail_failed_total"))
				require.Contains(t, h.logs.String(), order)
			}
			// Personal data is neither in the log nor in the table.
			for _, personal := range []string{"zoe@", "Zo", "Müller", "Secret", "5555"} {
				require.NotContains(t, h.logs.String(), personal)
				require.NotContains(t, h.attempted(t, order), personal)
			}
		})
	}
}

func TestPasswordIsNotSentUnencrypted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.smtp.TLS = "starttls"
	h.smtp.Username, h.smtp.Password = "souk", "secret"
	h.run(t)
	order := h.place(t, "zoe@example.com", "")
	h.confirm(t, order)
	require.Equal(t, "smtp: the server does not offer STARTTLS", h.attempted(t, order))
	require.NotContains(t, h.logs.String(), "secret")
}

func TestMailFailsAfterGiveUp(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.giveUp = 0
	h.smtp.Addr = server(t, map[string]string{"RCPT": "451 later"})
	_, metrics := h.run(t)
	order := h.place(t, "zoe@example.com", "")
	h.confirm(t, order)
	h.state(t, order, "failed")
	require.EqualValues(t, 1, value(t, metrics, "mail_failed_total"))
}
