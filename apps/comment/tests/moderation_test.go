package tests

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"google.golang.org/protobuf/proto"

	commentv1 "souk/gen/go/souk/comment/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
)

func (h *harness) queue(status string) (ids []string, all []*commentv1.ReviewToModerate) {
	h.t.Helper()
	in := &commentv1.ListReviewsToModerateRequest{Status: status, PageSize: 2}
	for more := true; more; more = in.PageToken != "" {
		res, err := h.comment.ListReviewsToModerate(h.operator(), in)
		require.NoError(h.t, err)
		for _, v := range res.GetReviews() {
			ids, all = append(ids, v.GetReview().GetId()), append(all, v)
		}
		in.PageToken = res.GetNextPageToken()
	}
	return ids, all
}

func (h *harness) report(userID, reviewID string) error {
	_, err := h.comment.ReportReview(
		h.AsUser(userID),
		&commentv1.ReportReviewRequest{Id: reviewID, Reason: "It is rude."},
	)
	return err
}

func TestSuspiciousReviewsAreHeldUntilAnOperatorDecides(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"hold_words": []any{"Scam", "money back"}}))
	other := "prd_00000000000000000000000000000002"
	ana := h.buyer(product, other)
	const text = "Very good, I would buy it again."
	_, err := h.post(ana, other, 5, text)
	require.NoError(t, err)
	var held []string
	for _, c := range []struct {
		user, text string
		want       []string
	}{
		{ana, "VERY good - I would buy it again!", []string{"repeated_text"}},
		{h.buyer(), "Look at shop.example.com", []string{"links"}},
		{h.buyer(), "What a SCAM!", []string{"words"}},
		{h.buyer(), "I want my money  back: www.example.com", []string{"links", "words"}},
		{h.buyer(), "No scammer, money is back", nil},
		{h.buyer(), text, nil}, // of another author
	} {
		v := h.posted(c.user, 5, c.text)
		ids, all := h.queue("")
		if c.want == nil {
			require.Equal(t, "published", v.GetStatus(), c.text)
			require.NotContains(t, ids, v.GetId())
			continue
		}
		held = append(held, v.GetId())
		require.Equal(t, "held", v.GetStatus(), c.text)
		require.Equal(t, held, ids, "the longest in the queue comes first")
		require.Equal(t, c.want, all[len(all)-1].GetHoldReasons())
		require.Equal(t, c.user, all[len(all)-1].GetAuthorId())
		_, err := h.get(h.As(identity.Anonymous()), v.GetId())
		requireCode(t, errs.NotFound, err)
		mine, err := h.get(h.AsUser(c.user), v.GetId())
		require.NoError(t, err)
		require.Equal(t, "held", mine.GetStatus())
	}
	h.requireStars(0, 0, 0, 0, 2)

	got := h.moderate(held[0], "publish")
	require.Equal(t, "published", got.GetReview().GetStatus())
	require.Equal(t, "publish", got.GetDecision().GetDecision())
	h.moderate(held[0], "publish")
	h.moderate(held[1], "reject")
	h.moderate(held[1], "reject")
	h.requireStars(0, 0, 0, 0, 3)
	ids, _ := h.queue("held")
	require.Equal(t, held[2:], ids)
	ids, _ = h.queue("rejected")
	require.Equal(t, held[1:2], ids)
	for _, reviewID := range held[:2] {
		require.Equal(t, []string{"evt.review.posted", "evt.review.moderated"}, h.Events(reviewID),
			"a repeated decision appends no event")
	}
	h.moderate(held[0], "reject")
	h.requireStars(0, 0, 0, 0, 2)
	h.moderate(held[0], "publish")
	const payloads = `select array_agg(payload order by seq) from outbox
		where aggregate_id = $1 and subject = 'evt.review.moderated'`
	var first []bool
	for _, payload := range moduletest.Value[[][]byte](h.Service, payloads, held[0]) {
		var m commentv1.ReviewModerated
		require.NoError(t, proto.Unmarshal(payload, &m))
		first = append(first, m.GetFirstPublished())
	}
	require.Equal(t, []bool{true, false, false}, first)
	_, err = h.comment.ModerateReview(h.operator(), &commentv1.ModerateReviewRequest{Id: "rev_1", Decision: "reject"})
	requireCode(t, errs.NotFound, err)
}

func TestOperatorsChangeTheRulesWhileTheServiceRuns(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"hold_words": []any{"Scam"}}))
	require.Equal(t, map[string]any{
		"comment.hold_links": true, "comment.hold_repeated_from": 20.0, "comment.hold_reports": 5.0,
		"comment.hold_words": []any{"Scam"},
	}, h.Configured())
	status := func(text string) string { return h.posted(h.buyer(), 1, text).GetStatus() }
	require.Equal(t, "held", status("scam"))
	require.Equal(t, "published", status("Money back!"))
	h.Set("comment.hold_words", []any{"MONEY  back"})
	require.Equal(t, "held", status("Money back!"))
	require.Equal(t, "published", status("scam"))
	require.Equal(t, "held", status("www.example.com"))
	h.Set("comment.hold_links", false)
	require.Equal(t, "published", status("www.example.com"))
	h.Set("comment.hold_reports", 1)
	v := h.posted(h.buyer(), 1, "")
	require.NoError(t, h.report(id.New(id.User), v.GetId()))
	held, _ := h.queue("held")
	require.Contains(t, held, v.GetId())
}

