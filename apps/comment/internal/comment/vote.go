package comment

import (
	"context"
	"fmt"
	"time"

	commentv1 "souk/gen/go/souk/comment/v1"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
)

// voteAttempts is the number of attempts to vote while others vote for the same review.
const voteAttempts = 100

// vote says that a user finds a review helpful. The votes for a review are numbered from 1, and none is ever removed.
// So the last number is how many there are, and it is found without counting them.
type vote struct {
	// ID is made of the review, its posting and the voter: who votes twice has one vote.
	ID string `json:"id"`
	// Of identifies the review and its posting: the votes for a deleted review don't count for the next one.
	Of     string `json:"of"`
	Number number `json:"number"`
}

// votesFor identifies the votes for a review.
func votesFor(v Review) string { return fmt.Sprintf("%s:%d", v.ID, v.Posting) }

// Vote adds a user's vote for a published review and returns the review. A second vote of the user changes nothing.
//
// Errors: not_found (also if it is not published), conflict (it is the user's own), overloaded, unavailable.
func (s *Store) Vote(ctx context.Context, reviewID, userID string, now time.Time) (Review, error) {
	v, err := s.Get(ctx, reviewID)
	if err == nil {
		err = v.concerns(userID)
	}
	if err != nil {
		return Review{}, err
	}
	of := votesFor(v)
	e, err := event.New(ctx, subjectVoted, of+":"+userID, 0, now,
		&commentv1.ReviewVoted{ReviewId: v.ID, ShopId: v.ShopID})
	if err != nil {
		return Review{}, err
	}
	if err := s.addVote(ctx, vote{ID: e.AggregateID, Of: of}, e); err != nil {
		return Review{}, err
	}
	if err := failpoint.Hit(ctx, FailAfterVote); err != nil {
		return Review{}, err
	}
	counted, err := s.countVotes(ctx, reviewID)
	switch {
	case errs.Is(err, errs.Conflict): // many vote at once: the vote is stored, and its event counts it
		return v, nil
	case err == nil && counted.Status == Deleted:
		return Review{}, noSuchReview()
	}
	return counted, err
}

// addVote stores a vote with the next number, unless the user has voted before.
//
// Errors: overloaded (many vote at once).
func (s *Store) addVote(ctx context.Context, v vote, e event.Event) error {
	for range voteAttempts {
		last, err := s.lastVote(ctx, v.Of)
		if err != nil {
			return err
		}
		v.Number = last + 1
		switch _, err = s.votes.Insert(ctx, v, e); {
		case document.Violates(err, "id"):
			return nil
		case !document.Violates(err, byNumber):
			return s.written(err)
		} // else another vote came between
	}
	return errs.New(errs.Overloaded, "too many vote for this review at once")
}

// lastVote returns the number of votes.
func (s *Store) lastVote(ctx context.Context, of string) (number, error) {
	found, err := s.votes.Find(ctx, document.Query{Index: byNumber, Equal: map[string]string{"of": of}, Limit: 1})
	if err != nil || len(found.Docs) == 0 {
		return 0, err
	}
	return found.Docs[0].Value.Number, nil
}

// countVotes brings a review's number of votes up to date.
//
// Errors: not_found, unavailable, conflict.
func (s *Store) countVotes(ctx context.Context, reviewID string) (Review, error) {
	d, err := s.reviews.Update(ctx, reviewID, func(v *Review) ([]event.Event, error) {
		if v.Status == Deleted {
			return nil, nil
		}
		last, err := s.lastVote(ctx, votesFor(*v))
		v.Helpful = max(v.Helpful, last)
		return nil, err
	})
	return d.Value, err
}

// concerns returns an error unless a user may vote for a review, or report it.
//
// Errors: not_found (it is not published), conflict (it is the user's own).
func (v *Review) concerns(userID string) error {
	switch {
	case v.Status != Published:
		return noSuchReview()
	case v.AuthorID == userID:
		return errs.New(errs.Conflict, "this is your own review")
	}
	return nil
}
