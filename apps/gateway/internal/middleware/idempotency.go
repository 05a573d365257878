package middleware

import (
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
	// Resource is the path at which the API shows what the body shows.
	Resource string `json:"resource,omitempty"`
	// Size is the length of the first answer's body, which may not be kept.
	Size int    `json:"size,omitempty"`
	Body []byte `json:"-"`
}

// summary returns what is kept of a body in any case: of a refusal all but its details, of any other answer nothing.
func (a answer) summary() []byte {
	var p problem
	if a.Status < http.StatusBadRequest || json.Unmarshal(a.Body, &p) != nil {
		return nil
	}
	if len(p.Errors) > summaryErrors {
		p.Errors = p.Errors[:summaryErrors]
	}
	body, _ := json.Marshal(p) // only strings and integers: cannot fail
	return body
}

// Sealed is an encrypted answer: it may hold addresses and tokens.
type Sealed struct {
	// Head is the answer without its body; empty while the request is in flight.
	Head []byte
	// Body is empty if it was not kept.
	Body []byte
}

func (a answer) seal(box cipher.AEAD) (s Sealed, err error) {
	head, err := json.Marshal(a)
	if err != nil {
		return s, err
	}
	s.Head = box.Seal(nil, nil, head, nil)
	if len(a.Body) > 0 {
		s.Body = box.Seal(make([]byte, 0, len(a.Body)+box.Overhead()), nil, a.Body, nil)
	}
	return s, nil
}

func unseal(box cipher.AEAD, s Sealed) (a answer, err error) {
	head, err := box.Open(nil, nil, s.Head, nil)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(head, &a); err != nil {
		return a, err
	}
	if len(s.Body) > 0 {
		a.Body, err = box.Open(nil, nil, s.Body, nil)
	}
	return a, err
}

// Claim is the result of claiming an idempotency key.
type Claim struct {
	// Owned: the key was free; the caller runs the request and then keeps its answer or releases the key.
	Owned bool
	// BodyHash is the body hash of the request that holds the key.
	BodyHash string
	// Answer is the sealed answer to that request.
	Answer Sealed
}

// Keys keeps the answers to requests with an Idempotency-Key.
type Keys interface {
	// Claim claims key for lease, or returns the claim of another request.
	Claim(ctx context.Context, key, bodyHash, owner string, lease time.Duration) (Claim, error)
	// Renew extends a claim.
	Renew(ctx context.Context, key, owner string, lease time.Duration) error
	// Keep stores the sealed answer for ttl.
	Keep(ctx context.Context, key, owner, bodyHash string, answer Sealed, ttl time.Duration) error
	// Release deletes a claim, so that a retry runs again.
	Release(ctx context.Context, key, owner string) error
}

const (
	keyMax   = 255
	keyLease = 5 * time.Second
	// keptSize is the largest body that is kept.
	keptSize = 32 << 10
	// summaryErrors is how many wrong fields of a refusal are kept in any case.
	summaryErrors = 10
)

// Allowance bounds what each caller may have kept.
type Allowance interface {
	// Take takes bytes from who's allowance, or reports that it does not hold as many.
	Take(ctx context.Context, who string, bytes int) (bool, error)
}

// Retention is how long answers are kept, and how much of them.
type Retention struct {
	TTL time.Duration
	// Whole is the allowance of each caller. Beyond it, only heads are kept.
	Whole Allowance
}

// Idempotency replays the first answer to a retry of a POST with the same Idempotency-Key. Keys are scoped to
// the caller and the route. A 5xx is not kept: a retry runs again. Neither is the refusal of a card number, so that
// not even a hash of it is stored. While a request is in flight its claim is renewed, so that the claim of a gateway
// that dies expires within seconds.
//
// Answers are encrypted under the key itself, of which only a hash is stored. So a reader of the store learns
// nothing about the answers to callers with random keys.
//
// What a caller makes the store keep is bounded: a large body is not kept, nor any beyond the caller's allowance. A
// retry then gets the resource as it is now, with the status of the first answer, or the refusal without its details.
type Idempotency struct {
	Keys Keys
	// Long is for the answers of routes that need a key, and for creations; Short is for all others.
	Long, Short Retention
	Limits      Limits
	Metrics     *Metrics
	Logger      *zap.Logger
}

// KeyRule is what a route says about keys.
type KeyRule struct {
	// Required refuses requests without a key.
	Required bool
	// Creates: an answer that is no refusal is kept for the long time, as is any answer if a key is required.
	Creates bool
	// Reread answers as a GET of path by the same caller would.
	Reread func(w http.ResponseWriter, r *http.Request, path string)
}

