package tests

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	cartv1 "souk/gen/go/souk/cart/v1"
	moneyv1 "souk/gen/go/souk/money/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/cohort"
	"souk/pkg/errs"
)

// world stands for the other services, at the boundary of their clients. It keeps what their contracts
// promise: every call is idempotent by the order, an undo of what never came leaves a tombstone.
type world struct {
	mu       sync.Mutex
	carts    map[string][]*cartv1.Line
	offers   map[string]*productv1.Offer
	onHand   map[string]int64
	reserved map[string]int64
	// stock is held, committed, released or restocked, by order.
	stock map[string]string
	lines map[string][]*productv1.Line
	money map[string]*paymentv1.Payment
	// moved counts what happened, not what was asked: "capture", "refund" …
	moved   map[string]int
	cleared map[string]bool
	// asked counts calls.
	asked   map[string]int
	members map[string]bool // "shop/user"
	// cohort is the largest that came to reserve.
	cohort int
	// fail makes calls fail: by method, an error for each time.
	fail map[string][]error
	// before is called before each call, without the lock.
	before func(method string)
}

func newWorld() *world {
	return &world{
		carts: map[string][]*cartv1.Line{}, offers: map[string]*productv1.Offer{}, onHand: map[string]int64{}, reserved: map[string]int64{},
		stock: map[string]string{}, lines: map[string][]*productv1.Line{}, money: map[string]*paymentv1.Payment{},
		moved: map[string]int{}, cleared: map[string]bool{}, asked: map[string]int{}, members: map[string]bool{}, fail: map[string][]error{},
	}
}

// offer puts a variant on sale.
func (w *world) offer(variantID, shopID, price string, onHand int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offers[variantID] = &productv1.Offer{
		VariantId: variantID, ProductId: "prd_" + variantID, ShopId: shopID, ShopName: "The shop " + shopID, Title: "<b>Thing</b> " + variantID,
		Sku: "SKU-" + variantID, Options: map[string]string{"Size": "M"}, Price: &moneyv1.Money{CurrencyCode: "BRL", Amount: price}, ForSale: true,
	}
	w.onHand[variantID] = onHand
}

func (w *world) fill(owner string, lines ...*cartv1.Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.carts[owner] = lines
}

func line(variantID string, quantity int64) *cartv1.Line {
	return &cartv1.Line{VariantId: variantID, Quantity: quantity}
}

// enter counts the call, and fails it when the test wants that. It returns with the lock held when it does not fail.
func (w *world) enter(method string) error {
	if w.before != nil {
		w.before(method)
	}
	w.mu.Lock()
	w.asked[method]++
	if f := w.fail[method]; len(f) > 0 {
		w.fail[method] = f[1:]
		if f[0] != nil {
			w.mu.Unlock()
			return f[0]
		}
	}
	return nil
}

func (w *world) count(m map[string]int, key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return m[key]
}

