package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"souk/pkg/id"
	"souk/pkg/postgres"
)

const (
	notified         = 20 // customers who get notices
	notifiedOrders   = 25 // of each of them
	noticeChannels   = 4  // mail, inbox, text message, push message
	webhookOrders    = 500
	webhooksPerShop  = 2
	deliveriesWithin = 2 * time.Minute
	deliveriesPoll   = 250 * time.Millisecond // its reads count as work of the databases
	maxWebhookBody   = 1 << 20
)

// backlog is a paused queue of jobs, in which work waits until all of it is there.
type backlog struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
	queue  string
	since  time.Time // the database's time at the pause
}

// pause pauses a queue. The caller closes the backlog, which resumes the queue.
func (b *bench) pause(ctx context.Context, service, queue string) (*backlog, error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: b.souk.state.Databases[service], MaxConns: 1})
	if err != nil {
		return nil, err
	}
	w := &backlog{pool: pool, queue: queue}
	if w.client, err = river.NewClient(riverpgxv5.New(pool), &river.Config{}); err == nil {
		err = w.client.QueuePause(ctx, queue, nil)
	}
	if err == nil {
		err = pool.QueryRow(ctx, "select clock_timestamp()").Scan(&w.since)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("pause the queue %s: %w", queue, err)
	}
	return w, nil
}

func (w *backlog) resume(ctx context.Context) error { return w.client.QueueResume(ctx, w.queue, nil) }

// close resumes the queue, also after an interrupt.
func (w *backlog) close(ctx context.Context) error {
	defer w.pool.Close()
	return w.resume(context.WithoutCancel(ctx))
}

// await waits until sql, which gets the time of the pause, counts n rows.
func (w *backlog) await(ctx context.Context, what, sql string, n int) error {
	got := 0
	for began := time.Now(); time.Since(began) < deliveriesWithin; {
		if err := w.pool.QueryRow(ctx, sql, w.since).Scan(&got); err != nil {
			return err
		}
		if got >= n {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(deliveriesPoll):
		}
	}
	if got != n {
		return fmt.Errorf("%d %s instead of %d", got, what, n)
	}
	return nil
}

const (
	sqlNoticesDue = `select count(*) from notice n join river_job j on j.args ->> 'id' = n.id and j.kind = 'notice'
		where n.kind = 'order_confirmed' and n.state = 'queued' and n.created_at > $1
			and j.scheduled_at <= clock_timestamp()`
	sqlDeliveriesEnded = `select count(*) from delivery d join notice n on n.id = d.notice_id
		where n.kind = 'order_confirmed' and n.created_at > $1 and d.state <> 'queued'`
	sqlDeliveriesSent = `select count(*), max(d.ended_at) from delivery d join notice n on n.id = d.notice_id
		where n.kind = 'order_confirmed' and n.created_at > $1 and d.state = 'sent'`
)

// measureNotifications measures how fast confirmed orders become mails, text messages, push messages and notifications
// in inboxes. The notices of all orders wait in a paused queue before.
func measureNotifications(ctx context.Context, b *bench) (rows []row, err error) {
	customers, err := b.reachable(ctx)
	if err != nil {
		return nil, err
	}
	w, err := b.pause(ctx, "notification", "notice")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	for round := range notifiedOrders {
		requests := make([][]byte, notified)
		for i, token := range customers {
			requests[i] = addItem(b.souk.addr, token, b.spread(round*notified + i)[0])
		}
		if err := b.all(ctx, notified, inOrder(requests), nil); err != nil {
			return nil, fmt.Errorf("fill carts: %w", err)
		}
		for i, token := range customers {
			requests[i] = checkout(b.souk.addr, token, "")
		}
		if err := b.all(ctx, notified, inOrder(requests), nil); err != nil {
			return nil, fmt.Errorf("orders: %w", err)
		}
	}
	const orders = notified * notifiedOrders
	if _, err := b.awaitSagas(ctx); err != nil {
		return nil, err
	}
	if err := w.await(ctx, "notices are due", sqlNoticesDue, orders); err != nil {
		return nil, err
	}
	if err := b.awaitIdle(ctx); err != nil {
		return nil, err
	}
	s, err := b.watch(ctx, "notifications", b.duration, func() (stats, error) {
		began := time.Now()
		if err := w.resume(ctx); err != nil {
			return stats{}, err
		}
		if err := w.await(ctx, "deliveries ended", sqlDeliveriesEnded, orders*noticeChannels); err != nil {
			return stats{}, err
		}
		var s stats
		var last *time.Time
		err := w.pool.QueryRow(ctx, sqlDeliveriesSent, w.since).Scan(&s.done, &last)
		if last != nil {
			s.elapsed = last.Sub(began)
		}
		if lost := orders*noticeChannels - s.done; lost > 0 {
			s.failed = map[int]int{0: lost}
		}
		return s, err
	})
	if err != nil {
		return nil, err
	}
	r := b.plainRow(fmt.Sprintf("notification fan-out, %d channels", noticeChannels), s)
	if r.Note == "" {
		r.Note = fmt.Sprintf("%d deliveries of %d confirmed orders to %d customers", s.done, orders, notified)
	}
	return []row{r, b.verify(ctx, "the notifications")}, nil
}

