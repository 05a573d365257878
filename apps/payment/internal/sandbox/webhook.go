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
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"souk/apps/payment/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/postgres"
)

// SignatureHeader carries the signature of a webhook: "t=<unix seconds>,v1=<hex HMAC-SHA256 of t.body>".
const SignatureHeader = "Souk-Sandbox-Signature"

const (
	// tolerance is how old a signature may be, or how far ahead its clock.
	tolerance = 5 * time.Minute
	// deliverBatch is how many webhooks one pass delivers; deliverAttempts how often one is tried.
	deliverBatch    = 50
	deliverAttempts = 15
)

// notice is the body of a webhook.
type notice struct {
	ID     string       `json:"id"`
	Type   string       `json:"type"`
	Charge noticeCharge `json:"charge"`
	// Refund is the merchant's key of the refund that was done.
	Refund string `json:"refund,omitempty"`
}

type noticeCharge struct {
	Key    string `json:"key"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

// webhook makes the row that tells of n; both are empty when nobody wants to hear.
func (p *Provider) webhook(n notice) (webhookID string, body []byte) {
	if p.WebhookURL == "" {
		return "", []byte{}
	}
	n.ID = id.New("whe")
	body, err := json.Marshal(n)
	if err != nil {
		return "", []byte{} // strings alone can always be encoded
	}
	return n.ID, body
}

// Sign makes the signature of a webhook's body.
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

// ReadWebhook checks a webhook's signature and reads it. Its errors: unauthenticated, invalid_argument.
func (p *Provider) ReadWebhook(body []byte, signature string) (domain.Notice, error) {
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
	if p.Secret == "" || err != nil || hexErr != nil || !hmac.Equal(sum, mac(p.Secret, t, body)) {
		return domain.Notice{}, refused
	}
	if age := p.Clock.Now().Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return domain.Notice{}, refused
	}
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

// Deliver posts the webhooks that are due, and returns how many arrived. What did not comes again, later each time.
func (p *Provider) Deliver(ctx context.Context) (int, error) {
	if p.WebhookURL == "" {
		return 0, nil
	}
	due, err := p.q.DueWebhooks(ctx, deliverBatch)
	if err != nil {
		return 0, postgres.Err(err)
	}
	arrived := 0
	for _, w := range due {
		err := p.post(ctx, w.Body)
		switch {
		case err == nil:
			arrived++
			err = p.q.Delivered(ctx, w.ID)
		case w.Attempts >= deliverAttempts:
			p.Logger.Error("webhook given up", zap.String("webhook_id", w.ID), zap.Error(err))
			err = p.q.Dropped(ctx, w.ID)
		default:
			p.Logger.Info("webhook not delivered", zap.String("webhook_id", w.ID), zap.Int32("attempts", w.Attempts), zap.Error(err))
			err = nil
		}
		if err != nil {
			return arrived, postgres.Err(err)
		}
	}
	return arrived, nil
}

func (p *Provider) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.WebhookURL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(SignatureHeader, Sign(p.Secret, p.Clock.Now(), body))
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
