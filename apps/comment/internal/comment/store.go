package comment

import (
	"context"

	"github.com/jackc/pgx/v5"

	commentv1 "souk/gen/go/souk/comment/v1"
	"souk/pkg/clock"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/page"
)

// Subjects of the events that the service publishes.
const (
	subjectPosted        = "evt.review.posted"
	subjectEdited        = "evt.review.edited"
	subjectModerated     = "evt.review.moderated"
	subjectReplied       = "evt.review.replied"
	subjectDeleted       = "evt.review.deleted"
	subjectVoted         = "evt.review.voted"
	subjectRatingChanged = "evt.review.rating_changed"
)

// ReviewSubjects are the subjects of the events that [Store.OnReview] handles.
var ReviewSubjects = []string{
	"evt.review.posted", "evt.review.edited", "evt.review.moderated", "evt.review.deleted", "evt.review.voted",
}

// Indexes of reviews. Those of a product have "newest" last, so that the newest of equals comes first.
const (
	byAuthor        = "by_author" // unique
	byText          = "by_text"
	ofAuthor        = "of_author"
	ofProduct       = "of_product"
	newestFirst     = "newest"
	bestFirst       = "best"
	mostHelpful     = "helpful"
	mostHelpfulOf   = "helpful_of"
	longestInStatus = "queue"

	byNumber = "by_number" // of votes; unique
)

// Store stores reviews, votes and ratings as documents.
type Store struct {
	clock   clock.Clock
	wake    func() // wakes the relay after new events
	reviews *document.Collection[Review]
	votes   *document.Collection[vote]
	ratings *document.Collection[Rating]
}

// NewStore opens the collections and creates what is missing of them. wake is called after each write of events.
//
// Errors: those of document.Collection.Ensure.
func NewStore(ctx context.Context, documents *document.Store, c clock.Clock, wake func()) (*Store, error) {
	s := &Store{clock: c, wake: wake}
	var err error
	if s.reviews, err = open(ctx, documents, document.Spec[Review]{
		Name: "reviews",
		ID:   func(v Review) string { return v.ID },
		Indexes: []document.Index{
			{Name: byAuthor, Fields: []string{"authorId", "productId"}, Unique: true},
			{Name: byText, Fields: []string{"authorId", "textKey"}},
			{Name: ofAuthor, Fields: []string{"authorId", "listed"}, Descending: true},
			{Name: newestFirst, Fields: []string{"productId", "status", "newest"}, Descending: true},
			{Name: bestFirst, Fields: []string{"productId", "status", "rating", "newest"}, Descending: true},
			{Name: mostHelpful, Fields: []string{"productId", "status", "helpful", "newest"}, Descending: true},
			{
				Name:       mostHelpfulOf,
				Fields:     []string{"productId", "status", "rating", "helpful", "newest"},
				Descending: true,
			},
			{Name: ofProduct, Fields: []string{"productId"}},
			{Name: longestInStatus, Fields: []string{"status", "since"}},
		},
	}); err != nil {
		return nil, err
	}
	if s.votes, err = open(ctx, documents, document.Spec[vote]{
		Name:    "votes",
		ID:      func(v vote) string { return v.ID },
		Indexes: []document.Index{{Name: byNumber, Fields: []string{"of", "number"}, Unique: true, Descending: true}},
	}); err != nil {
		return nil, err
	}
	s.ratings, err = open(ctx, documents, document.Spec[Rating]{
		Name: "ratings",
		ID:   func(r Rating) string { return r.ProductID },
	})
	return s, err
}

func open[T any](
	ctx context.Context, documents *document.Store, spec document.Spec[T],
) (*document.Collection[T], error) {
	c, err := document.NewCollection(documents, spec)
	if err != nil {
		return nil, err
	}
	return c, c.Ensure(ctx)
}

// OnReview handles the service's own events: it brings ratings and numbers of votes up to date. It writes documents and
// not in the event's transaction, because a document store may have none. Both effects are computed from what is
// stored, so that it may be called again.
func (s *Store) OnReview(ctx context.Context, _ pgx.Tx, e event.Event) error {
	if e.Subject != subjectVoted {
		return s.count(ctx, e.AggregateID)
	}
	var m commentv1.ReviewVoted
	if err := e.Decode(&m); err != nil {
		return err
	}
	_, err := s.countVotes(ctx, m.GetReviewId())
	return err
}

// written wakes the relay if a write has not failed, and returns the write's error.
func (s *Store) written(err error) error {
	if err == nil {
		s.wake()
	}
	return err
}

// Get returns a review that is not deleted.
//
// Errors: not_found.
func (s *Store) Get(ctx context.Context, reviewID string) (Review, error) {
	d, err := s.reviews.Get(ctx, reviewID)
	if errs.Is(err, errs.NotFound) || err == nil && d.Value.Status == Deleted {
		return Review{}, noSuchReview()
	}
	return d.Value, err
}

// OfAuthor returns a customer's review of a product, which may be deleted. Its revision is 0 if the customer
// never posted one.
//
// Errors: unavailable.
func (s *Store) OfAuthor(ctx context.Context, authorID, productID string) (document.Doc[Review], error) {
	found, err := s.reviews.Find(ctx, document.Query{
		Index: byAuthor, Equal: map[string]string{"authorId": authorID, "productId": productID}, Limit: 1,
	})
	if err != nil || len(found.Docs) == 0 {
		return document.Doc[Review]{}, err
	}
	return found.Docs[0], nil
}

