package comment

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc"

	commentv1 "souk/gen/go/souk/comment/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/clock"
	"souk/pkg/errs"
	"souk/pkg/event"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/membership"
	"souk/pkg/rpc"
	"souk/pkg/weblink"
)

// postAttempts is the number of attempts to post a review while the same author posts or deletes another one.
const postAttempts = 3

// Orders is the order service, as far as comment needs it.
type Orders interface {
	FindPurchase(
		ctx context.Context, r *orderv1.FindPurchaseRequest, opts ...grpc.CallOption,
	) (*orderv1.FindPurchaseResponse, error)
}

// Users is the user service, as far as comment needs it.
type Users interface {
	BatchGetUsers(
		ctx context.Context, r *userv1.BatchGetUsersRequest, opts ...grpc.CallOption,
	) (*userv1.BatchGetUsersResponse, error)
}

// Deps are what [NewRPC] needs.
type Deps struct {
	Store  *Store
	Orders Orders
	Shops  membership.Shops
	Users  Users
	// Rules returns the rules that apply now.
	Rules func() Rules
	Clock clock.Clock
}

// RPC serves souk.comment.v1.CommentService. The contract says who may call which method.
type RPC struct {
	commentv1.UnimplementedCommentServiceServer
	Deps
}

// NewRPC returns the server.
func NewRPC(d Deps) *RPC { return &RPC{Deps: d} }

