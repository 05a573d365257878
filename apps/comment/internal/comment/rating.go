package comment

import (
	"context"
	"math"
	"slices"

	commentv1 "souk/gen/go/souk/comment/v1"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/page"
)

// The failpoints: each is between two writes.
const (
	// FailAfterRated is after a rating has changed, before its review says so.
	FailAfterRated = "comment.after_rated"
	// FailAfterCounted is after a review says how it is counted, before the rating forgets the step.
	FailAfterCounted = "comment.after_counted"
	// FailAfterVote is after a vote, before its review has the new number.
	FailAfterVote = "comment.after_vote"
)

// countAttempts is the number of attempts to change a rating that others change at the same time.
const countAttempts = 30

// Rating sums up the published reviews of a product.
//
// A document store changes one document at a time, so a review is counted in three writes: the rating changes and keeps
// the step, the review stores how it is counted, the rating forgets the step. A process that finds a step that is not
// forgotten completes it. A rating is written only if it is still as it was before its review was read. So no step
// happens twice, wherever a process dies and however many processes count.
type Rating struct {
	ProductID string `json:"productId"`
	// Stars are the numbers of reviews with one star to five.
	Stars [5]int `json:"stars"`
	// Steps are the changes of Stars of which the reviews may not know yet.
	Steps []step `json:"steps,omitempty"`
}

// step is a change of how a review is counted.
type step struct {
	ReviewID string `json:"reviewId"`
	// Number is the review's Steps after it.
	Number int64 `json:"number"`
	// To is the number of stars with which the review is counted; 0: not at all.
	To int `json:"to"`
}

// Count returns the number of reviews.
func (r Rating) Count() int {
	n := 0
	for _, stars := range r.Stars {
		n += stars
	}
	return n
}

// Average returns the mean of the stars, rounded to two digits. It is 0 without reviews.
func (r Rating) Average() float64 {
	sum := 0
	for i, n := range r.Stars {
		sum += (i + 1) * n
	}
	return math.Round(float64(sum)*100/float64(max(r.Count(), 1))) / 100
}

// move counts a review with other stars; 0: not at all.
func (r *Rating) move(from, to int) {
	if from > 0 {
		r.Stars[from-1]--
	}
	if to > 0 {
		r.Stars[to-1]++
	}
}

// rated writes a rating that is still as it was read, and publishes it.
//
// Errors: conflict (it has changed).
func (s *Store) rated(ctx context.Context, d document.Doc[Rating]) (document.Doc[Rating], error) {
	r := d.Value
	e, err := event.New(ctx, subjectRatingChanged, r.ProductID, 0, s.clock.Now(), &commentv1.RatingChanged{
		ProductId: r.ProductID, Average: r.Average(), Count: int32(r.Count()), //nolint:gosec // far fewer
	})
	if err != nil {
		return d, err
	}
	d, err = s.save(ctx, d, e)
	return d, s.written(err)
}

// RatingOf returns the rating of a product.
//
// Errors: unavailable.
func (s *Store) RatingOf(ctx context.Context, productID string) (Rating, error) {
	d, err := s.ratingOf(ctx, productID)
	return d.Value, err
}

// ratingOf returns the rating of a product. Its revision is 0 if it is not stored yet.
func (s *Store) ratingOf(ctx context.Context, productID string) (document.Doc[Rating], error) {
	d, err := s.ratings.Get(ctx, productID)
	if errs.Is(err, errs.NotFound) {
		return document.Doc[Rating]{Value: Rating{ProductID: productID}}, nil
	}
	return d, err
}

// save writes a rating that is still as it was read, and appends the events.
//
// Errors: conflict (it has changed).
func (s *Store) save(ctx context.Context, d document.Doc[Rating], events ...event.Event) (document.Doc[Rating], error) {
	var err error
	if d.Revision > 0 {
		d, err = s.ratings.Replace(ctx, d, events...)
	} else if d, err = s.ratings.Insert(ctx, d.Value, events...); document.Violates(err, "id") {
		err = errs.New(errs.Conflict, "the rating was created meanwhile")
	}
	return d, err
}

// again calls f until it does not find that another write came between.
//
// Errors: f's, conflict (after many attempts).
func again(f func() error) error {
	var err error
	for range countAttempts {
		if err = f(); !errs.Is(err, errs.Conflict) {
			break
		}
	}
	return err
}

// count brings the rating of a review's product up to date with the review.
//
// Errors: unavailable, conflict.
func (s *Store) count(ctx context.Context, reviewID string) error {
	d, err := s.reviews.Get(ctx, reviewID)
	if err != nil {
		return err
	}
	return again(func() error { return s.tryCount(ctx, reviewID, d.Value.ProductID) })
}

