package tests

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"souk/apps/notification/internal/service"
	notificationv1 "souk/gen/go/souk/notification/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/outbox"
	"souk/pkg/waittest"
)

func TestConfirmationIsSent(t *testing.T) {
	t.Parallel()
	h := setup(t)
	order := h.place("zoe@example.com", "")
	h.confirm(order)
	ctx, cancel := context.WithTimeout(t.Context(), waittest.Timeout)
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

	h.state(order, "sent")
	waittest.Until(t, func() bool { return h.Metric("delivery_sent_total") == 2 }, "it is not in the inbox")
	const sentMail = `select subject, type, payload from outbox
		where aggregate_id = (select id from delivery where channel = 'email')`
	var payload []byte
	var subject, typ string
	require.NoError(t,
		h.Pool.QueryRow(t.Context(), sentMail).Scan(&subject, &typ, &payload))
	require.Equal(t, service.SubjectSent, subject)
	var sent notificationv1.NotificationSent
	require.NoError(t, event.Event{Type: typ, Payload: payload}.Decode(&sent))
	require.Equal(t, order, sent.GetOrderId())
	require.Equal(t, "order_confirmed", sent.GetKind())
	require.Equal(t, "email", sent.GetChannel())
}

func TestCancellationIsSentOnlyForConfirmedOrders(t *testing.T) {
	t.Parallel()
	h := setup(t)
	never, order := h.place("", "never@example.com"), h.place("", "guest@example.com")
	h.Deliver(
		"order",
		h.event("evt.order.cancelled", never, &orderv1.OrderCancelled{OrderId: never, Reason: "out_of_stock"}),
		h.event("evt.order.cancelled", order,
			&orderv1.OrderCancelled{OrderId: order, Reason: "customer", WasConfirmed: true}),
	)
	h.state(order, "sent")
	require.Len(t, h.sink.Messages(), 1)
	m := h.sink.Messages()[0]
	require.Equal(t, []string{"guest@example.com"}, m.To)
	require.Equal(t, "Your order S-Ünïcode-42 was cancelled", m.Subject)
	require.NotContains(t, m.Text, "Secret Street")
}

func TestRepeatedEventsSendOneMail(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.Another() // two processes
	js, err := jetstream.New(h.NATS)
	require.NoError(t, err)
	var orders []string
	for i := range 20 {
		orders = append(orders, h.place(fmt.Sprintf("u%d@example.com", i), ""))
	}
	for range 3 { // new events about the same orders, each published twice
		for _, order := range orders {
			msg := h.confirmed(order).Msg("order")
			msg.Header.Del("Nats-Msg-Id") // by which the stream drops duplicates
			for range 2 {
				_, err := js.PublishMsg(t.Context(), msg)
				require.NoError(t, err)
			}
		}
	}
	waittest.Until(t, func() bool {
		consumer, err := js.Consumer(t.Context(), outbox.StreamEvents, "notification_orders")
		require.NoError(t, err)
		info, err := consumer.Info(t.Context())
		require.NoError(t, err)
		return info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Consumer >= 120
	}, "the events are not handled")
	for _, order := range orders {
		h.state(order, "sent")
	}
	require.Len(t, h.sink.Messages(), 20)
}

func TestOutageOfOtherServicesLosesNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	h.others.fail(errs.New(errs.Unavailable, "order is away"))
	order := h.place("zoe@example.com", "")
	h.Deliver("order", h.confirmed(order))
	h.attempted(order)
	require.Zero(t, h.Metric("delivery_failed_total"))
	h.others.fail(nil)
	h.state(order, "sent")
	require.Len(t, h.sink.Messages(), 1)
}

func TestUnsendableMailFails(t *testing.T) {
	t.Parallel()
	h := setup(t)
	unknown := id.New(id.Order)
	noAddress, broken := h.place("", ""), h.place("", "not an address\r\nBcc: x@example.com")
	for _, order := range []string{unknown, noAddress, broken} {
		h.confirm(order)
		h.state(order, "failed")
	}
	require.EqualValues(t, 3, h.Metric("delivery_failed_total"))
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
	order := h.place("", "zoe@example.com")
	h.confirm(order)
	waittest.Receive(t, reached)
	h.Stop()
	// Another process runs the job again. The server gets the mail twice, with one Message-ID.
	h.Another()
	h.state(order, "sent")
	got := h.sink.Messages()
	require.Len(t, got, 2)
	require.Equal(t, got[0].MessageID, got[1].MessageID)
	require.Equal(t, got[0].Text, got[1].Text)
}

