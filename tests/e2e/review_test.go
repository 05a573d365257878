package e2e

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/apps/comment"
	"souk/pkg/waittest"
)

type (
	reviewJSON struct {
		ID, ProductID, ShopID, Title, Text, AuthorName, Status string
		Rating, HelpfulCount                                   int
		VerifiedPurchase                                       bool
		Reply                                                  struct{ Text string }
	}
	reviewsJSON struct {
		Reviews []reviewJSON
		Summary struct {
			Average   float64
			Count     int
			Histogram map[string]int
		}
		NextPageToken string
	}
)

// realReview is a review of the real marketplace data.
type realReview struct {
	rating      int
	title, text string
}

// realReviews returns some of Olist's reviews, the last of which names a web site, and some of Tokopedia's.
func realReviews(t *testing.T, n int) (olist, tokopedia []realReview) {
	t.Helper()
	dir := dataDir(t)
	read := func(row map[string]string, rating, title, text string) realReview {
		stars, err := strconv.Atoi(row[rating])
		require.NoError(t, err)
		return realReview{rating: stars, title: row[title], text: row[text]}
	}
	var named []realReview
	for _, row := range table(t, dir, "olist", "order_reviews.csv") {
		r := read(row, "review_score", "review_comment_title", "review_comment_message")
		switch link := strings.Contains(r.text, "lannister.com"); {
		case link:
			named = append(named, r)
		case r.text != "" && len(olist) < n-1:
			olist = append(olist, r)
		}
	}
	require.NotEmpty(t, named)
	for _, row := range table(t, dir, "tokopedia", "reviews.csv")[:n] {
		tokopedia = append(tokopedia, read(row, "Customer Rating", "", "Customer Review"))
	}
	return append(olist, named[0]), tokopedia
}

// rating returns the catalogue's rating of a product.
func (c *client) rating(productID string) (average float64, count int) {
	c.s.t.Helper()
	var p struct {
		Rating struct {
			Average float64
			Count   int
		}
	}
	c.get("/v1/products/" + productID).want(http.StatusOK).into(&p)
	return p.Rating.Average, p.Rating.Count
}

// requireRated waits until the product has the ratings, in its list of reviews and in the catalogue.
func (s *souk) requireRated(productID string, ratings []int) {
	s.t.Helper()
	sum, histogram := 0, map[string]int{"1": 0, "2": 0, "3": 0, "4": 0, "5": 0}
	for _, r := range ratings {
		sum += r
		histogram[strconv.Itoa(r)]++
	}
	average := math.Round(float64(sum)*100/float64(max(len(ratings), 1))) / 100
	want := fmt.Sprint(average, len(ratings), histogram, average, len(ratings))
	var got string
	waittest.Until(s.t, func() bool {
		var list reviewsJSON
		s.anonymous().get("/v1/products/" + productID + "/reviews").want(http.StatusOK).into(&list)
		shown, count := s.anonymous().rating(productID)
		got = fmt.Sprint(list.Summary.Average, list.Summary.Count, list.Summary.Histogram, shown, count)
		return got == want
	}, "the product is not rated with %v", ratings)
}

// buy buys one piece of each variant.
func (c *client) buy(variants ...string) {
	c.s.t.Helper()
	for _, v := range variants {
		c.add(v, 1).want(http.StatusOK)
	}
	c.checkout("tok_ok").order()
}

