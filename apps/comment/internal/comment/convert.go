package comment

import (
	"cmp"
	"context"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	commentv1 "souk/gen/go/souk/comment/v1"
)

func (r *RPC) reviewToProto(ctx context.Context, v Review) (*commentv1.Review, error) {
	out, err := r.toProtos(ctx, []Review{v})
	if err != nil {
		return nil, err
	}
	return out[0], nil
}

func (r *RPC) toProtos(ctx context.Context, reviews []Review) ([]*commentv1.Review, error) {
	names, err := r.names(ctx, reviews)
	if err != nil {
		return nil, err
	}
	out := make([]*commentv1.Review, len(reviews))
	for i, v := range reviews {
		out[i] = v.toProto(cmp.Or(names[v.AuthorID], noName))
	}
	return out, nil
}

func (r *RPC) toModerate(ctx context.Context, reviews []Review) ([]*commentv1.ReviewToModerate, error) {
	shown, err := r.toProtos(ctx, reviews)
	if err != nil {
		return nil, err
	}
	out := make([]*commentv1.ReviewToModerate, len(reviews))
	for i, v := range reviews {
		out[i] = &commentv1.ReviewToModerate{Review: shown[i], AuthorId: v.AuthorID, HoldReasons: v.HoldReasons}
		for _, report := range v.Reports {
			out[i].Reports = append(out[i].Reports, &commentv1.Report{
				UserId: report.UserID, Reason: report.Reason, CreatedAt: timestamppb.New(report.CreatedAt),
			})
		}
		if d := v.Decision; d != nil {
			decision := "reject"
			if d.Publish {
				decision = "publish"
			}
			out[i].Decision = &commentv1.Decision{
				Decision: decision, Reason: d.Reason, UserId: d.UserID, CreatedAt: timestamppb.New(d.CreatedAt),
			}
		}
	}
	return out, nil
}

func (v Review) toProto(authorName string) *commentv1.Review {
	out := &commentv1.Review{
		Id:               v.ID,
		ProductId:        v.ProductID,
		ShopId:           v.ShopID,
		Rating:           int32(v.Rating),
		Title:            v.Title,
		Text:             v.Text,
		AuthorName:       authorName,
		VerifiedPurchase: v.VerifiedPurchase,
		HelpfulCount:     int32(v.Helpful),
		Status:           string(v.Status),
		CreatedAt:        timestamppb.New(v.CreatedAt),
		UpdatedAt:        timestamppb.New(v.UpdatedAt),
	}
	if v.Reply != nil {
		out.Reply = &commentv1.Reply{Text: v.Reply.Text, CreatedAt: timestamppb.New(v.Reply.CreatedAt)}
	}
	return out
}

func (r Rating) toProto() *commentv1.Summary {
	out := &commentv1.Summary{
		Average: r.Average(), Count: int32(r.Count()), Histogram: map[string]int32{}, //nolint:gosec // far fewer
	}
	for i, n := range r.Stars {
		out.Histogram[strconv.Itoa(i+1)] = int32(n) //nolint:gosec // far fewer
	}
	return out
}
