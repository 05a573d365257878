package settings

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/id"
)

// The states of an approval.
const (
	approvalPending  = "pending"
	approvalApproved = "approved"
	// approvalRunning: a call has claimed it, whose outcome is not known yet.
	approvalRunning  = "running"
	approvalUsed     = "used"
	approvalRejected = "rejected"
)

const (
	// approvalTTL is how long an approval lasts from the first attempt at the call.
	approvalTTL = 24 * time.Hour
	// claimMargin is how much longer than its call a claim lasts, for what is around the call.
	claimMargin = 5 * time.Second
	// maxApprovals is the most calls of a user that wait for an approval.
	maxApprovals = 20
)

// Approval is a call that needs a second operator.
type Approval struct {
	// ID follows from the caller, the method and the request. So an approval is for this call alone.
	ID         string    `json:"id"`
	CallerID   string    `json:"callerId"`
	Method     string    `json:"method"`
	Permission string    `json:"permission"`
	Request    string    `json:"request"`
	Idempotent bool      `json:"idempotent"`
	Status     string    `json:"status"`
	CreatedAt  time.Time `json:"createdAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
	DecidedBy  string    `json:"decidedBy,omitempty"`
	// Claim identifies the call that runs, until ClaimedUntil at most.
	Claim        string    `json:"claim,omitempty"`
	ClaimedUntil time.Time `json:"claimedUntil,omitzero"`
}

// approvalID returns the ID of the approval of a call.
func approvalID(callerID, method string, digest []byte) string {
	sum := sha256.Sum256(slices.Concat([]byte(callerID+"\x00"+method+"\x00"), digest))
	return string(id.Approval) + "_" + hex.EncodeToString(sum[:])
}

// claim makes a claim of an approval that allows it, and reports whether the document changes.
//
// Errors: forbidden (rejected), conflict (the call runs).
func (a *Approval) claim(asked Approval, timeout time.Duration, now time.Time) (changed bool, err error) {
	lapsed := a.Status == approvalRunning && !now.Before(a.ClaimedUntil)
	switch {
	case !now.Before(a.ExpiresAt), a.Status == approvalUsed, lapsed && !a.Idempotent:
		// Of a call that may have taken effect and must not do so twice, another one needs another approval.
		*a = asked
		return true, nil
	case a.Status == approvalRejected:
		return false, errs.New(errs.Forbidden, "another operator has rejected this call: %s", a.ID)
	case a.Status == approvalRunning && !lapsed:
		return false, errs.New(errs.Conflict, "this call is in flight: wait for its end").
			WithRetryAfter(a.ClaimedUntil.Sub(now))
	case a.Status == approvalPending:
		return false, nil
	}
	a.Status, a.Claim, a.ClaimedUntil = approvalRunning, rand.Text(), now.Add(timeout+claimMargin)
	return true, nil
}

// ClaimApproval claims the approval of a call, or stores that it is asked for. It returns the approval; its call may
// run if it is running.
//
// Errors: forbidden, conflict, rate_limited (too many calls of the user wait), unavailable.
func (s *Store) ClaimApproval(
	ctx context.Context, asked Approval, timeout time.Duration, now time.Time,
) (Approval, error) {
	asked.Status, asked.CreatedAt, asked.ExpiresAt = approvalPending, now, now.Add(approvalTTL)
	for attempt := 1; ; attempt++ {
		d, err := s.approvals.Get(ctx, asked.ID)
		isNew := errs.Is(err, errs.NotFound)
		if err != nil && !isNew {
			return Approval{}, err
		}
		if isNew {
			d.Value = asked
		} else if changed, err := d.Value.claim(asked, timeout, now); err != nil || !changed {
			return d.Value, err
		}
		if d.Value.Status == approvalPending {
			if err := s.roomForApproval(ctx, asked.CallerID, now); err != nil {
				return Approval{}, err
			}
		}
		err = save(ctx, s.approvals, d)
		if !errs.Is(err, errs.Conflict) || attempt == attempts {
			return d.Value, err
		}
	}
}

// roomForApproval returns an error if too many calls of a user wait. Calls at the same moment may exceed the bound by
// their number.
func (s *Store) roomForApproval(ctx context.Context, callerID string, now time.Time) error {
	found, err := s.approvals.Find(ctx, document.Query{
		Index: "by_caller", Equal: map[string]string{"callerId": callerID, "status": approvalPending}, Limit: 100,
	})
	if err != nil {
		return err
	}
	waiting := 0
	for _, d := range found.Docs {
		if now.Before(d.Value.ExpiresAt) {
			waiting++
		}
	}
	if waiting >= maxApprovals {
		return errs.New(errs.RateLimited, "%d of your calls wait for an approval, which is the most", waiting).
			WithRetryAfter(time.Hour)
	}
	return nil
}

// SettleApproval ends a claim: the approval is used, or holds for a repetition. An earlier claim is ignored.
//
// Errors: unavailable.
func (s *Store) SettleApproval(ctx context.Context, approvalID, claim string, used bool) error {
	for attempt := 1; ; attempt++ {
		d, err := s.approvals.Get(ctx, approvalID)
		if errs.Is(err, errs.NotFound) || err == nil && (d.Value.Status != approvalRunning || d.Value.Claim != claim) {
			return nil
		}
		if err != nil {
			return err
		}
		d.Value.Claim, d.Value.ClaimedUntil, d.Value.Status = "", time.Time{}, approvalApproved
		if used {
			d.Value.Status = approvalUsed
		}
		if err = save(ctx, s.approvals, d); !errs.Is(err, errs.Conflict) || attempt == attempts {
			return err
		}
	}
}

// Decide approves or rejects a call, on behalf of a user, who may do it with the permission that it needs. A repetition
// changes nothing.
//
// Errors: not_found (also if it has expired), forbidden (the user is the caller, or lacks the permission), conflict
// (another user has decided, or the call has run).
func (s *Store) Decide(
	ctx context.Context, approvalID, userID, status string, may func(permission string) bool, now time.Time,
) (Approval, error) {
	for attempt := 1; ; attempt++ {
		d, err := s.approvals.Get(ctx, approvalID)
		if errs.Is(err, errs.NotFound) || err == nil && !now.Before(d.Value.ExpiresAt) {
			return Approval{}, errs.New(errs.NotFound, "there is no such approval")
		}
		a := &d.Value
		switch {
		case err != nil:
			return Approval{}, err
		case a.CallerID == userID:
			return Approval{}, errs.New(errs.Forbidden, "another person must decide on your call")
		case !may(a.Permission):
			return Approval{}, errs.New(errs.Forbidden, "this needs the permission %s", a.Permission)
		case a.Status == status && a.DecidedBy == userID:
			return *a, nil
		case a.Status != approvalPending:
			return Approval{}, errs.New(errs.Conflict, "this call is %s", a.Status)
		}
		a.Status, a.DecidedBy = status, userID
		if err = save(ctx, s.approvals, d); !errs.Is(err, errs.Conflict) || attempt == attempts {
			return *a, err
		}
	}
}

// Approvals returns the approvals that have not expired, newest first: those with a status, or all if it is "".
//
// Errors: unavailable.
func (s *Store) Approvals(ctx context.Context, status string, now time.Time) ([]Approval, error) {
	docs, err := all(ctx, s.approvals)
	var out []Approval
	for _, d := range docs {
		if now.Before(d.Value.ExpiresAt) && (status == "" || d.Value.Status == status) {
			out = append(out, d.Value)
		}
	}
	slices.SortFunc(out, func(a, b Approval) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return out, err
}

// DeleteApprovals deletes the approvals that have expired, and returns their number.
//
// Errors: unavailable.
func (s *Store) DeleteApprovals(ctx context.Context, now time.Time) (int, error) {
	docs, err := all(ctx, s.approvals)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, d := range docs {
		// One that runs ends first. A new request for one that is deleted is only repeated once more.
		if now.Before(d.Value.ExpiresAt) || now.Before(d.Value.ClaimedUntil) {
			continue
		}
		if err := s.approvals.Delete(ctx, d.Value.ID); err != nil && !errs.Is(err, errs.NotFound) {
			return n, err
		}
		n++
	}
	return n, nil
}
