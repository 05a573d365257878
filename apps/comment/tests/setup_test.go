package tests

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"souk/apps/comment"
	commentv1 "souk/gen/go/souk/comment/v1"
	orderv1 "souk/gen/go/souk/order/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/identity"
	"souk/pkg/moduletest"
	"souk/pkg/permission"
	"souk/pkg/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	shopID  = "shp_00000000000000000000000000000001"
	product = "prd_00000000000000000000000000000001"
)

// harness is the comment service, fakes of the services that it calls, and a client of it as the gateway.
type harness struct {
	*moduletest.Service
	t       *testing.T
	others  *others
	comment commentv1.CommentServiceClient
}

func setup(t *testing.T, opts ...moduletest.Option) *harness {
	t.Helper()
	o := &others{bought: map[string]bool{}, members: map[string]bool{}, names: map[string]string{}}
	s := moduletest.Start(t, comment.Module, append([]moduletest.Option{
		moduletest.Fake(
			"order",
			func(r grpc.ServiceRegistrar) { orderv1.RegisterOrderServiceServer(r, orders{others: o}) },
		),
		moduletest.Fake(
			"shop",
			func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, shops{others: o}) },
		),
		moduletest.Fake(
			"user",
			func(r grpc.ServiceRegistrar) { userv1.RegisterUserServiceServer(r, users{others: o}) },
		),
	}, opts...)...)
	return &harness{Service: s, t: t, others: o, comment: commentv1.NewCommentServiceClient(s.Client("gateway"))}
}

// others are what fakes of other services know.
type others struct {
	mu      sync.Mutex
	bought  map[string]bool   // customer and product
	members map[string]bool   // of the shop
	names   map[string]string // of users
}

type orders struct {
	orderv1.UnimplementedOrderServiceServer
	*others
}

func (o orders) FindPurchase(
	_ context.Context, in *orderv1.FindPurchaseRequest,
) (*orderv1.FindPurchaseResponse, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.bought[in.GetCustomerId()+in.GetProductId()] {
		return &orderv1.FindPurchaseResponse{}, nil
	}
	return &orderv1.FindPurchaseResponse{Purchased: true, ShopId: shopID}, nil
}

type shops struct {
	shopv1.UnimplementedShopServiceServer
	*others
}

func (s shops) CheckMembership(
	_ context.Context, in *shopv1.CheckMembershipRequest,
) (*shopv1.CheckMembershipResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if in.GetShopId() != shopID {
		return &shopv1.CheckMembershipResponse{}, nil
	}
	return &shopv1.CheckMembershipResponse{ShopId: shopID, Member: s.members[in.GetUserId()]}, nil
}

type users struct {
	userv1.UnimplementedUserServiceServer
	*others
}

func (u users) BatchGetUsers(
	_ context.Context, in *userv1.BatchGetUsersRequest,
) (*userv1.BatchGetUsersResponse, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := &userv1.BatchGetUsersResponse{}
	for _, userID := range in.GetIds() {
		if name, ok := u.names[userID]; ok {
			out.Users = append(out.Users, &userv1.User{Id: userID, Name: name})
		}
	}
	return out, nil
}

// buyer returns a customer who has bought the products, or the product without any.
func (h *harness) buyer(products ...string) string {
	userID := id.New(id.User)
	if len(products) == 0 {
		products = []string{product}
	}
	h.others.mu.Lock()
	defer h.others.mu.Unlock()
	h.others.names[userID] = "Ana Souza"
	for _, p := range products {
		h.others.bought[userID+p] = true
	}
	return userID
}

func (h *harness) operator() context.Context {
	return h.AsUser(id.New(id.User), permission.RoleOperator)
}

func (h *harness) post(userID, productID string, rating int32, text string) (*commentv1.Review, error) {
	res, err := h.comment.PostReview(h.AsUser(userID),
		&commentv1.PostReviewRequest{ProductId: productID, Rating: rating, Text: text})
	return res.GetReview(), err
}

func (h *harness) posted(userID string, rating int32, text string) *commentv1.Review {
	h.t.Helper()
	v, err := h.post(userID, product, rating, text)
	require.NoError(h.t, err)
	return v
}

func (h *harness) edit(userID string, in *commentv1.UpdateReviewRequest) *commentv1.Review {
	h.t.Helper()
	res, err := h.comment.UpdateReview(h.AsUser(userID), in)
	require.NoError(h.t, err)
	return res.GetReview()
}

func (h *harness) get(ctx context.Context, reviewID string) (*commentv1.Review, error) {
	res, err := h.comment.GetReview(ctx, &commentv1.GetReviewRequest{Id: reviewID})
	return res.GetReview(), err
}

func (h *harness) list(in *commentv1.ListReviewsRequest) *commentv1.ListReviewsResponse {
	h.t.Helper()
	if in.ProductId == "" {
		in.ProductId = product
	}
	res, err := h.comment.ListReviews(h.As(identity.Anonymous()), in)
	require.NoError(h.t, err)
	return res
}

func (h *harness) remove(userID, reviewID string) {
	h.t.Helper()
	_, err := h.comment.DeleteReview(h.AsUser(userID), &commentv1.DeleteReviewRequest{Id: reviewID})
	require.NoError(h.t, err)
}

func (h *harness) moderate(reviewID, decision string) *commentv1.ReviewToModerate {
	h.t.Helper()
	res, err := h.comment.ModerateReview(h.operator(),
		&commentv1.ModerateReviewRequest{Id: reviewID, Decision: decision})
	require.NoError(h.t, err)
	return res.GetReview()
}

// requireStars waits until the product has numbers of stars, from one to five.
func (h *harness) requireStars(want ...int32) {
	h.t.Helper()
	var got []int32
	waittest.Until(h.t, func() bool {
		summary := h.list(&commentv1.ListReviewsRequest{}).GetSummary()
		got = got[:0]
		for i := range 5 {
			got = append(got, summary.GetHistogram()[fmt.Sprint(i+1)])
		}
		return fmt.Sprint(got) == fmt.Sprint(want)
	}, "the product has not the stars %v", want)
	h.requireConsistent()
}

func (h *harness) requireConsistent() {
	h.t.Helper()
	findings, err := comment.Module.Verify(h.t.Context(), h.Pool)
	require.NoError(h.t, err)
	require.GreaterOrEqual(h.t, len(findings), 4)
	for _, f := range findings {
		require.Zero(h.t, f.Wrong, "%+v", f)
	}
}

func requireCode(t *testing.T, want errs.Code, err error) {
	t.Helper()
	require.Equal(t, want, errs.CodeOf(err), "%v", err)
}
