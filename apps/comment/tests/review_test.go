package tests

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	commentv1 "souk/gen/go/souk/comment/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/rpc"
)

func TestOnlyBuyersReviewAProductAndOnce(t *testing.T) {
	t.Parallel()
	h := setup(t)
	_, err := h.post(id.New(id.User), product, 5, "")
	requireCode(t, errs.Forbidden, err)
	guest := h.As(identity.Actor{Kind: identity.KindGuest, ID: id.New(id.Guest)})
	_, err = h.comment.PostReview(guest, &commentv1.PostReviewRequest{ProductId: product, Rating: 5})
	requireCode(t, errs.Unauthenticated, err)

	seller := h.buyer()
	h.others.mu.Lock()
	h.others.members[seller] = true
	h.others.mu.Unlock()
	_, err = h.post(seller, product, 5, "Buy it!")
	requireCode(t, errs.Forbidden, err)

	ana := h.buyer()
	failed := moduletest.Concurrently(8, func(i int) error {
		_, err := h.post(ana, product, int32(1+i%5), "Posted eight times at once") //nolint:gosec // small
		return err
	})
	posted := 0
	for _, err := range failed {
		if err == nil {
			posted++
			continue
		}
		requireCode(t, errs.AlreadyExists, err)
	}
	require.Equal(t, 1, posted)
	mine, err := h.comment.ListMyReviews(h.AsUser(ana), &commentv1.ListMyReviewsRequest{})
	require.NoError(t, err)
	require.Len(t, mine.GetReviews(), 1)
	v := mine.GetReviews()[0]
	require.True(t, v.GetVerifiedPurchase())
	require.Equal(t, "Ana S.", v.GetAuthorName())
	require.Equal(t, shopID, v.GetShopId())
	require.Equal(t, "published", v.GetStatus())
	require.Equal(t, []string{"evt.review.posted"}, h.Events(v.GetId()))
	h.requireConsistent()
}

func TestRetryWithSameKeyGetsTheReviewThatWasPosted(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ctx := rpc.WithIdempotencyKey(h.AsUser(h.buyer()), "key-1")
	in := &commentv1.PostReviewRequest{ProductId: product, Rating: 5, Title: "Good"}
	first, err := h.comment.PostReview(ctx, in)
	require.NoError(t, err)
	again, err := h.comment.PostReview(ctx, in)
	require.NoError(t, err)
	require.Equal(t, first.String(), again.String())
	_, err = h.comment.PostReview(rpc.WithIdempotencyKey(ctx, "key-2"), in)
	requireCode(t, errs.AlreadyExists, err)
}

func TestTextsAreTrimmedAndControlCharactersRefused(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana := h.buyer()
	for _, in := range []*commentv1.PostReviewRequest{
		{Rating: 5, Text: "a\x00b"},
		{Rating: 5, Text: "a\u202eb"},
		{Rating: 5, Title: "two\nlines"},
		{Rating: 5, Title: strings.Repeat("x", 121)},
		{Rating: 5, Text: strings.Repeat("x", 5001)},
		{Rating: 0},
		{Rating: 6},
	} {
		in.ProductId = product
		_, err := h.comment.PostReview(h.AsUser(ana), in)
		requireCode(t, errs.Invalid, err)
	}
	_, err := h.post(ana, product, 5, "my card 4111 1111 1111 1111")
	requireCode(t, errs.CardNumberRefused, err)
	v := h.posted(ana, 5, " Arrived early.\r\n\r\nFits\twell. \n")
	require.Equal(t, "Arrived early.\n\nFits well.", v.GetText())
	require.Len(t, h.Events(v.GetId()), 1)
}