func TestShortTextsMayRepeat(t *testing.T) {
	t.Parallel()
	h := setup(t)
	other := "prd_00000000000000000000000000000002"
	ana := h.buyer(product, other)
	_, err := h.post(ana, other, 5, "Muito bom!")
	require.NoError(t, err)
	require.Equal(t, "published", h.posted(ana, 5, "Muito bom!").GetStatus())
}

func TestEditedTextsAreCheckedAgain(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana := h.buyer()
	v := h.posted(ana, 4, "Fine.")
	link, clean, three := "www.example.com", "Fine again.", int32(3)
	require.Equal(t, "held", h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Text: &link}).GetStatus())
	h.requireStars(0, 0, 0, 0, 0)
	require.Equal(t, "held", h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Text: &clean}).GetStatus(),
		"only an operator ends a hold")
	h.moderate(v.GetId(), "publish")
	h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Text: &link})
	h.moderate(v.GetId(), "publish")
	rated := h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Rating: &three})
	require.Equal(t, "published", rated.GetStatus(), "an operator has seen the text")
	h.requireStars(0, 0, 1, 0, 0)

	h.moderate(v.GetId(), "reject")
	require.Equal(t, "held", h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Text: &clean}).GetStatus())
	h.remove(ana, v.GetId())
	again := h.posted(ana, 5, clean)
	require.Equal(t, "held", again.GetStatus(), "a rejected review is not published by posting it again")
	_, all := h.queue("held")
	require.Equal(t, []string{"rejected"}, all[0].GetHoldReasons())
	h.moderate(again.GetId(), "publish")
	h.requireStars(0, 0, 0, 0, 1)
}

func TestDecisionIsAboutTheTextThatTheOperatorSaw(t *testing.T) {
	t.Parallel()
	h := setup(t)
	ana := h.buyer()
	v := h.posted(ana, 4, "Fine.")
	text := "Not what you have read"
	edited := h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Text: &text})
	decide := &commentv1.ModerateReviewRequest{Id: v.GetId(), Decision: "reject", UpdatedAt: v.GetUpdatedAt()}
	_, err := h.comment.ModerateReview(h.operator(), decide)
	requireCode(t, errs.Conflict, err)
	decide.UpdatedAt = edited.GetUpdatedAt()
	_, err = h.comment.ModerateReview(h.operator(), decide)
	require.NoError(t, err)
}

func TestManyReportsHoldAReviewUntilAnOperatorHasPublishedIt(t *testing.T) {
	t.Parallel()
	h := setup(t, moduletest.Config(map[string]any{"hold_reports": 3}))
	ana := h.buyer()
	v := h.posted(ana, 1, "Bad.")
	requireCode(t, errs.Conflict, h.report(ana, v.GetId()))
	same := id.New(id.User)
	for _, err := range moduletest.Concurrently(5, func(int) error { return h.report(same, v.GetId()) }) {
		require.NoError(t, err)
	}
	require.NoError(t, h.report(id.New(id.User), v.GetId()))
	h.requireStars(1, 0, 0, 0, 0)
	last := id.New(id.User)
	for range 2 {
		require.NoError(t, h.report(last, v.GetId()), "a repetition gets the same answer")
	}
	h.requireStars(0, 0, 0, 0, 0)
	requireCode(t, errs.NotFound, h.report(id.New(id.User), v.GetId()))
	_, all := h.queue("held")
	require.Len(t, all, 1)
	require.Equal(t, []string{"reports"}, all[0].GetHoldReasons())
	require.Len(t, all[0].GetReports(), 3)
	require.Equal(t, "It is rude.", all[0].GetReports()[0].GetReason())

	h.moderate(v.GetId(), "publish")
	for range 60 {
		require.NoError(t, h.report(id.New(id.User), v.GetId()))
	}
	h.requireStars(1, 0, 0, 0, 0)
	_, all = h.queue("published")
	require.Len(t, all[0].GetReports(), 50, "what is kept is bounded")
	worse := "Bad and rude."
	h.edit(ana, &commentv1.UpdateReviewRequest{Id: v.GetId(), Text: &worse})
	h.requireStars(1, 0, 0, 0, 0)
	require.False(t, slices.ContainsFunc(h.Events(v.GetId()), func(s string) bool {
		return strings.HasSuffix(s, "voted")
	}))
}