// Serve answers r with next, or with the first answer to a request with the same key.
func (i *Idempotency) Serve(
	w http.ResponseWriter, r *http.Request, rule KeyRule, next func(http.ResponseWriter, *http.Request),
) {
	x := From(r.Context())
	key := r.Header.Get("Idempotency-Key")
	switch {
	case x.Actor.ID == "": // no caller to scope the key to
		next(w, r)
		return
	case key == "" && rule.Required:
		WriteProblem(w, r, errs.InvalidField("Idempotency-Key",
			"this header is required: a new random value for each order, the same one for a retry"))
		return
	case key == "":
		next(w, r)
		return
	case len(r.Header.Values("Idempotency-Key")) > 1:
		WriteProblem(w, r, errs.InvalidField("Idempotency-Key", "this header may be sent once"))
		return
	case len(key) > keyMax || !printable(key):
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
	claim, err := i.Keys.Claim(ctx, stored, bodyHash, owner, keyLease)
	if err != nil {
		WriteProblem(w, r, err)
		return
	}
	switch {
	case claim.Owned:
		i.Metrics.key(keyFirst)
		i.run(w, r.WithContext(rpc.WithIdempotencyKey(ctx, key)), rule, next, box,
			claimed{key: stored, owner: owner, bodyHash: bodyHash})
	case claim.BodyHash != bodyHash:
		i.Metrics.key(keyMismatch)
		WriteProblem(w, r, errs.New(errs.IdempotencyMismatch, "this Idempotency-Key was used with another body"))
	case len(claim.Answer.Head) == 0:
		i.Metrics.key(keyInFlight)
		WriteProblem(w, r,
			errs.New(errs.IdempotencyInFlight, "a request with this Idempotency-Key is in flight: try again").
				WithRetryAfter(time.Second))
	default:
		a, err := unseal(box, claim.Answer)
		if err != nil {
			WriteProblem(w, r, errs.Wrap(err, errs.Internal, "the first answer cannot be read"))
			return
		}
		if a.Size > 0 && len(a.Body) == 0 {
			i.Metrics.key(keyReread)
			reread(w, r, rule, a)
			return
		}
		i.Metrics.key(keyReplayed)
		replay(w, x, a)
	}
}

// claimed is a key that this request owns.
type claimed struct{ key, owner, bodyHash string }

// run answers the first request with a key and keeps the answer, even if the client is gone.
func (i *Idempotency) run(
	w http.ResponseWriter,
	r *http.Request,
	rule KeyRule,
	next func(http.ResponseWriter, *http.Request),
	box cipher.AEAD,
	c claimed,
) {
	x := From(r.Context())
	ctx := context.WithoutCancel(r.Context())
	stop := renew(ctx, i.Keys, i.Logger, c.key, c.owner)
	defer stop()
	rec := newRecorder(w)
	defer rec.release()
	completed := false
	defer func() {
		if !completed { // a panic: a retry runs again
			release(ctx, i.Keys, i.Logger, c.key, c.owner)
		}
	}()
	next(rec, r)
	completed = true
	if rec.status >= http.StatusInternalServerError || x.Code == string(errs.IdempotencyInFlight) ||
		x.Code == string(errs.CheckoutInProgress) ||
		x.Code == string(errs.RateLimited) || x.Code == string(errs.CardNumberRefused) ||
		x.Code == string(errs.ApprovalRequired) || x.Code == string(errs.SignInAgain) {
		release(ctx, i.Keys, i.Logger, c.key, c.owner)
		rec.flush()
		return
	}
	h := w.Header()
	err := i.keep(ctx, r, rule, box, c, answer{
		Status:      rec.status,
		ContentType: h.Get("Content-Type"),
		Location:    h.Get("Location"),
		Code:        x.Code,
		Resource:    x.Resource,
		Size:        len(rec.body),
		Body:        rec.body,
	})
	if err != nil {
		i.Logger.Warn("idempotent answer not kept", zap.String("request_id", x.RequestID), zap.Error(err))
	}
	rec.flush()
}

// keep stores an answer for retries.
func (i *Idempotency) keep(
	ctx context.Context, r *http.Request, rule KeyRule, box cipher.AEAD, c claimed, a answer,
) error {
	retention := i.Short
	if rule.Required || rule.Creates && a.Status < http.StatusBadRequest {
		retention = i.Long
	}
	if len(a.Body) > keptSize {
		a.Body = a.summary()
	}
	s, err := a.seal(box)
	if err != nil {
		return err
	}
	allowed, err := retention.Whole.Take(ctx, i.Limits.key(r), len(s.Head)+len(s.Body))
	if err != nil {
		return err
	}
	if !allowed {
		i.Metrics.key(keyOverQuota)
		retention, a.Body = i.Short, a.summary()
		if s, err = a.seal(box); err != nil {
			return err
		}
	}
	return i.Keys.Keep(ctx, c.key, c.owner, c.bodyHash, s, retention.TTL)
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

// reread answers with the resource as it is now, or says why the caller cannot have it, e.g. that it is gone.
func reread(w http.ResponseWriter, r *http.Request, rule KeyRule, a answer) {
	if a.Resource == "" {
		w.Header().Set("Idempotent-Replayed", "true")
		WriteProblem(w, r, errs.New(errs.Conflict, "the request took effect, but its answer was too large to keep"))
		return
	}
	x := From(r.Context())
	route, method := x.Route, x.Method
	rec := newRecorder(w)
	defer rec.release()
	rule.Reread(rec, r, a.Resource)
	x.Route, x.Method = route, method
	if rec.status != http.StatusOK {
		if rec.status < http.StatusInternalServerError {
			w.Header().Set("Idempotent-Replayed", "true")
		}
		rec.flush()
		return
	}
	a.Body = rec.body
	w.Header().Del("ETag")
	replay(w, x, a)
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