func TestListsAreCompleteInEveryOrderAtAnyPageSize(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ratings := []int32{3, 5, 1, 5, 3, 4, 1, 5, 3}
	ids := make([]string, len(ratings))
	for i, rating := range ratings {
		ids[i] = h.posted(h.buyer(), rating, "").GetId()
	}
	for i, votes := range map[int]int{2: 2, 4: 11, 5: 2} {
		for range votes {
			_, err := h.comment.VoteHelpful(h.AsUser(id.New(id.User)), &commentv1.VoteHelpfulRequest{Id: ids[i]})
			require.NoError(t, err)
		}
	}
	held := h.posted(h.buyer(), 5, "see www.example.com")
	require.Equal(t, "held", held.GetStatus())
	other := "prd_00000000000000000000000000000002"
	_, err := h.post(h.buyer(other), other, 5, "")
	require.NoError(t, err)
	for _, c := range []struct {
		sort   string
		rating int32
		want   []int
	}{
		{"", 0, []int{8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"newest", 0, []int{8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"newest", 3, []int{8, 4, 0}},
		{"newest", 2, nil},
		{"helpful", 0, []int{4, 5, 2, 8, 7, 6, 3, 1, 0}},
		{"helpful", 3, []int{4, 8, 0}},
		{"helpful", 1, []int{2, 6}},
		{"rating_desc", 0, []int{7, 3, 1, 5, 8, 4, 0, 6, 2}},
		{"rating_asc", 0, []int{6, 2, 8, 4, 0, 5, 7, 3, 1}},
		{"rating_asc", 5, []int{7, 3, 1}},
	} {
		for size := int32(1); size <= 10; size++ {
			var got []int
			in := &commentv1.ListReviewsRequest{Sort: c.sort, Rating: c.rating, PageSize: size}
			for more := true; more; more = in.PageToken != "" {
				res := h.list(in)
				require.LessOrEqual(t, len(res.GetReviews()), int(size))
				for _, v := range res.GetReviews() {
					got = append(got, indexOf(ids, v.GetId()))
				}
				in.PageToken = res.GetNextPageToken()
			}
			require.Equal(t, c.want, got, "%+v by %d", c, size)
		}
	}
	first := h.list(&commentv1.ListReviewsRequest{Sort: "rating_asc", PageSize: 1})
	for _, in := range []*commentv1.ListReviewsRequest{
		{ProductId: product, PageToken: first.GetNextPageToken()},
		{ProductId: other, Sort: "rating_asc", PageToken: first.GetNextPageToken()},
		{ProductId: product, Sort: "rating_asc", PageToken: "made up"},
	} {
		_, err := h.comment.ListReviews(h.As(identity.Anonymous()), in)
		requireCode(t, errs.Invalid, err)
	}
	_, err = h.comment.ListReviews(h.As(identity.Anonymous()), &commentv1.ListReviewsRequest{ProductId: "prd_1"})
	requireCode(t, errs.NotFound, err)
	h.requireStars(2, 0, 3, 1, 3)
}

func indexOf(ids []string, id string) int {
	for i, known := range ids {
		if known == id {
			return i
		}
	}
	return -1
}

func TestReviewsOfOthersCannotBeChanged(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana := h.buyer()
	v := h.posted(ana, 4, "")
	five := int32(5)
	for _, userID := range []string{h.buyer(), id.New(id.User)} {
		ctx := h.AsUser(userID)
		_, err := h.comment.UpdateReview(ctx, &commentv1.UpdateReviewRequest{Id: v.GetId(), Rating: &five})
		requireCode(t, errs.NotFound, err)
		_, err = h.comment.DeleteReview(ctx, &commentv1.DeleteReviewRequest{Id: v.GetId()})
		requireCode(t, errs.NotFound, err)
		_, err = h.comment.ModerateReview(ctx, &commentv1.ModerateReviewRequest{Id: v.GetId(), Decision: "reject"})
		requireCode(t, errs.Forbidden, err)
	}
	require.Len(t, h.Events(v.GetId()), 1)
	h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Rating: &five})
	h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Rating: &five})
	require.Equal(t, []string{"evt.review.posted", "evt.review.edited"}, h.Events(v.GetId()),
		"a change to the same rating appends no event")
	h.requireStars(0, 0, 0, 0, 1)
}

func TestDeletedReviewsAreGoneAndMayBePostedAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana, bo := h.buyer(), h.buyer()
	first := h.posted(ana, 1, "My secret text, which has to go")
	h.posted(bo, 4, "")
	_, err := h.comment.VoteHelpful(h.AsUser(bo), &commentv1.VoteHelpfulRequest{Id: first.GetId()})
	require.NoError(t, err)
	h.requireStars(1, 0, 0, 1, 0)

	h.remove(ana, first.GetId())
	h.requireStars(0, 0, 0, 1, 0)
	for _, ctx := range []func() error{
		func() error { _, err := h.get(h.AsUser(ana), first.GetId()); return err },
		func() error {
			_, err := h.comment.DeleteReview(h.AsUser(ana), &commentv1.DeleteReviewRequest{Id: first.GetId()})
			return err
		},
		func() error {
			_, err := h.comment.VoteHelpful(h.AsUser(bo), &commentv1.VoteHelpfulRequest{Id: first.GetId()})
			return err
		},
	} {
		requireCode(t, errs.NotFound, ctx())
	}
	mine, err := h.comment.ListMyReviews(h.AsUser(ana), &commentv1.ListMyReviewsRequest{})
	require.NoError(t, err)
	require.Empty(t, mine.GetReviews())
	require.Zero(
		t,
		moduletest.Value[int](h.Service, `select count(*) from doc_reviews where doc::text like '%secret%'`),
	)

	second := h.posted(ana, 5, "Better now")
	require.Zero(t, second.GetHelpfulCount(), "votes were for the text that is gone")
	voted, err := h.comment.VoteHelpful(h.AsUser(bo), &commentv1.VoteHelpfulRequest{Id: second.GetId()})
	require.NoError(t, err)
	require.EqualValues(t, 1, voted.GetReview().GetHelpfulCount())
	h.requireStars(0, 0, 0, 1, 1)
	require.Equal(t, second.GetId(), h.list(&commentv1.ListReviewsRequest{}).GetReviews()[0].GetId())
}