// Post stores a new review, or revives a deleted one that has the revision, and appends the event.
//
// Errors: conflict (there is another review of the author and product by now), invalid_argument.
func (s *Store) Post(ctx context.Context, v Review, revision int64, e event.Event) error {
	var err error
	if revision == 0 {
		_, err = s.reviews.Insert(ctx, v, e)
	} else {
		_, err = s.reviews.Replace(ctx, document.Doc[Review]{Value: v, Revision: revision}, e)
	}
	if document.Violates(err, byAuthor) {
		return errs.New(errs.Conflict, "another review was posted meanwhile")
	}
	return s.written(err)
}

// Update lets f change a review that is not deleted, stores it, and appends the events that f returns. If another write
// came between, it starts again from that, so f may be called several times.
//
// Errors: f's, not_found, conflict.
func (s *Store) Update(
	ctx context.Context, reviewID string, f func(*Review) ([]event.Event, error),
) (Review, error) {
	d, err := s.reviews.Update(ctx, reviewID, func(v *Review) ([]event.Event, error) {
		if v.Status == Deleted {
			return nil, noSuchReview()
		}
		return f(v)
	})
	if errs.Is(err, errs.NotFound) {
		err = noSuchReview()
	}
	return d.Value, s.written(err)
}

// Repeats reports whether another review of the author has the same text.
//
// Errors: unavailable.
func (s *Store) Repeats(ctx context.Context, v *Review) (bool, error) {
	if v.TextKey == "" {
		return false, nil
	}
	found, err := s.reviews.Find(ctx, document.Query{
		Index: byText, Equal: map[string]string{"authorId": v.AuthorID, "textKey": v.TextKey}, Limit: 2,
	})
	for _, d := range found.Docs {
		if d.Value.ID != v.ID {
			return true, nil
		}
	}
	return false, err
}

// Mine returns a page of an author's reviews, newest first, and the token of the next page.
//
// Errors: invalid_argument (a made-up token).
func (s *Store) Mine(ctx context.Context, authorID string, size int32, token string) ([]Review, string, error) {
	return s.find(ctx, document.Query{
		Index: ofAuthor, Equal: map[string]string{"authorId": authorID}, After: token, Limit: size,
	})
}

// Queue returns a page of the reviews with a status, the one that has had it longest first, and the token of the next
// page.
//
// Errors: invalid_argument (a made-up token).
func (s *Store) Queue(ctx context.Context, status Status, size int32, token string) ([]Review, string, error) {
	return s.find(ctx, document.Query{
		Index: longestInStatus, Equal: map[string]string{"status": string(status)}, After: token, Limit: size,
	})
}

// Published returns a page of a product's published reviews, and the token of the next page. A rating of 0 means all.
//
// Errors: invalid_argument (a made-up token).
func (s *Store) Published(
	ctx context.Context, productID, sort string, rating number, size int32, token string,
) ([]Review, string, error) {
	q := document.Query{
		Index: newestFirst, Equal: map[string]string{"productId": productID, "status": string(Published)},
		After: token, Limit: size,
	}
	switch {
	case rating > 0:
		q.Equal["rating"] = rating.String()
		if q.Index = bestFirst; sort == "helpful" {
			q.Index = mostHelpfulOf
		}
	case sort == "helpful":
		q.Index = mostHelpful
	case sort == "rating_desc":
		q.Index = bestFirst
	case sort == "rating_asc":
		return s.worstFirst(ctx, q)
	}
	return s.find(ctx, q)
}

// worstPosition is where a page of reviews, the worst first, ended: among those with a rating.
type worstPosition struct {
	Rating number `json:"r"`
	Token  string `json:"t,omitempty"`
}

// worstFirst reads the reviews of one star, then those of two, and so on: each newest first.
func (s *Store) worstFirst(ctx context.Context, q document.Query) (found []Review, next string, err error) {
	at, product := worstPosition{Rating: 1}, q.Equal["productId"]
	if err := page.Decode(q.After, &at, "worst", product); err != nil {
		return nil, "", err
	}
	if at.Rating < 1 || at.Rating > 5 {
		return nil, "", page.Invalid()
	}
	q.Index = bestFirst
	size := page.Size(q.Limit)
	for ; at.Rating <= 5; at.Rating++ {
		q.Equal["rating"], q.After = at.Rating.String(), at.Token
		q.Limit = int32(size - len(found)) //nolint:gosec // at most page.MaxSize
		reviews, after, err := s.find(ctx, q)
		if err != nil {
			return nil, "", err
		}
		found, at.Token = append(found, reviews...), after
		if len(found) < size && after == "" {
			continue
		}
		if after == "" {
			at.Rating++
		}
		if at.Rating > 5 {
			break
		}
		return found, page.Encode(at, "worst", product), nil
	}
	return found, "", nil
}

func (s *Store) find(ctx context.Context, q document.Query) ([]Review, string, error) {
	found, err := s.reviews.Find(ctx, q)
	reviews := make([]Review, len(found.Docs))
	for i, d := range found.Docs {
		reviews[i] = d.Value
	}
	return reviews, found.Next, err
}

func noSuchReview() error { return errs.New(errs.NotFound, "there is no such review") }