func (s *Store) tryCount(ctx context.Context, reviewID, productID string) error {
	rating, err := s.ratingOf(ctx, productID)
	if err != nil {
		return err
	}
	for _, st := range rating.Value.Steps {
		if st.ReviewID == reviewID { // of a process that died, or is at it
			if rating, err = s.complete(ctx, rating, st); err != nil {
				return err
			}
		}
	}
	// The review is read after its rating: a step that is taken in between changes the rating, which fails the write.
	d, err := s.reviews.Get(ctx, reviewID)
	if err != nil {
		return err
	}
	v := d.Value
	if v.stars() == v.Counted {
		return nil
	}
	taken := step{ReviewID: reviewID, Number: v.Steps + 1, To: v.stars()}
	rating.Value.move(v.Counted, taken.To)
	rating.Value.Steps = append(rating.Value.Steps, taken)
	if rating, err = s.rated(ctx, rating); err != nil {
		return err
	}
	if err := failpoint.Hit(ctx, FailAfterRated); err != nil {
		return err
	}
	_, err = s.complete(ctx, rating, taken)
	return err
}

// complete stores a step in its review, and forgets the step.
//
// Errors: conflict (the rating has changed).
func (s *Store) complete(
	ctx context.Context, rating document.Doc[Rating], st step,
) (document.Doc[Rating], error) {
	_, err := s.reviews.Update(ctx, st.ReviewID, func(v *Review) ([]event.Event, error) {
		if v.Steps == st.Number-1 { // later, it knows already
			v.Steps, v.Counted = st.Number, st.To
		}
		return nil, nil
	})
	if err != nil {
		return rating, err
	}
	if err := failpoint.Hit(ctx, FailAfterCounted); err != nil {
		return rating, err
	}
	others := slices.Clone(rating.Value.Steps)
	rating.Value.Steps = slices.DeleteFunc(others, func(known step) bool { return known == st })
	return s.save(ctx, rating)
}

// Rebuild computes all ratings and numbers of votes from the reviews and votes, and publishes the ratings, also those
// of further products. It may run beside the service. It returns the number of products.
//
// Errors: unavailable, conflict (a product's reviews change all the time).
func (s *Store) Rebuild(ctx context.Context, further []string) (int, error) {
	products := map[string]bool{}
	for _, productID := range further {
		products[productID] = true
	}
	if err := each(ctx, s.ratings, document.Query{}, func(r Rating) error {
		products[r.ProductID] = true
		return nil
	}); err != nil {
		return 0, err
	}
	if err := each(ctx, s.reviews, document.Query{}, func(v Review) error {
		products[v.ProductID] = true
		_, err := s.countVotes(ctx, v.ID)
		return err
	}); err != nil {
		return 0, err
	}
	n := 0
	for productID := range products {
		if err := again(func() error { return s.rebuild(ctx, productID) }); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Rated returns the number of products with a rating.
//
// Errors: unavailable.
func (s *Store) Rated(ctx context.Context) (n int64, err error) {
	err = each(ctx, s.ratings, document.Query{}, func(Rating) error {
		n++
		return nil
	})
	return n, err
}

// rebuild computes the rating of a product from what its reviews say of how they are counted, and then counts those
// again that say something else than their content.
func (s *Store) rebuild(ctx context.Context, productID string) error {
	rating, err := s.ratingOf(ctx, productID)
	if err != nil {
		return err
	}
	rating.Value.Stars = [5]int{}
	var wrong []string
	// This index does not change with the reviews, so that none is read twice or missed.
	q := document.Query{Index: ofProduct, Equal: map[string]string{"productId": productID}}
	if err := each(ctx, s.reviews, q, func(v Review) error {
		for _, st := range rating.Value.Steps {
			if st.ReviewID == v.ID {
				v.Counted = st.To
			}
		}
		rating.Value.move(0, v.Counted)
		if v.Counted != v.stars() {
			wrong = append(wrong, v.ID)
		}
		return nil
	}); err != nil {
		return err
	}
	if rating, err = s.rated(ctx, rating); err != nil {
		return err
	}
	for _, st := range rating.Value.Steps {
		wrong = append(wrong, st.ReviewID)
	}
	for _, reviewID := range wrong {
		if err := s.count(ctx, reviewID); err != nil {
			return err
		}
	}
	return nil
}

// each calls f with all documents that a query selects.
func each[T any](ctx context.Context, c *document.Collection[T], q document.Query, f func(T) error) error {
	q.Limit = page.MaxSize
	for {
		found, err := c.Find(ctx, q)
		if err != nil {
			return err
		}
		for _, d := range found.Docs {
			if err := f(d.Value); err != nil {
				return err
			}
		}
		if q.After = found.Next; q.After == "" {
			return nil
		}
	}
}