func TestAuthorsAreShownByShortNames(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana := h.buyer()
	v := h.posted(ana, 5, "")
	for name, want := range map[string]string{
		"Ana Maria de Souza": "Ana S.", "Ana": "Ana", "": "Customer", "ana@example.com": "Customer",
		"Nguyễn Thị ánh": "Nguyễn Á.",
	} {
		h.others.mu.Lock()
		h.others.names[ana] = name
		h.others.mu.Unlock()
		got, err := h.get(h.As(identity.Anonymous()), v.GetId())
		require.NoError(t, err)
		require.Equal(t, want, got.GetAuthorName())
	}
	h.others.mu.Lock()
	delete(h.others.names, ana)
	h.others.mu.Unlock()
	require.Equal(t, "Customer", h.list(&commentv1.ListReviewsRequest{}).GetReviews()[0].GetAuthorName())
}

func TestShopRepliesToPublishedReviews(t *testing.T) {
	t.Parallel()
	h := setup(t)
	seller, v := id.New(id.User), h.posted(h.buyer(), 2, "")
	h.others.mu.Lock()
	h.others.members[seller] = true
	h.others.mu.Unlock()
	reply := func(userID, text string) (*commentv1.Review, error) {
		res, err := h.comment.ReplyToReview(
			h.AsUser(userID),
			&commentv1.ReplyToReviewRequest{Id: v.GetId(), Text: text},
		)
		return res.GetReview(), err
	}
	_, err := reply(id.New(id.User), "Not mine")
	requireCode(t, errs.NotFound, err)
	_, err = reply(seller, "Call us: www.example.com")
	requireCode(t, errs.Invalid, err)
	first, err := reply(seller, " Sorry! ")
	require.NoError(t, err)
	again, err := reply(seller, "Sorry!")
	require.NoError(t, err)
	require.Equal(t, first.String(), again.String(), "a repetition changes nothing")
	require.Equal(t, []string{"evt.review.posted", "evt.review.replied"}, h.Events(v.GetId()))
	told, err := commentv1.NewCommentServiceClient(h.Client("notification")).GetReviewForNotice(t.Context(),
		&commentv1.GetReviewForNoticeRequest{Id: v.GetId()})
	require.NoError(t, err)
	require.Equal(t, "Sorry!", told.GetReview().GetReply().GetText())
	require.Equal(t, "Sorry!", h.list(&commentv1.ListReviewsRequest{}).GetReviews()[0].GetReply().GetText())
	gone, err := reply(seller, "")
	require.NoError(t, err)
	require.Nil(t, gone.GetReply())
	h.moderate(v.GetId(), "reject")
	_, err = reply(seller, "Hello?")
	requireCode(t, errs.NotFound, err)
}

func TestMyReviewsAreCompleteNewestFirst(t *testing.T) {
	t.Parallel()
	h := setup(t)
	products := make([]string, 7)
	for i := range products {
		products[i] = fmt.Sprintf("prd_%032d", i)
	}
	ana := h.buyer(products...)
	for _, p := range products {
		_, err := h.post(ana, p, 5, "")
		require.NoError(t, err)
	}
	var got []string
	in := &commentv1.ListMyReviewsRequest{PageSize: 3}
	for more := true; more; more = in.PageToken != "" {
		res, err := h.comment.ListMyReviews(h.AsUser(ana), in)
		require.NoError(t, err)
		for _, v := range res.GetReviews() {
			got = append([]string{v.GetProductId()}, got...)
		}
		in.PageToken = res.GetNextPageToken()
	}
	require.Equal(t, products, got)
}
