package middleware

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"go.uber.org/zap"

	"souk/pkg/errs"
	"souk/pkg/rpc"
)

// answer is a response as it is stored for a retry.
type answer struct {
	Status      int    `json:"status"`
	ContentType string `json:"contentType"`
	Location    string `json:"location,omitempty"`
	Code        string `json:"code,omitempty"`
	// Body follows the JSON of the other fields, after a line break.
	Body []byte `json:"-"`
}

// seal encrypts an answer, which may hold addresses and tokens.
func (a answer) seal(box cipher.AEAD) ([]byte, error) {
	head, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, 0, len(head)+1+len(a.Body))
	plain = append(append(append(plain, head...), '\n'), a.Body...)
	return box.Seal(make([]byte, 0, len(plain)+box.Overhead()), nil, plain, nil), nil
}

func unseal(box cipher.AEAD, sealed []byte) (a answer, err error) {
	plain, err := box.Open(nil, nil, sealed, nil)
	if err != nil {
		return a, err
	}
	head, body, _ := bytes.Cut(plain, []byte{'\n'})
	a.Body = body
	return a, json.Unmarshal(head, &a)
}

// Claim is the result of claiming an idempotency key.
type Claim struct {
	// Owned: the key was free; the caller runs the request and then keeps its answer or releases the key.
	Owned bool
	// BodyHash is the body hash of the request that holds the key.
	BodyHash string
	// Answer is the sealed answer to that request; nil while it is in flight.
	Answer []byte
}

// Keys keeps the answers to requests with an Idempotency-Key.
type Keys interface {
	// Claim claims key for lease, or returns the claim of another request.
	Claim(ctx context.Context, key, bodyHash, owner string, lease time.Duration) (Claim, error)
	// Renew extends a claim.
	Renew(ctx context.Context, key, owner string, lease time.Duration) error
	// Keep stores the sealed answer.
	Keep(ctx context.Context, key, owner, bodyHash string, answer []byte) error
	// Release deletes a claim, so that a retry runs again.
	Release(ctx context.Context, key, owner string) error
}

const (
	keyMax   = 255
	keyLease = 5 * time.Second
)

// Idempotency replays the first answer to a retry of a POST with the same Idempotency-Key. Keys are scoped to
// the caller and the route. A 5xx is not kept: a retry runs again. Neither is the refusal of a card number, so that
// not even a hash of it is stored. While a request is in flight its claim is
// renewed, so that the claim of a gateway that dies expires within seconds.
//
// Answers are encrypted under the key itself, of which only a hash is stored. So a reader of the store learns
// nothing about the answers to callers with random keys.
func Idempotency(
	keys Keys, log *zap.Logger, w http.ResponseWriter, r *http.Request, required bool,
	next func(http.ResponseWriter, *http.Request),
) {
	x := From(r.Context())
	key := r.Header.Get("Idempotency-Key")
	if x.Actor.ID == "" { // no caller to scope the key to
		next(w, r)
		return
	}
	if key == "" {
		if required {
			WriteProblem(
				w,
				r,
				errs.InvalidField("Idempotency-Key",
					"this header is required: a new random value for each order, the same one for a retry"),
			)
			return
		}
		next(w, r)
		return
	}
	if len(key) > keyMax || !printable(key) {
		WriteProblem(w, r, errs.InvalidField("Idempotency-Key", "at most %d printable ASCII characters", keyMax))
		return
	}
	ctx := r.Context()
	scope := []byte(x.Actor.ID + "\n" + r.Method + " " + r.URL.Path + "\n" + key)
	hash := sha256.Sum256(scope)
	stored := hex.EncodeToString(hash[:])
	box, err := boxOf(scope)
	if err != nil {
		WriteProblem(w, r, err)
		return
	}
	bodySum := sha256.Sum256(BytesOf(r))
	bodyHash := hex.EncodeToString(bodySum[:])
	owner := rand.Text() // not the request ID, which the client may choose
	claim, err := keys.Claim(ctx, stored, bodyHash, owner, keyLease)
	if err != nil {
		WriteProblem(w, r, err)
		return
	}
	switch {
	case claim.Owned:
	case claim.BodyHash != bodyHash:
		WriteProblem(w, r, errs.New(errs.IdempotencyMismatch, "this Idempotency-Key was used with another body"))
		return
	case claim.Answer == nil:
		WriteProblem(
			w,
			r,
			errs.New(errs.IdempotencyInFlight, "a request with this Idempotency-Key is in flight: try again").
				WithRetryAfter(time.Second),
		)
		return
	default:
		a, err := unseal(box, claim.Answer)
		if err != nil {
			WriteProblem(w, r, errs.Wrap(err, errs.Internal, "the first answer cannot be read"))
			return
		}
		replay(w, x, a)
		return
	}

	// The answer is kept even if the client is gone.
	kept := context.WithoutCancel(ctx)
	stop := renew(kept, keys, log, stored, owner)
	defer stop()
	rec := newRecorder(w)
	defer rec.release()
	completed := false
	defer func() {
		if !completed { // a panic: a retry runs again
			release(kept, keys, log, stored, owner)
		}
	}()
	next(rec, r.WithContext(rpc.WithIdempotencyKey(ctx, key)))
	completed = true
	if rec.status >= http.StatusInternalServerError || x.Code == string(errs.IdempotencyInFlight) ||
		x.Code == string(errs.RateLimited) || x.Code == string(errs.CardNumberRefused) {
		release(kept, keys, log, stored, owner)
		rec.flush()
		return
	}
	h := w.Header()
	a := answer{
		Status:      rec.status,
		ContentType: h.Get("Content-Type"),
		Location:    h.Get("Location"),
		Code:        x.Code,
		Body:        rec.body,
	}
	sealed, err := a.seal(box)
	if err == nil {
		err = keys.Keep(kept, stored, owner, bodyHash, sealed)
	}
	if err != nil {
		log.Warn("idempotent answer not kept", zap.String("request_id", x.RequestID), zap.Error(err))
	}
	rec.flush()
}

func release(ctx context.Context, keys Keys, log *zap.Logger, key, owner string) {
	if err := keys.Release(ctx, key, owner); err != nil {
		log.Warn("idempotency key not released: a retry waits for its lease", zap.Error(err))
	}
}

// boxOf returns the cipher that seals the answers to requests of a scope.
func boxOf(scope []byte) (cipher.AEAD, error) {
	secret, err := hkdf.Key(sha256.New, scope, nil, "souk idempotent answer", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func replay(w http.ResponseWriter, x *Exchange, a answer) {
	x.Code = a.Code
	h := w.Header()
	h.Set("Content-Type", a.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	h.Set("Idempotent-Replayed", "true")
	if a.Location != "" {
		h.Set("Location", a.Location)
	}
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // an error means that the client is gone
}

// renew extends a claim until stop is called. stop waits for the goroutine.
func renew(ctx context.Context, keys Keys, log *zap.Logger, key, owner string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(keyLease / 3)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				if err := keys.Renew(ctx, key, owner, keyLease); err != nil && ctx.Err() == nil {
					log.Warn("idempotency claim not renewed", zap.Error(err))
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