// testReviews posts real reviews by customers who have bought the products.
func testReviews(t *testing.T, s *souk) {
	const n = 12
	olist, tokopedia := realReviews(t, n)
	shop := handle("reviewed")
	seller := s.seller(shop)
	good, bad := seller.sell(shop, "Reviewed lamp", "10.00", 100), seller.sell(shop, "Reviewed vase", "10.00", 100)
	reviewed := func(p productJSON) string { return "/v1/products/" + p.ID + "/reviews" }
	operator, stranger := s.user(email("operator"), "operator"), s.user(email("stranger"), "customer")
	stranger.post(reviewed(good), obj{"rating": 5}).problem(http.StatusForbidden, "forbidden")
	s.anonymous().post(reviewed(good), obj{"rating": 5}).problem(http.StatusUnauthorized, "unauthenticated")
	s.guest().post(reviewed(good), obj{"rating": 5}).problem(http.StatusUnauthorized, "unauthenticated")

	// All buy both products; each has one source of reviews.
	buyers := make([]*client, n)
	posted := map[string][]reviewJSON{}
	ratings := map[string][]int{}
	for i := range buyers {
		c := s.user(email("buyer"), "customer")
		buyers[i] = c
		c.send(http.MethodPatch, "/v1/me", obj{"name": "Ana Maria Souza"}).want(http.StatusOK)
		c.buy(good.Variants[0].ID, bad.Variants[0].ID)
		for p, r := range map[*productJSON]realReview{&good: olist[i], &bad: tokopedia[i]} {
			var v reviewJSON
			a := c.post(reviewed(*p), obj{"rating": r.rating, "title": r.title, "text": r.text}).
				want(http.StatusCreated)
			a.into(&v)
			require.Equal(t, "/v1/reviews/"+v.ID, a.header.Get("Location"))
			require.Equal(t, strings.TrimSpace(strings.ReplaceAll(r.text, "\r\n", "\n")), v.Text)
			require.Equal(t, strings.TrimSpace(r.title), v.Title)
			require.Equal(t, r.rating, v.Rating)
			require.Equal(t, "Ana S.", v.AuthorName)
			require.True(t, v.VerifiedPurchase)
			want := "published"
			if p == &good && i == n-1 {
				want = "held"
			} else {
				ratings[p.ID] = append(ratings[p.ID], r.rating)
			}
			require.Equal(t, want, v.Status, v.Text)
			posted[p.ID] = append(posted[p.ID], v)
			c.post(reviewed(*p), obj{"rating": 1}).problem(http.StatusConflict, "already_exists")
		}
	}
	s.requireRated(good.ID, ratings[good.ID])
	s.requireRated(bad.ID, ratings[bad.ID])

	// The lists are complete in every order, and the catalogue sorts by rating.
	for _, query := range []string{"sort=newest", "sort=helpful", "sort=rating_desc", "sort=rating_asc"} {
		var ids []string
		for token := ""; ; {
			var list reviewsJSON
			s.anonymous().
				get(reviewed(bad) + "?pageSize=5&" + query + "&pageToken=" + token).
				want(http.StatusOK).
				into(&list)
			for _, v := range list.Reviews {
				ids = append(ids, v.ID)
			}
			if token = list.NextPageToken; token == "" {
				break
			}
		}
		slices.Sort(ids)
		require.Len(t, slices.Compact(ids), n, query)
	}
	var found productsJSON
	waittest.Until(t, func() bool {
		s.anonymous().get("/v1/products?sort=rating&shopId=" + shop).want(http.StatusOK).into(&found)
		first, _ := s.anonymous().rating(found.Products[0].ID)
		second, _ := s.anonymous().rating(found.Products[1].ID)
		return first >= second && first > 0 && second > 0
	}, "the catalogue is not sorted by rating")
	var facets struct {
		Facets struct {
			Ratings []struct {
				MinRating int
				Count     string
			}
		}
	}
	s.anonymous().get("/v1/products?facets=true&minRating=1&shopId=" + shop).want(http.StatusOK).into(&facets)
	last := len(facets.Facets.Ratings) - 1
	require.GreaterOrEqual(t, last, 0)
	require.Equal(t, 1, facets.Facets.Ratings[last].MinRating)
	require.Equal(t, "2", facets.Facets.Ratings[last].Count)

	// Votes, a reply, and the operator's decisions.
	var v reviewJSON
	voted := posted[bad.ID][3]
	for _, c := range []*client{stranger, buyers[0], stranger} {
		c.post("/v1/reviews/"+voted.ID+":helpful", obj{}).want(http.StatusOK).into(&v)
	}
	require.Equal(t, 2, v.HelpfulCount)
	buyers[3].post("/v1/reviews/"+voted.ID+":helpful", obj{}).problem(http.StatusConflict, "conflict")
	stranger.post("/v1/reviews/"+voted.ID+":reply", obj{"text": "Hi"}).problem(http.StatusNotFound, "not_found")
	seller.post("/v1/reviews/"+voted.ID+":reply", obj{"text": "Terima kasih!"}).want(http.StatusOK)
	waittest.Until(t, func() bool {
		var list reviewsJSON
		s.anonymous().get(reviewed(bad) + "?sort=helpful").want(http.StatusOK).into(&list)
		return list.Reviews[0].ID == voted.ID && list.Reviews[0].Reply.Text == "Terima kasih!"
	}, "the most helpful review with its reply is not the first")

	held := posted[good.ID][n-1]
	s.anonymous().get("/v1/reviews/"+held.ID).problem(http.StatusNotFound, "not_found")
	operator.post("/v1/operator/reviews/"+held.ID+":moderate", obj{"decision": "publish"}).want(http.StatusOK)
	s.requireRated(good.ID, append(ratings[good.ID], held.Rating))
	for _, c := range buyers[1:6] {
		c.post("/v1/reviews/"+posted[good.ID][0].ID+":report", obj{"reason": "It is an insult."}).want(http.StatusOK)
	}
	s.requireRated(good.ID, append(slices.Clone(ratings[good.ID][1:]), held.Rating))
	waittest.Until(t, func() bool {
		a := operator.get("/v1/operator/reviews?status=held&pageSize=100").want(http.StatusOK)
		return strings.Contains(string(a.body), posted[good.ID][0].ID)
	}, "the reported review is not in the queue")
	verdict := obj{"decision": "reject", "reason": "rude"}
	operator.post("/v1/operator/reviews/"+posted[good.ID][0].ID+":moderate", verdict).want(http.StatusOK)

	// A rebuild leaves everything as it is.
	require.Contains(t, s.must("reviews", "rebuild"), " ratings of products in ")
	s.requireRated(good.ID, append(slices.Clone(ratings[good.ID][1:]), held.Rating))
	s.requireRated(bad.ID, ratings[bad.ID])
}

