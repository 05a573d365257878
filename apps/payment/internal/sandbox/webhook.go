package sandbox

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/apps/payment/internal/sandbox/sqlc"
	"souk/pkg/chore"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/postgres"
)

// SignatureHeader carries the signature of a webhook: "t=<unix seconds>,v1=<hex HMAC-SHA256 of t.body>".
const SignatureHeader = "Souk-Sandbox-Signature"

const (
	// tolerance is the largest difference between a signature's time and now, in either direction.
	tolerance = 5 * time.Minute
	// deliverAttempts is the largest number of attempts to deliver a webhook.
	deliverAttempts = 15
)

// keep is how long traces of failures are kept: dropped webhooks, for people to inspect, and calls that the
// sandbox misanswered on purpose.
const keep = 30 * 24 * time.Hour

// deliverBatch is the largest number of webhooks in one pass.
const deliverBatch = 200

// notices is the body of a webhook with several notices.
type notices struct {
	Notices []json.RawMessage `json:"notices"`
}

// notice is the body of a webhook, or one notice in it.
type notice struct {
	ID     string       `json:"id"`
	Type   string       `json:"type"`
	Charge noticeCharge `json:"charge"`
	// Refund is the merchant's key of the refund that is done.
	Refund string `json:"refund,omitempty"`
}

type noticeCharge struct {
	Key    string `json:"key"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// webhook returns the row of a webhook with the notice n; both values are empty if no webhook is due. Only a
// notice that ends a charge or moves money becomes a webhook: the caller of Authorize has its answer, and
// asks again with the same key if the answer was lost.
func (p *Provider) webhook(n notice) (webhookID string, body []byte) {
	if p.WebhookURL == "" || n.Charge.Status == string(domain.ChargeAuthorized) {
		return "", []byte{}
	}
	n.ID = id.New("whe")
	body, err := json.Marshal(n)
	if err != nil {
		return "", []byte{} // strings alone can always be encoded
	}
	return n.ID, body
}

// Sign returns the signature of a webhook's body.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac(secret, t, body))
}

func mac(secret, t string, body []byte) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(t))
	h.Write([]byte("."))
	h.Write(body)
	return h.Sum(nil)
}

// ReadWebhook checks a webhook's signature and reads its notices.
//
// Errors: unauthenticated, invalid_argument.
func (p *Provider) ReadWebhook(body []byte, signature string) ([]domain.Notice, error) {
	refused := errs.New(errs.Unauthenticated, "the webhook's signature is wrong or too old")
	t, v1 := "", ""
	for part := range strings.SplitSeq(signature, ",") {
		switch k, v, _ := strings.Cut(strings.TrimSpace(part), "="); k {
		case "t":
			t = v
		case "v1":
			v1 = v
		}
	}
	seconds, err := strconv.ParseInt(t, 10, 64)
	sum, hexErr := hex.DecodeString(v1)
	signed := slices.ContainsFunc([]string{p.Secret.Get(), p.FormerSecret.Get()}, func(secret string) bool {
		return secret != "" && hmac.Equal(sum, mac(secret, t, body))
	})
	if err != nil || hexErr != nil || !signed {
		return nil, refused
	}
	if age := p.Clock.Now().Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return nil, refused
	}
	var several notices
	if err := json.Unmarshal(body, &several); err != nil || len(several.Notices) == 0 {
		several.Notices = []json.RawMessage{body}
	}
	out := make([]domain.Notice, len(several.Notices))
	for i, one := range several.Notices {
		var err error
		if out[i], err = readNotice(one); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readNotice(body []byte) (domain.Notice, error) {
	var n notice
	if err := json.Unmarshal(body, &n); err != nil {
		return domain.Notice{}, errs.Wrap(err, errs.Invalid, "the webhook's body is not as the sandbox writes it")
	}
	c := domain.Charge{State: domain.ChargeState(n.Charge.Status), Reason: n.Charge.Reason, Ref: ref(n.Charge.Key)}
	if n.ID == "" || n.Charge.Key == "" || c.Status() == domain.Pending {
		return domain.Notice{}, errs.New(errs.Invalid, "the webhook lacks its id, its charge's key or a status")
	}
	return domain.Notice{EventID: n.ID, PaymentID: n.Charge.Key, Charge: c, RefundID: n.Refund}, nil
}

// DeliverEvery delivers webhooks, every interval, until ctx ends. The webhooks of one interval share a request. While
// a pass delivers a full batch, the next one follows without a pause.
func (p *Provider) DeliverEvery(interval time.Duration) func(context.Context) error {
	return chore.Chore{
		Name: "deliver webhooks", Every: interval, Batch: deliverBatch, Logger: p.Logger,
		Pass: func(ctx context.Context, _ time.Time) (int, error) { return p.Deliver(ctx) },
	}.Run
}

// Deliver posts due webhooks, and returns how many were delivered. New webhooks share one request. A webhook
// that failed is retried with a growing backoff and in a request of its own, so that its fault does not
// affect the others.
func (p *Provider) Deliver(ctx context.Context) (int, error) {
	if p.WebhookURL == "" {
		return 0, nil
	}
	due, err := p.q.DueWebhooks(ctx, deliverBatch)
	if err != nil {
		return 0, postgres.Err(err)
	}
	var fresh notices
	var ids []string
	delivered := 0
	for _, w := range due {
		if w.Attempts == 1 {
			fresh.Notices, ids = append(fresh.Notices, w.Body), append(ids, w.ID)
			continue
		}
		n, err := p.deliver(ctx, w.Body, w.Attempts, w.ID)
		delivered += n
		if err != nil {
			return delivered, err
		}
	}
	if len(ids) == 0 {
		return delivered, nil
	}
	body := []byte(fresh.Notices[0])
	if len(ids) > 1 {
		if body, err = json.Marshal(fresh); err != nil {
			return delivered, errs.Wrap(err, errs.Internal, "webhooks cannot be put together")
		}
	}
	n, err := p.deliver(ctx, body, 1, ids...)
	return delivered + n, err
}

// deliver posts a body and records the result for the webhooks in it.
func (p *Provider) deliver(ctx context.Context, body []byte, attempts int32, ids ...string) (int, error) {
	err := p.post(ctx, body)
	switch {
	case err == nil:
		return len(ids), postgres.Err(p.q.Delivered(ctx, ids))
	case attempts >= deliverAttempts:
		p.Logger.Error("webhook given up", zap.Strings("webhook_ids", ids), zap.Error(err))
		return 0, postgres.Err(p.q.Dropped(ctx, ids[0])) // a retried webhook is alone in its request
	default:
		p.Logger.Info("webhook not delivered", zap.Strings("webhook_ids", ids), zap.Int32("attempts", attempts),
			zap.Error(err))
		return 0, nil
	}
}

// Forget deletes old traces of failures, at most limit webhooks and limit calls, and returns how many.
func (p *Provider) Forget(ctx context.Context, limit int) (int, error) {
	most := int32(limit) //nolint:gosec // a batch is small
	webhooks, err := p.q.ForgetWebhooks(ctx, sqlc.ForgetWebhooksParams{KeepSeconds: keep.Seconds(), Most: most})
	if err != nil {
		return 0, postgres.Err(err)
	}
	calls, err := p.q.ForgetCalls(ctx, sqlc.ForgetCallsParams{KeepSeconds: keep.Seconds(), Most: most})
	return int(webhooks + calls), postgres.Err(err)
}

func (p *Provider) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.WebhookURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(SignatureHeader, Sign(p.Secret.Get(), p.Clock.Now(), body))
	res, err := p.HTTP.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the receiver answered %s", res.Status)
	}
	return nil
}