// reachable returns the tokens of new customers who get confirmations on every channel.
func (b *bench) reachable(ctx context.Context) ([]string, error) {
	tokens := make([]string, notified)
	var requests [][]byte
	for i := range tokens {
		out, err := b.souk.command(ctx, "token", "--email", id.New("notified")+"@example.com").Output()
		if err != nil {
			return nil, fmt.Errorf("souk token: %w", err)
		}
		tokens[i] = strings.TrimSpace(string(out))
		send := func(method, path, body string) {
			requests = append(requests, request(b.souk.addr, method, path, tokens[i], body))
		}
		send(http.MethodPatch, "/v1/me", fmt.Sprintf(`{"phone":"+55119%08d"}`, 10_000_000+i))
		send(http.MethodPost, "/v1/me/devices", `{"kind":"fcm","token":"`+id.New("token")+`"}`)
		send(http.MethodPut, "/v1/me/notification-preferences", `{"kinds":{"order_confirmed":{"sms":true}}}`)
	}
	err := b.all(ctx, len(requests), inOrder(requests), nil)
	if err != nil {
		err = fmt.Errorf("preferences: %w", err)
	}
	return tokens, err
}

const (
	sqlWebhooksWait  = "select count(*) from delivery where created_at > $1 and status = 'queued' and attempts = 0"
	sqlWebhooksEnded = "select count(*) from delivery where created_at > $1 and status = 'delivered'"
)

// measureWebhooks measures how fast messages reach a receiver on this machine, which verifies their signatures. The
// messages of all orders wait in a paused queue before.
func measureWebhooks(ctx context.Context, b *bench) (rows []row, err error) {
	out, err := b.souk.command(ctx, "token", "--email", "bench@example.com", "--role", "operator").Output()
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	operator := strings.TrimSpace(string(out))
	to := &receiver{seen: map[string]bool{}}
	server := httptest.NewServer(to)
	defer server.Close()
	ids, err := b.createWebhooks(ctx, operator, server.URL, to)
	defer func() { err = errors.Join(err, b.deleteWebhooks(context.WithoutCancel(ctx), operator, ids)) }()
	if err != nil {
		return nil, err
	}
	w, err := b.pause(ctx, "webhook", "webhook")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close(ctx)) }()
	orders, err := b.fill(ctx, webhookOrders, b.spread, "")
	if err == nil {
		err = b.all(ctx, webhookOrders, inOrder(orders), nil)
	}
	if err == nil {
		_, err = b.awaitSagas(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	const messages = webhookOrders * 2 * webhooksPerShop // each order has two shops
	if err := w.await(ctx, "messages wait", sqlWebhooksWait, messages); err != nil {
		return nil, err
	}
	if err := b.awaitIdle(ctx); err != nil {
		return nil, err
	}
	s, err := b.watch(ctx, "webhooks", b.duration, func() (stats, error) {
		began := time.Now()
		if err := w.resume(ctx); err != nil {
			return stats{}, err
		}
		if err := w.await(ctx, "messages delivered", sqlWebhooksEnded, messages); err != nil {
			return stats{}, err
		}
		return to.stats(began), nil
	})
	if err != nil {
		return nil, err
	}
	r := b.plainRow(fmt.Sprintf("webhook deliveries to %d webhooks", len(ids)), s)
	if r.Note == "" {
		r.Note = fmt.Sprintf("%d messages of %d orders; every signature verified", s.done, webhookOrders)
	}
	return []row{r, b.verify(ctx, "the webhooks")}, nil
}

// createWebhooks creates webhooks of all shops, whose messages go to the receiver at url. It returns the IDs of those
// that it has created, also with an error.
func (b *bench) createWebhooks(ctx context.Context, token, url string, to *receiver) ([]string, error) {
	ids := make([]string, benchShops*webhooksPerShop)
	to.keys = make([]*standardwebhooks.Webhook, len(ids))
	err := b.all(ctx, len(ids), func(i int) []byte {
		path := fmt.Sprintf("/v1/shops/bench-shop-%02d/webhooks", i%benchShops)
		body := fmt.Sprintf(`{"url":"%s/%d","events":["evt.order.confirmed"]}`, url, i)
		return request(b.souk.addr, http.MethodPost, path, token, body)
	}, func(i int, body []byte) (err error) {
		var hook struct{ ID, Secret string }
		if err = json.Unmarshal(body, &hook); err != nil {
			return err
		}
		ids[i] = hook.ID
		to.keys[i], err = standardwebhooks.NewWebhook(hook.Secret)
		return err
	})
	if err != nil {
		err = fmt.Errorf("webhooks: %w", err)
	}
	return ids, err
}

func (b *bench) deleteWebhooks(ctx context.Context, token string, ids []string) error {
	var requests [][]byte
	for _, webhook := range ids {
		if webhook != "" {
			requests = append(requests, request(b.souk.addr, http.MethodDelete, "/v1/webhooks/"+webhook, token, ""))
		}
	}
	return b.all(ctx, len(requests), inOrder(requests), nil)
}

// receiver takes messages and verifies their signatures. The path of a message is the number of its webhook.
type receiver struct {
	keys []*standardwebhooks.Webhook // set before the first message

	mu      sync.Mutex
	seen    map[string]bool // by webhook and message
	refused int
	example string
	last    time.Time
}

// ServeHTTP takes a message.
func (t *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := t.verify(w, r)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.refused++
		t.example = err.Error()
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	t.seen[r.URL.Path+" "+r.Header.Get(standardwebhooks.HeaderWebhookID)] = true
	t.last = time.Now()
}

func (t *receiver) verify(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhookBody))
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
	if err != nil || n < 0 || n >= len(t.keys) {
		return fmt.Errorf("there is no webhook %s", r.URL.Path)
	}
	return t.keys[n].Verify(body, r.Header)
}

// stats returns what came since began.
func (t *receiver) stats(began time.Time) stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := stats{done: len(t.seen), elapsed: t.last.Sub(began), example: t.example}
	if t.refused > 0 {
		s.failed = map[int]int{http.StatusBadRequest: t.refused}
	}
	return s
}