func TestMailFollowsItsEventWithinASecond(t *testing.T) {
	if os.Getenv("SOUK_TEST_POOLED") != "" {
		t.Skip("behind a pooler jobs are polled")
	}
	t.Parallel()
	h := setup(t)
	var worst time.Duration
	for i := range 10 {
		address := fmt.Sprintf("q%d@example.com", i)
		order := h.place(address, "")
		began := time.Now()
		h.confirm(order)
		ctx, cancel := context.WithTimeout(t.Context(), waittest.Timeout)
		_, err := h.sink.Wait(ctx, address)
		cancel()
		require.NoError(t, err)
		worst = max(worst, time.Since(began))
	}
	t.Logf("slowest of 10: %v", worst)
	require.Less(t, worst, time.Second, "the mail waited for a poll")
}

func TestRefusalDecidesWhetherAMailIsRetried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script map[string]string
		failed bool
		reason string
	}{
		"unknown recipient": {
			map[string]string{"RCPT": "550 5.1.1 <zoe@example.com> Zoë Müller is unknown"}, true,
			"smtp: recipient refused with 550",
		},
		"bad content": {
			map[string]string{"content": "554 zoe@example.com wants no spam"}, true, "smtp: content refused with 554",
		},
		"sender refused": {map[string]string{"MAIL": "553 no"}, true, "smtp: sender refused with 553"},
		"greylisted": {
			map[string]string{"RCPT": "451 zoe@example.com later"}, false, "smtp: recipient failed with 451",
		},
		"not now": {
			map[string]string{"greeting": "554 no service"}, false, "smtp: connection failed with 554",
		},
		"breaks off":     {map[string]string{"content": ""}, false, "smtp: content failed: the connection broke"},
		"closes at once": {map[string]string{"greeting": ""}, false, "smtp: connection failed"},
		"nothing but answer": {
			map[string]string{"EHLO": "421 closing", "HELO": "421 closing"}, false, "smtp: connection failed with 421",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := setup(t, smtpServer(t, c.script))
			order := h.place("zoe@example.com", "")
			h.confirm(order)
			require.Equal(t, c.reason, h.attempted(order))
			if c.failed {
				h.state(order, "failed")
				require.EqualValues(t, 1, h.Metric("delivery_failed_total"))
			}
			h.Stop()
			if c.failed {
				require.Contains(t, h.Logs(), order)
			}
			// Personal data is neither in the log nor in the table.
			for _, personal := range []string{"zoe@", "Zo", "Müller", "Secret", "5555-0199"} {
				require.NotContains(t, h.Logs(), personal)
				require.NotContains(t, h.attempted(order), personal)
			}
		})
	}
}

// smtpServer is the option to send mails to a server that answers by a script.
func smtpServer(t *testing.T, script map[string]string) moduletest.Option {
	t.Helper()
	return moduletest.Config(map[string]any{"smtp_addr": count(t, script).Addr().String()})
}

func TestPasswordIsNotSentUnencrypted(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"tls": "starttls", "username": "souk", "password": "secret"}))
	order := h.place("zoe@example.com", "")
	h.confirm(order)
	require.Equal(t, "smtp: connection failed", h.attempted(order))
	h.Stop()
	require.NotContains(t, h.Logs(), "secret")
}

func TestMailFailsAfterGiveUp(t *testing.T) {
	t.Parallel()
	c := clock.NewManual(time.Now())
	h := setup(t, smtpServer(t, map[string]string{"RCPT": "451 later"}), moduletest.Clock(c),
		moduletest.Config(map[string]any{"give_up": "1m"}))
	order := h.place("zoe@example.com", "")
	h.confirm(order)
	h.attempted(order)
	h.state(order, "queued")
	c.Advance(time.Minute)
	h.state(order, "failed")
	require.EqualValues(t, 1, h.Metric("delivery_failed_total"))
}