// PostReview posts the caller's review of a product.
//
// Errors: invalid_argument, forbidden (the caller has not bought it, or sells it), already_exists, unavailable.
func (r *RPC) PostReview(
	ctx context.Context, in *commentv1.PostReviewRequest,
) (*commentv1.PostReviewResponse, error) {
	author := identity.FromContext(ctx).ID
	bought, err := r.Orders.FindPurchase(ctx,
		&orderv1.FindPurchaseRequest{CustomerId: author, ProductId: in.GetProductId()})
	if err != nil {
		return nil, err
	}
	if !bought.GetPurchased() {
		return nil, errs.New(errs.Forbidden, "only customers who have bought the product may review it")
	}
	member, err := r.isMember(ctx, bought.GetShopId(), author)
	if err != nil {
		return nil, err
	}
	if member {
		return nil, errs.New(errs.Forbidden, "members of a shop may not review its products")
	}
	var v Review
	for range postAttempts {
		if v, err = r.post(ctx, author, bought.GetShopId(), in); !errs.Is(err, errs.Conflict) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	out, err := r.reviewToProto(ctx, v)
	return &commentv1.PostReviewResponse{Review: out}, err
}

// post stores a review unless the author has one of the product. A repetition of the same request gets what the first
// one has stored.
//
// Errors: already_exists, conflict (another review came between).
func (r *RPC) post(ctx context.Context, author, shopID string, in *commentv1.PostReviewRequest) (Review, error) {
	earlier, err := r.Store.OfAuthor(ctx, author, in.GetProductId())
	if err != nil {
		return Review{}, err
	}
	key := rpc.IdempotencyKey(ctx)
	if earlier.Revision > 0 && earlier.Value.Status != Deleted {
		if key != "" && earlier.Value.RequestKey == key {
			return earlier.Value, nil
		}
		return Review{}, errs.New(errs.AlreadyExists, "you have reviewed this product: change that review instead")
	}
	content := Content{Rating: in.GetRating(), Title: in.GetTitle(), Text: in.GetText()}
	now := r.Clock.Now()
	v, err := NewReview(author, in.GetProductId(), shopID, content, earlier.Value, now)
	if err != nil {
		return Review{}, err
	}
	v.RequestKey = key
	reasons, err := r.suspects(ctx, &v)
	if err != nil {
		return Review{}, err
	}
	v.suspect(reasons, now)
	v.Unannounced = v.Status != Published
	e, err := event.New(ctx, subjectPosted, v.ID, 0, now, &commentv1.ReviewPosted{
		ReviewId: v.ID, ProductId: v.ProductID, ShopId: v.ShopID, AuthorId: v.AuthorID,
		Rating: int32(v.Rating), Status: string(v.Status),
	})
	if err != nil {
		return Review{}, err
	}
	return v, r.Store.Post(ctx, v, earlier.Revision, e)
}

// suspects applies the automatic rules to a review, and returns why they hold it.
func (r *RPC) suspects(ctx context.Context, v *Review) ([]string, error) {
	rules := r.Rules()
	reasons := rules.suspects(v)
	v.TextKey = rules.textKey(v.Text)
	repeated, err := r.Store.Repeats(ctx, v)
	if repeated {
		reasons = append(reasons, reasonRepeated)
	}
	return reasons, err
}

// ListReviews lists the published reviews of a product.
//
// Errors: invalid_argument (a made-up page token), not_found (no product has such an ID), unavailable.
func (r *RPC) ListReviews(
	ctx context.Context, in *commentv1.ListReviewsRequest,
) (*commentv1.ListReviewsResponse, error) {
	if !id.Valid(id.Product, in.GetProductId()) {
		return nil, errs.New(errs.NotFound, "there is no such product")
	}
	found, next, err := r.Store.Published(ctx, in.GetProductId(), in.GetSort(), number(in.GetRating()),
		in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	rating, err := r.Store.RatingOf(ctx, in.GetProductId())
	if err != nil {
		return nil, err
	}
	reviews, err := r.toProtos(ctx, found)
	return &commentv1.ListReviewsResponse{Reviews: reviews, Summary: rating.toProto(), NextPageToken: next}, err
}

// GetReview returns a review.
//
// Errors: not_found (also if it is not published and the caller is neither its author nor an operator), unavailable.
func (r *RPC) GetReview(ctx context.Context, in *commentv1.GetReviewRequest) (*commentv1.GetReviewResponse, error) {
	v, err := r.Store.Get(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	caller := identity.FromContext(ctx)
	if v.Status != Published && v.AuthorID != caller.ID && !rpc.Permitted(ctx) {
		return nil, noSuchReview()
	}
	out, err := r.reviewToProto(ctx, v)
	return &commentv1.GetReviewResponse{Review: out}, err
}

// GetReviewForNotice returns a review that is not deleted.
//
// Errors: not_found, unavailable.
func (r *RPC) GetReviewForNotice(
	ctx context.Context, in *commentv1.GetReviewForNoticeRequest,
) (*commentv1.GetReviewForNoticeResponse, error) {
	v, err := r.Store.Get(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	return &commentv1.GetReviewForNoticeResponse{Review: v.toProto(noName)}, nil
}

// ListMyReviews lists the caller's reviews, newest first.
//
// Errors: invalid_argument (a made-up page token), unavailable.
func (r *RPC) ListMyReviews(
	ctx context.Context, in *commentv1.ListMyReviewsRequest,
) (*commentv1.ListMyReviewsResponse, error) {
	found, next, err := r.Store.Mine(ctx, identity.FromContext(ctx).ID, in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	reviews, err := r.toProtos(ctx, found)
	return &commentv1.ListMyReviewsResponse{Reviews: reviews, NextPageToken: next}, err
}

// UpdateReview changes a review of the caller.
//
// Errors: invalid_argument, not_found, conflict, unavailable.
func (r *RPC) UpdateReview(
	ctx context.Context, in *commentv1.UpdateReviewRequest,
) (*commentv1.UpdateReviewResponse, error) {
	author, now := identity.FromContext(ctx).ID, r.Clock.Now()
	v, err := r.Store.Update(ctx, in.GetId(), func(v *Review) ([]event.Event, error) {
		if v.AuthorID != author {
			return nil, noSuchReview()
		}
		changed, reworded, err := v.apply(Change{Rating: in.Rating, Title: in.Title, Text: in.Text}, now)
		if err != nil || !changed {
			return nil, err
		}
		if reworded || v.Status == Rejected {
			reasons, err := r.suspects(ctx, v)
			if err != nil {
				return nil, err
			}
			v.suspect(reasons, now)
		}
		e, err := event.New(ctx, subjectEdited, v.ID, 0, now, &commentv1.ReviewEdited{
			ReviewId: v.ID, ProductId: v.ProductID, ShopId: v.ShopID, AuthorId: v.AuthorID,
			Rating: int32(v.Rating), Status: string(v.Status),
		})
		return []event.Event{e}, err
	})
	if err != nil {
		return nil, err
	}
	out, err := r.reviewToProto(ctx, v)
	return &commentv1.UpdateReviewResponse{Review: out}, err
}

// DeleteReview deletes a review of the caller.
//
// Errors: not_found, conflict, unavailable.
func (r *RPC) DeleteReview(
	ctx context.Context, in *commentv1.DeleteReviewRequest,
) (*commentv1.DeleteReviewResponse, error) {
	author, now := identity.FromContext(ctx).ID, r.Clock.Now()
	_, err := r.Store.Update(ctx, in.GetId(), func(v *Review) ([]event.Event, error) {
		if v.AuthorID != author {
			return nil, noSuchReview()
		}
		v.remove(now)
		e, err := event.New(ctx, subjectDeleted, v.ID, 0, now, &commentv1.ReviewDeleted{
			ReviewId: v.ID, ProductId: v.ProductID, ShopId: v.ShopID,
		})
		return []event.Event{e}, err
	})
	return &commentv1.DeleteReviewResponse{}, err
}

// VoteHelpful adds the caller's vote for a review.
//
// Errors: not_found, conflict (it is the caller's own), unavailable.
func (r *RPC) VoteHelpful(
	ctx context.Context, in *commentv1.VoteHelpfulRequest,
) (*commentv1.VoteHelpfulResponse, error) {
	v, err := r.Store.Vote(ctx, in.GetId(), identity.FromContext(ctx).ID, r.Clock.Now())
	if err != nil {
		return nil, err
	}
	out, err := r.reviewToProto(ctx, v)
	return &commentv1.VoteHelpfulResponse{Review: out}, err
}

// ReportReview reports a review to the operators.
//
// Errors: invalid_argument, not_found, conflict (it is the caller's own), unavailable.
func (r *RPC) ReportReview(
	ctx context.Context, in *commentv1.ReportReviewRequest,
) (*commentv1.ReportReviewResponse, error) {
	reason, err := clean("reason", in.GetReason(), true)
	if err != nil {
		return nil, err
	}
	if reason == "" {
		return nil, errs.InvalidField("reason", "must not be blank")
	}
	report := Report{UserID: identity.FromContext(ctx).ID, Reason: reason, CreatedAt: r.Clock.Now()}
	_, err = r.Store.Update(ctx, in.GetId(), func(v *Review) ([]event.Event, error) {
		if v.reportedBy(report.UserID) {
			return nil, nil // also if that report holds it
		}
		if err := v.concerns(report.UserID); err != nil {
			return nil, err
		}
		if !v.report(report, r.Rules().Reports) {
			return nil, nil
		}
		return moderated(ctx, v, r.Clock)
	})
	return &commentv1.ReportReviewResponse{}, err
}

// ReplyToReview sets the shop's reply to a review.
//
// Errors: invalid_argument, not_found (also if the caller is neither a member of the shop nor an operator), conflict,
// unavailable.
func (r *RPC) ReplyToReview(
	ctx context.Context, in *commentv1.ReplyToReviewRequest,
) (*commentv1.ReplyToReviewResponse, error) {
	text, err := clean("text", in.GetText(), true)
	if err == nil && weblink.In(text) {
		err = errs.InvalidField("text", "must not contain a web address")
	}
	if err != nil {
		return nil, err
	}
	v, err := r.Store.Get(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	if _, err := membership.CheckKnown(ctx, r.Shops, v.ShopID, noSuchReview()); err != nil {
		return nil, err
	}
	v, err = r.Store.Update(ctx, in.GetId(), func(v *Review) ([]event.Event, error) {
		switch {
		case v.Status != Published:
			return nil, noSuchReview()
		case text == "":
			v.Reply = nil
		case v.Reply == nil || v.Reply.Text != text:
			v.Reply = &Reply{Text: text, CreatedAt: r.Clock.Now()}
			e, err := event.New(ctx, subjectReplied, v.ID, 0, v.Reply.CreatedAt, &commentv1.ReviewReplied{
				ReviewId: v.ID, ProductId: v.ProductID, ShopId: v.ShopID, AuthorId: v.AuthorID,
			})
			return []event.Event{e}, err
		}
		return nil, nil
	})
	if err != nil {
		return nil, err
	}
	out, err := r.reviewToProto(ctx, v)
	return &commentv1.ReplyToReviewResponse{Review: out}, err
}

// ListReviewsToModerate lists reviews by status.
//
// Errors: invalid_argument (a made-up page token), unavailable.
func (r *RPC) ListReviewsToModerate(
	ctx context.Context, in *commentv1.ListReviewsToModerateRequest,
) (*commentv1.ListReviewsToModerateResponse, error) {
	status := Held
	if in.GetStatus() != "" {
		status = Status(in.GetStatus())
	}
	found, next, err := r.Store.Queue(ctx, status, in.GetPageSize(), in.GetPageToken())
	if err != nil {
		return nil, err
	}
	reviews, err := r.toModerate(ctx, found)
	return &commentv1.ListReviewsToModerateResponse{Reviews: reviews, NextPageToken: next}, err
}

// ModerateReview publishes or rejects a review.
//
// Errors: invalid_argument, not_found, conflict (the author has changed it since the operator saw it), unavailable.
func (r *RPC) ModerateReview(
	ctx context.Context, in *commentv1.ModerateReviewRequest,
) (*commentv1.ModerateReviewResponse, error) {
	reason, err := clean("reason", in.GetReason(), true)
	if err != nil {
		return nil, err
	}
	d := Decision{
		Publish: in.GetDecision() == "publish", Reason: reason,
		UserID: identity.FromContext(ctx).ID, CreatedAt: r.Clock.Now(),
	}
	v, err := r.Store.Update(ctx, in.GetId(), func(v *Review) ([]event.Event, error) {
		if in.UpdatedAt != nil && !in.GetUpdatedAt().AsTime().Equal(v.UpdatedAt) {
			return nil, errs.New(errs.Conflict, "the author has changed the review meanwhile")
		}
		before := v.Status
		if !v.moderate(d) || v.Status == before {
			return nil, nil
		}
		return moderated(ctx, v, r.Clock)
	})
	if err != nil {
		return nil, err
	}
	out, err := r.toModerate(ctx, []Review{v})
	if err != nil {
		return nil, err
	}
	return &commentv1.ModerateReviewResponse{Review: out[0]}, nil
}

// moderated returns the event that a review has another status.
func moderated(ctx context.Context, v *Review, c clock.Clock) ([]event.Event, error) {
	first := v.Status == Published && v.Unannounced
	v.Unannounced = v.Unannounced && !first
	e, err := event.New(ctx, subjectModerated, v.ID, 0, c.Now(), &commentv1.ReviewModerated{
		ReviewId: v.ID, ProductId: v.ProductID, ShopId: v.ShopID, AuthorId: v.AuthorID, Status: string(v.Status),
		FirstPublished: first,
	})
	return []event.Event{e}, err
}

// isMember reports whether a user is a member of a shop.
func (r *RPC) isMember(ctx context.Context, shopID, userID string) (bool, error) {
	res, err := r.Shops.CheckMembership(ctx, &shopv1.CheckMembershipRequest{ShopId: shopID, UserId: userID})
	return res.GetMember(), err
}

// names returns what reviews show of their authors' names, by user. An author without an account is not in it.
func (r *RPC) names(ctx context.Context, reviews []Review) (map[string]string, error) {
	in := &userv1.BatchGetUsersRequest{}
	for _, v := range reviews {
		if !slices.Contains(in.GetIds(), v.AuthorID) {
			in.Ids = append(in.Ids, v.AuthorID)
		}
	}
	names := make(map[string]string, len(in.GetIds()))
	if len(in.GetIds()) == 0 {
		return names, nil
	}
	res, err := r.Users.BatchGetUsers(ctx, in)
	for _, u := range res.GetUsers() {
		names[u.GetId()] = shortName(strings.TrimSpace(u.GetName()))
	}
	return names, err
}
