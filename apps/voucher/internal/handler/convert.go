package handler

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"souk/apps/voucher/internal/domain"
	"souk/apps/voucher/internal/service"
	moneyv1 "souk/gen/go/souk/money/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
)

// termsMessage is what the requests to create and to update a voucher have in common.
type termsMessage interface {
	GetAmount() *moneyv1.Money
	GetConditions() *voucherv1.VoucherConditions
	GetLimits() *voucherv1.VoucherLimits
}

// newMessage is a request to create a voucher.
type newMessage interface {
	termsMessage
	GetCode() string
	GetTitle() string
	GetKind() string
	GetPercent() string
	GetBuyQuantity() int64
	GetGetQuantity() int64
	GetStackable() bool
	GetOperatorShare() string
	GetStatus() string
}

func newFromProto(r newMessage, startsAt, endsAt *timestamppb.Timestamp) (service.NewVoucher, error) {
	c, err := changeFromProto(r, startsAt, endsAt)
	if err != nil {
		return service.NewVoucher{}, err
	}
	c.Title, c.Percent, c.Stackable = new(r.GetTitle()), new(r.GetPercent()), new(r.GetStackable())
	c.BuyQuantity, c.GetQuantity = new(r.GetBuyQuantity()), new(r.GetGetQuantity())
	if r.GetOperatorShare() != "" {
		c.OperatorShare = new(r.GetOperatorShare())
	}
	if r.GetStatus() != "" {
		c.State = new(domain.Status(r.GetStatus()))
	}
	return service.NewVoucher{Code: r.GetCode(), Kind: domain.Kind(r.GetKind()), Change: c}, nil
}

// changeFromProto returns a change with the terms of a request.
//
// Errors: invalid_argument.
func changeFromProto(r termsMessage, startsAt, endsAt *timestamppb.Timestamp) (domain.Change, error) {
	var c domain.Change
	if r.GetAmount() != nil {
		m, err := money.FromField("amount", r.GetAmount())
		if err != nil {
			return c, err
		}
		c.Amount = &m
	}
	if p := r.GetConditions(); p != nil {
		minimum, err := money.FromField("conditions.minSubtotal", p.GetMinSubtotal())
		if err != nil {
			return c, err
		}
		c.Conditions = &domain.Conditions{
			MinSubtotal: minimum, ProductIDs: p.GetProductIds(), CategoryIDs: p.GetCategoryIds(),
			FirstOrderOnly: p.GetFirstOrderOnly(),
		}
	}
	if p := r.GetLimits(); p != nil {
		budget, err := money.FromField("limits.budget", p.GetBudget())
		if err != nil {
			return c, err
		}
		c.Limits = &domain.Limits{Uses: p.GetUses(), UsesPerCustomer: p.GetUsesPerCustomer(), Budget: budget}
	}
	for _, t := range []struct {
		path string
		p    *timestamppb.Timestamp
	}{{"startsAt", startsAt}, {"endsAt", endsAt}} {
		if t.p != nil && (!t.p.IsValid() || t.p.AsTime().Year() < 2000 || t.p.AsTime().Year() > 9999) {
			return c, errs.InvalidField(t.path, "must be a time between the years 2000 and 9999")
		}
	}
	if startsAt != nil {
		c.StartsAt = new(startsAt.AsTime())
	}
	if endsAt != nil {
		c.EndsAt = new(endsAt.AsTime())
	}
	return c, nil
}

func (h *RPC) toProto(v domain.Voucher) *voucherv1.Voucher {
	out := &voucherv1.Voucher{
		Id: v.ID, ShopId: v.ShopID, Code: v.Code, Title: v.Title, Kind: string(v.Kind),
		Amount: orAbsent(v.Amount, v.Currency), BuyQuantity: v.BuyQuantity, GetQuantity: v.GetQuantity,
		Conditions: &voucherv1.VoucherConditions{
			MinSubtotal: orAbsent(v.MinSubtotal, v.Currency), ProductIds: v.ProductIDs, CategoryIds: v.CategoryIDs,
			FirstOrderOnly: v.FirstOrderOnly,
		},
		StartsAt: timestamppb.New(v.StartsAt),
		Limits: &voucherv1.VoucherLimits{
			Uses: v.MaxUses, UsesPerCustomer: v.MaxUsesPerCustomer, Budget: orAbsent(v.Budget, v.Currency),
		},
		Stackable: v.Stackable, OperatorShare: fmt.Sprintf("%d.%02d", v.OperatorShare/100, v.OperatorShare%100),
		Status: string(h.service.Status(v)), Used: v.Used,
		CreatedAt: timestamppb.New(v.CreatedAt), UpdatedAt: timestamppb.New(v.UpdatedAt),
	}
	if v.Kind == domain.Percent {
		out.Percent = domain.FormatPercent(v.Percent)
	}
	if v.EndsAt != nil {
		out.EndsAt = timestamppb.New(*v.EndsAt)
	}
	var spent []*moneyv1.Money // in the voucher's own currency first
	if v.Currency != "" {
		spent = append(spent, money.New(v.Spent[v.Currency], v.Currency).ToProto())
	}
	var others []money.Currency
	for c, n := range v.Spent {
		if c != v.Currency && n > 0 {
			others = append(others, c)
		}
	}
	slices.Sort(others)
	for _, c := range others {
		spent = append(spent, money.New(v.Spent[c], c).ToProto())
	}
	if len(spent) > 0 {
		out.Spent, out.SpentElsewhere = spent[0], spent[1:]
	}
	return out
}

func orAbsent(minor int64, c money.Currency) *moneyv1.Money {
	if minor == 0 {
		return nil
	}
	return money.New(minor, c).ToProto()
}

func customerFromProto(c *voucherv1.VoucherCustomer) domain.Customer {
	return domain.Customer{ID: c.GetCustomerId(), Mailbox: c.GetMailbox(), FirstOrder: c.GetFirstOrder()}
}

func evaluationToProto(
	applied []domain.Applied, rejected []domain.Rejected, c domain.Cart,
) *voucherv1.EvaluateVouchersResponse {
	currency := c.Lines[0].UnitPrice.Currency()
	res := &voucherv1.EvaluateVouchersResponse{}
	discounts := func(all []domain.Discount) []*voucherv1.EvaluatedDiscount {
		var out []*voucherv1.EvaluatedDiscount
		for i, d := range all {
			if d.Amount > 0 {
				out = append(out, &voucherv1.EvaluatedDiscount{
					Index:          int32(i), //nolint:gosec // a cart has at most 500 lines
					Amount:         money.New(d.Amount, currency).ToProto(),
					OperatorAmount: money.New(d.Operator, currency).ToProto(),
				})
			}
		}
		return out
	}
	for _, a := range applied {
		res.Vouchers = append(res.Vouchers, &voucherv1.EvaluatedVoucher{
			VoucherId: a.Voucher.ID, CodeIndex: int32(a.CodeIndex), //nolint:gosec // there are at most 10 codes
			Code: a.Voucher.Code, Title: a.Voucher.Title, Reason: a.Voucher.Describe(), ShopId: a.Voucher.ShopID,
			Lines: discounts(a.Lines), Shipping: discounts(a.Shipping),
		})
	}
	for _, r := range rejected {
		res.Rejected = append(res.Rejected, &voucherv1.RejectedCode{
			CodeIndex: int32(r.CodeIndex), //nolint:gosec // there are at most 10 codes
			Reason:    string(r.Reason), Detail: r.Detail,
		})
	}
	return res
}
