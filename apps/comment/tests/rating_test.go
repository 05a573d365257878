package tests

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/comment"
	commentv1 "souk/gen/go/souk/comment/v1"
	"souk/pkg/cqrs"
	"souk/pkg/document"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/failpoint"
	"souk/pkg/id"
	"souk/pkg/moduletest"
	"souk/pkg/waittest"
)

func TestVotesCountOnceForEachUser(t *testing.T) {
	t.Parallel()
	h := setup(t)
	other := h.Another()
	clients := []commentv1.CommentServiceClient{
		h.comment, commentv1.NewCommentServiceClient(other.Client("gateway")),
	}
	ana := h.buyer()
	v := h.posted(ana, 5, "")
	voters := make([]string, 20)
	for i := range voters {
		voters[i] = id.New(id.User)
	}
	for _, err := range moduletest.Concurrently(40, func(i int) error {
		_, err := clients[i%2].VoteHelpful(h.AsUser(voters[i/2]), &commentv1.VoteHelpfulRequest{Id: v.GetId()})
		return err
	}) {
		require.NoError(t, err)
	}
	got, err := h.get(h.AsUser(ana), v.GetId())
	require.NoError(t, err)
	require.EqualValues(t, 20, got.GetHelpfulCount())
	_, err = h.comment.VoteHelpful(h.AsUser(ana), &commentv1.VoteHelpfulRequest{Id: v.GetId()})
	requireCode(t, errs.Conflict, err)
	require.Equal(t, []string{"evt.review.posted"}, h.Events(v.GetId()))
	h.requireConsistent()
}

// Two processes count while their customers post, change and delete reviews of the same product.
func TestRatingFollowsConcurrentChanges(t *testing.T) {
	t.Parallel()
	h := setup(t)
	other := h.Another()
	clients := []commentv1.CommentServiceClient{
		h.comment, commentv1.NewCommentServiceClient(other.Client("gateway")),
	}
	buyers := make([]string, 30)
	for i := range buyers {
		buyers[i] = h.buyer()
	}
	var want [5]atomic.Int32
	for _, err := range moduletest.Concurrently(len(buyers), func(i int) error {
		ctx, c := h.AsUser(buyers[i]), clients[i%2]
		res, err := c.PostReview(ctx, &commentv1.PostReviewRequest{ProductId: product, Rating: 1 + rand.Int32N(5)})
		if err != nil {
			return err
		}
		for range 3 {
			rating := 1 + rand.Int32N(5)
			changed, err := c.UpdateReview(ctx, &commentv1.UpdateReviewRequest{Id: res.GetReview().GetId(), Rating: &rating})
			if err != nil {
				return err
			}
			res.Review = changed.GetReview()
		}
		if i%3 == 0 {
			_, err = c.DeleteReview(ctx, &commentv1.DeleteReviewRequest{Id: res.GetReview().GetId()})
			return err
		}
		want[res.GetReview().GetRating()-1].Add(1)
		return nil
	}) {
		require.NoError(t, err)
	}
	h.requireStars(want[0].Load(), want[1].Load(), want[2].Load(), want[3].Load(), want[4].Load())
}

// An error at a failpoint leaves what a process leaves that dies there; the event is then handled again.
func TestRatingsAndVotesSurviveADeathBetweenAnyTwoWrites(t *testing.T) { //nolint:paralleltest // failpoints are global
	for _, point := range comment.Failpoints() {
		t.Run(point, func(t *testing.T) { //nolint:paralleltest // failpoints are global
			h := setup(t)
			ana, bo := h.buyer(), h.buyer()
			var hits atomic.Int32
			defer failpoint.Enable(point, failpoint.Call(func(context.Context) error {
				if hits.Add(1)%2 == 1 {
					return errs.New(errs.Unavailable, "died")
				}
				return nil
			}))()
			v, err := h.post(ana, product, 4, "")
			require.NoError(t, err)
			h.requireStars(0, 0, 0, 1, 0)
			five := int32(5)
			h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Rating: &five})
			h.requireStars(0, 0, 0, 0, 1)
			_, err = h.comment.VoteHelpful(h.AsUser(bo), &commentv1.VoteHelpfulRequest{Id: v.GetId()})
			if err != nil {
				requireCode(t, errs.Unavailable, err) // three attempts may fail
			}
			waittest.Until(t, func() bool {
				got, err := h.get(h.AsUser(ana), v.GetId())
				return err == nil && got.GetHelpfulCount() == 1
			}, "the vote does not count")
			h.remove(ana, v.GetId())
			h.requireStars(0, 0, 0, 0, 0)
			require.NotZero(t, hits.Load())
			waittest.Until(t, func() bool {
				const steps = `select count(*) from doc_ratings where doc -> 'steps' is not null`
				return moduletest.Value[int](h.Service, steps) == 0
			}, "a step is not completed")
		})
	}
}

func TestEventsHandledAgainChangeNothing(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana := h.buyer()
	v := h.posted(ana, 4, "")
	h.requireStars(0, 0, 0, 1, 0)
	published := h.Events(product)
	for range 3 {
		e, err := event.New(t.Context(), "evt.review.edited", v.GetId(), 1, v.GetUpdatedAt().AsTime(),
			&commentv1.ReviewEdited{ReviewId: v.GetId()})
		require.NoError(t, err)
		h.Deliver("comment", e)
	}
	h.requireStars(0, 0, 0, 1, 0)
	require.Equal(t, published, h.Events(product), "no rating is published that has not changed")
}

func TestRebuildRepairsRatingsAndVotesBesideTheService(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana, bo := h.buyer(), h.buyer()
	v := h.posted(ana, 4, "")
	h.posted(bo, 1, "")
	_, err := h.comment.VoteHelpful(h.AsUser(bo), &commentv1.VoteHelpfulRequest{Id: v.GetId()})
	require.NoError(t, err)
	h.requireStars(1, 0, 0, 1, 0)
	published := len(h.Events(product))
	for _, sql := range []string{
		`update doc_ratings set doc = jsonb_set(doc, '{stars}', '[7, 7, 7, 7, 7]'), revision = revision + 1`,
		// As if the event of a change was lost.
		`update doc_reviews set doc = doc || '{"counted": 0, "helpful": "0000000000"}', revision = revision + 1
			where id = '` + v.GetId() + `'`,
	} {
		_, err := h.Pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	findings, err := comment.Module.Verify(t.Context(), h.Pool)
	require.NoError(t, err)
	require.EqualValues(t, 1, findings[1].Wrong, "%+v", findings)

	db := cqrs.DB{Pool: h.Pool, Documents: document.Open(h.Pool)}
	buyers := make([]string, 15)
	for i := range buyers {
		buyers[i] = h.buyer()
	}
	for _, err := range moduletest.Concurrently(len(buyers)+1, func(i int) error {
		if i < len(buyers) {
			_, err := h.post(buyers[i], product, 5, "")
			return err
		}
		n, err := comment.Module.States(db)(t.Context(), []string{"prd_further"}, nil)
		if err == nil && n != 2 {
			err = errs.New(errs.Internal, "%d products", n)
		}
		return err
	}) {
		require.NoError(t, err)
	}
	h.requireStars(1, 0, 0, 1, 15)
	got, err := h.get(h.AsUser(ana), v.GetId())
	require.NoError(t, err)
	require.EqualValues(t, 1, got.GetHelpfulCount())
	require.Greater(t, len(h.Events(product)), published)
	require.Equal(t, []string{"evt.review.rating_changed"}, h.Events("prd_further"),
		"the catalogue may show a rating of a product without reviews")
}