func (w *world) GetLines(_ context.Context, r *cartv1.GetLinesRequest, _ ...grpc.CallOption) (*cartv1.GetLinesResponse, error) {
	if err := w.enter("GetLines"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	return &cartv1.GetLinesResponse{Lines: w.carts[r.GetOwnerId()]}, nil
}

func (w *world) RemoveOrdered(_ context.Context, r *cartv1.RemoveOrderedRequest, _ ...grpc.CallOption) (*cartv1.RemoveOrderedResponse, error) {
	if err := w.enter("RemoveOrdered"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	if !w.cleared[r.GetOrderId()] {
		w.cleared[r.GetOrderId()] = true
		w.moved["clear"]++
		delete(w.carts, r.GetOwnerId())
	}
	return &cartv1.RemoveOrderedResponse{}, nil
}

func (w *world) BatchGetVariants(_ context.Context, r *productv1.BatchGetVariantsRequest, _ ...grpc.CallOption) (*productv1.BatchGetVariantsResponse, error) {
	if err := w.enter("BatchGetVariants"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	out := &productv1.BatchGetVariantsResponse{}
	for _, v := range r.GetVariantIds() {
		if o := w.offers[v]; o != nil {
			out.Offers = append(out.Offers, &productv1.Offer{
				VariantId: o.GetVariantId(), ProductId: o.GetProductId(), ShopId: o.GetShopId(), ShopName: o.GetShopName(), Title: o.GetTitle(),
				Sku: o.GetSku(), Options: o.GetOptions(), Price: o.GetPrice(), ForSale: o.GetForSale(), Available: w.onHand[v] - w.reserved[v],
			})
		}
	}
	return out, nil
}

func (w *world) ReserveInventory(ctx context.Context, r *productv1.ReserveInventoryRequest, _ ...grpc.CallOption) (*productv1.ReserveInventoryResponse, error) {
	if err := w.enter("ReserveInventory"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	w.cohort = max(w.cohort, cohort.From(ctx).Size)
	switch w.stock[r.GetOrderId()] {
	case "held", "committed":
		return &productv1.ReserveInventoryResponse{}, nil
	case "released":
		return nil, errs.New(errs.Conflict, "the reservation was released")
	}
	for _, l := range r.GetLines() {
		if w.onHand[l.GetVariantId()]-w.reserved[l.GetVariantId()] < l.GetQuantity() {
			return nil, errs.New(errs.OutOfStock, "an item is out of stock")
		}
	}
	for _, l := range r.GetLines() {
		w.reserved[l.GetVariantId()] += l.GetQuantity()
	}
	w.stock[r.GetOrderId()], w.lines[r.GetOrderId()] = "held", r.GetLines()
	w.moved["reserve"]++
	return &productv1.ReserveInventoryResponse{}, nil
}

func (w *world) ReleaseInventory(_ context.Context, r *productv1.ReleaseInventoryRequest, _ ...grpc.CallOption) (*productv1.ReleaseInventoryResponse, error) {
	if err := w.enter("ReleaseInventory"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	if w.stock[r.GetOrderId()] == "held" {
		for _, l := range w.lines[r.GetOrderId()] {
			w.reserved[l.GetVariantId()] -= l.GetQuantity()
		}
	}
	w.stock[r.GetOrderId()] = "released"
	return &productv1.ReleaseInventoryResponse{}, nil
}

func (w *world) CommitInventory(_ context.Context, r *productv1.CommitInventoryRequest, _ ...grpc.CallOption) (*productv1.CommitInventoryResponse, error) {
	if err := w.enter("CommitInventory"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	if w.stock[r.GetOrderId()] == "held" {
		w.stock[r.GetOrderId()] = "committed"
		w.moved["commit"]++
		for _, l := range w.lines[r.GetOrderId()] {
			w.reserved[l.GetVariantId()] -= l.GetQuantity()
			w.onHand[l.GetVariantId()] -= l.GetQuantity()
		}
	}
	return &productv1.CommitInventoryResponse{}, nil
}

func (w *world) RestockInventory(_ context.Context, r *productv1.RestockInventoryRequest, _ ...grpc.CallOption) (*productv1.RestockInventoryResponse, error) {
	if err := w.enter("RestockInventory"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	switch w.stock[r.GetOrderId()] {
	case "committed":
		w.stock[r.GetOrderId()] = "restocked"
		for _, l := range w.lines[r.GetOrderId()] {
			w.onHand[l.GetVariantId()] += l.GetQuantity()
		}
	case "restocked":
	default:
		return nil, errs.New(errs.Conflict, "the reservation was not committed")
	}
	return &productv1.RestockInventoryResponse{}, nil
}

func (w *world) Authorize(_ context.Context, r *paymentv1.AuthorizeRequest, _ ...grpc.CallOption) (*paymentv1.AuthorizeResponse, error) {
	if err := w.enter("Authorize"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	p := w.money[r.GetOrderId()]
	if p == nil {
		p = &paymentv1.Payment{Id: "pay_" + r.GetOrderId(), OrderId: r.GetOrderId(), Status: "authorized", Method: r.GetMethod(), Amount: r.GetAmount()}
		switch r.GetToken() {
		case "tok_declined", "tok_insufficient_funds":
			p.Status = "failed"
		default:
			w.moved["authorize"]++
		}
		w.money[r.GetOrderId()] = p
	}
	switch p.GetStatus() {
	case "failed":
		return nil, errs.New(errs.PaymentDeclined, "the payment was declined")
	case "voided":
		return nil, errs.New(errs.Conflict, "the payment was given up")
	}
	return &paymentv1.AuthorizeResponse{Payment: p}, nil
}

func (w *world) Capture(_ context.Context, r *paymentv1.CaptureRequest, _ ...grpc.CallOption) (*paymentv1.CaptureResponse, error) {
	if err := w.enter("Capture"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	p := w.money[r.GetOrderId()]
	if p.GetStatus() == "authorized" {
		p.Status = "captured"
		w.moved["capture"]++
	}
	return &paymentv1.CaptureResponse{Payment: p}, nil
}

func (w *world) Void(_ context.Context, r *paymentv1.VoidRequest, _ ...grpc.CallOption) (*paymentv1.VoidResponse, error) {
	if err := w.enter("Void"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	p := w.money[r.GetOrderId()]
	switch p.GetStatus() {
	case "":
		p = &paymentv1.Payment{OrderId: r.GetOrderId(), Status: "voided"}
		w.money[r.GetOrderId()] = p
	case "authorized":
		p.Status = "voided"
	case "captured", "refunded":
		return nil, errs.New(errs.Conflict, "the payment was captured")
	}
	return &paymentv1.VoidResponse{Payment: p}, nil
}

func (w *world) AdoptPayments(_ context.Context, r *paymentv1.AdoptPaymentsRequest, _ ...grpc.CallOption) (*paymentv1.AdoptPaymentsResponse, error) {
	if err := w.enter("AdoptPayments"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	for _, id := range r.GetOrderIds() {
		w.moved["adopt "+id+" from "+r.GetGuestId()+" to "+r.GetUserId()]++
	}
	return &paymentv1.AdoptPaymentsResponse{}, nil
}

func (w *world) Refund(_ context.Context, r *paymentv1.RefundRequest, _ ...grpc.CallOption) (*paymentv1.RefundResponse, error) {
	if err := w.enter("Refund"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	p := w.money[r.GetOrderId()]
	if p.GetStatus() == "captured" {
		p.Status = "refunded"
		w.moved["refund"]++
	}
	return &paymentv1.RefundResponse{Payment: p}, nil
}

func (w *world) CheckMembership(_ context.Context, r *shopv1.CheckMembershipRequest, _ ...grpc.CallOption) (*shopv1.CheckMembershipResponse, error) {
	if err := w.enter("CheckMembership"); err != nil {
		return nil, err
	}
	defer w.mu.Unlock()
	return &shopv1.CheckMembershipResponse{ShopId: r.GetShopId(), Member: w.members[r.GetShopId()+"/"+r.GetUserId()]}, nil
}