// testReviewOfAGuestsPurchase reviews what a guest has bought, who has signed in since.
func testReviewOfAGuestsPurchase(t *testing.T, s *souk) {
	shop := handle("adopted")
	p := s.seller(shop).sell(shop, "Adopted", "10.00", 5)
	guest, user := s.guest(), s.user(email("adopted"), "customer")
	guest.add(p.Variants[0].ID, 1).want(http.StatusOK)
	body := checkoutBody("tok_ok")
	body["email"] = email("adopted")
	guest.post("/v1/checkout", body, "Idempotency-Key", handle("key")).order()
	path := "/v1/products/" + p.ID + "/reviews"
	user.post(path, obj{"rating": 4}).problem(http.StatusForbidden, "forbidden")
	user.post("/v1/me/guest:merge", obj{"guestToken": guest.token}).want(http.StatusOK)
	user.post(path, obj{"rating": 4}).want(http.StatusCreated)
	s.requireRated(p.ID, []int{4})
}

// TestCrashWhileCounting ends the process between any two writes that count a review or a vote, and starts it again.
// Both must count once.
func TestCrashWhileCounting(t *testing.T) {
	t.Parallel()
	s := start(t, "inprocess", []string{"SOUK_FAILPOINTS="})
	shop := handle("counted")
	p := s.seller(shop).sell(shop, "Counted", "10.00", 100)
	var ratings []int
	for i, point := range comment.Failpoints() {
		buyer, voter := s.user(email("buyer"), "customer"), s.user(email("voter"), "customer")
		buyer.buy(p.Variants[0].ID)
		exited := s.exited
		s.setFailpoints("souk", point+"=exit")
		ratings = append(ratings, i+1)
		// The process may die before it answers.
		_, err := buyer.do(http.MethodPost, "/v1/products/"+p.ID+"/reviews", obj{"rating": i + 1})
		vote := point == "comment.after_vote"
		if !vote {
			t.Logf("%s: answered: %t", point, err == nil)
			waittest.Receive(t, exited)
			s.launch()
		}
		var mine reviewsJSON
		buyer.get("/v1/me/reviews").want(http.StatusOK).into(&mine)
		require.Len(t, mine.Reviews, 1)
		v := mine.Reviews[0]
		_, err = voter.do(http.MethodPost, "/v1/reviews/"+v.ID+":helpful", obj{})
		require.Equal(t, vote, err != nil, "%v", err)
		if vote {
			waittest.Receive(t, exited)
			s.launch()
		}
		s.requireRated(p.ID, ratings)
		waittest.Until(t, func() bool {
			voter.get("/v1/reviews/" + v.ID).want(http.StatusOK).into(&v)
			return v.HelpfulCount == 1
		}, "%s: the vote does not count", point)
		s.verify()
	}
}
