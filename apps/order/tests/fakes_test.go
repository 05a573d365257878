package tests

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	addressv1 "souk/gen/go/souk/address/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	moneyv1 "souk/gen/go/souk/money/v1"
	paymentv1 "souk/gen/go/souk/payment/v1"
	productv1 "souk/gen/go/souk/product/v1"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	voucherv1 "souk/gen/go/souk/voucher/v1"
	"souk/pkg/errs"
	"souk/pkg/moduletest"
	"souk/pkg/money"
)

// fakes serves the contracts of the other services. It keeps their promises: every call is idempotent per order, and an
// undo without a do leaves a tombstone.
type fakes struct {
	cartv1.UnimplementedCartServiceServer
	productv1.UnimplementedProductServiceServer
	paymentv1.UnimplementedPaymentServiceServer
	shopv1.UnimplementedShopServiceServer
	userv1.UnimplementedUserServiceServer
	addressv1.UnimplementedAddressServiceServer
	voucherv1.UnimplementedVoucherServiceServer

	mu       sync.Mutex
	carts    map[string][]*cartv1.Line
	offers   map[string]*productv1.Offer
	onHand   map[string]int64
	reserved map[string]int64
	// stock is held, committed, released or restocked, by order.
	stock map[string]string
	lines map[string][]*productv1.Line
	money map[string]*paymentv1.Payment
	// refunds are the keys of refunds, "order/key", and givenBack is what was refunded or waived, by order, in minor
	// units. back are the lines that were restocked, "order/variant".
	refunds   map[string]bool
	givenBack map[string]int64
	back      map[string]bool
	// moved counts effects, not calls: "capture", "refund" …
	moved   map[string]int
	cleared map[string]bool
	// versions are the carts' versions, ordered the orders that have left them, and guests those merged into them.
	versions map[string]int64
	ordered  map[string][]string
	guests   map[string][]string
	// currency is that of all carts.
	currency string
	// asked counts calls, by method.
	asked   map[string]int
	members map[string]bool // "shop/user"
	// book holds the addresses of users, "user/address".
	book map[string]*addressv1.Address
	// redeemed is redeemed or released, by order.
	redeemed map[string]string
	// fail holds, by method, the errors of the next calls; nil lets a call succeed.
	fail map[string][]error
	// before, if set, is called before each call, without the lock.
	before func(method string)
}

func newFakes() *fakes {
	return &fakes{
		carts: map[string][]*cartv1.Line{}, offers: map[string]*productv1.Offer{},
		onHand: map[string]int64{}, reserved: map[string]int64{}, stock: map[string]string{},
		lines: map[string][]*productv1.Line{}, money: map[string]*paymentv1.Payment{}, moved: map[string]int{},
		refunds: map[string]bool{}, givenBack: map[string]int64{}, back: map[string]bool{},
		cleared: map[string]bool{}, versions: map[string]int64{}, ordered: map[string][]string{},
		guests: map[string][]string{}, asked: map[string]int{}, members: map[string]bool{},
		book: map[string]*addressv1.Address{}, redeemed: map[string]string{}, fail: map[string][]error{},
	}
}

// register is an option of moduletest.Start for each faked service.
func (f *fakes) register() []moduletest.Option {
	return []moduletest.Option{
		moduletest.Fake("cart", func(r grpc.ServiceRegistrar) { cartv1.RegisterCartServiceServer(r, f) }),
		moduletest.Fake("product", func(r grpc.ServiceRegistrar) { productv1.RegisterProductServiceServer(r, f) }),
		moduletest.Fake("payment", func(r grpc.ServiceRegistrar) { paymentv1.RegisterPaymentServiceServer(r, f) }),
		moduletest.Fake("user", func(r grpc.ServiceRegistrar) { userv1.RegisterUserServiceServer(r, f) }),
		moduletest.Fake("address", func(r grpc.ServiceRegistrar) { addressv1.RegisterAddressServiceServer(r, f) }),
		moduletest.Fake("voucher", func(r grpc.ServiceRegistrar) { voucherv1.RegisterVoucherServiceServer(r, f) }),
		moduletest.Fake("shop", func(r grpc.ServiceRegistrar) { shopv1.RegisterShopServiceServer(r, f) }),
	}
}

// offer puts a variant on sale.
func (f *fakes) offer(variantID, shopID, price string, onHand int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.offers[variantID] = &productv1.Offer{
		VariantId: variantID, ProductId: "prd_" + variantID, ShopId: shopID, ShopName: "The shop " + shopID,
		Title: "<b>Thing</b> " + variantID, Sku: "SKU-" + variantID, Options: map[string]string{"Size": "M"},
		Price: &moneyv1.Money{CurrencyCode: "BRL", Amount: price}, ForSale: true,
	}
	f.onHand[variantID] = onHand
}

func (f *fakes) fill(owner string, lines ...*cartv1.Line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.carts[owner] = lines
	f.versions[owner]++
}

func line(variantID string, quantity int64) *cartv1.Line {
	return &cartv1.Line{VariantId: variantID, Quantity: quantity}
}

// enter counts the call, and returns the next error of fail for it. If it returns nil, the lock is held.
func (f *fakes) enter(method string) error {
	if f.before != nil {
		f.before(method)
	}
	f.mu.Lock()
	f.asked[method]++
	if failures := f.fail[method]; len(failures) > 0 {
		f.fail[method] = failures[1:]
		if failures[0] != nil {
			f.mu.Unlock()
			return failures[0]
		}
	}
	return nil
}

func (f *fakes) count(m map[string]int, key string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return m[key]
}

func (f *fakes) GetLines(_ context.Context, r *cartv1.GetLinesRequest) (*cartv1.GetLinesResponse, error) {
	if err := f.enter("GetLines"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	owner := r.GetOwnerId()
	return &cartv1.GetLinesResponse{
		Lines: f.carts[owner], Version: f.versions[owner], Currency: f.currency,
		OwnerIds: append([]string{owner}, f.guests[owner]...), OrderedIds: slices.Clone(f.ordered[owner]),
	}, nil
}

func (f *fakes) RemoveOrdered(
	_ context.Context, r *cartv1.RemoveOrderedRequest,
) (*cartv1.RemoveOrderedResponse, error) {
	if err := f.enter("RemoveOrdered"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	if !f.cleared[r.GetOrderId()] {
		f.cleared[r.GetOrderId()] = true
		f.moved["clear"]++
		delete(f.carts, r.GetOwnerId())
		f.versions[r.GetOwnerId()]++
		f.ordered[r.GetOwnerId()] = append(f.ordered[r.GetOwnerId()], r.GetOrderId())
	}
	return &cartv1.RemoveOrderedResponse{}, nil
}

func (f *fakes) BatchGetVariants(
	_ context.Context, r *productv1.BatchGetVariantsRequest,
) (*productv1.BatchGetVariantsResponse, error) {
	if err := f.enter("BatchGetVariants"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	out := &productv1.BatchGetVariantsResponse{}
	for _, v := range r.GetVariantIds() {
		if o := f.offers[v]; o != nil {
			o = proto.CloneOf(o)
			o.Available = f.onHand[v] - f.reserved[v]
			out.Offers = append(out.Offers, o)
		}
	}
	return out, nil
}

func (f *fakes) ReserveInventory(
	_ context.Context, r *productv1.ReserveInventoryRequest,
) (*productv1.ReserveInventoryResponse, error) {
	if err := f.enter("ReserveInventory"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	switch f.stock[r.GetOrderId()] {
	case "held", "committed":
		return &productv1.ReserveInventoryResponse{}, nil
	case "released":
		return nil, errs.New(errs.Conflict, "the reservation was released")
	}
	for _, l := range r.GetLines() {
		if f.onHand[l.GetVariantId()]-f.reserved[l.GetVariantId()] < l.GetQuantity() {
			return nil, errs.New(errs.OutOfStock, "an item is out of stock")
		}
	}
	for _, l := range r.GetLines() {
		f.reserved[l.GetVariantId()] += l.GetQuantity()
	}
	f.stock[r.GetOrderId()], f.lines[r.GetOrderId()] = "held", r.GetLines()
	f.moved["reserve"]++
	return &productv1.ReserveInventoryResponse{}, nil
}

func (f *fakes) ReleaseInventory(
	_ context.Context, r *productv1.ReleaseInventoryRequest,
) (*productv1.ReleaseInventoryResponse, error) {
	if err := f.enter("ReleaseInventory"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	switch f.stock[r.GetOrderId()] {
	case "committed", "restocked":
		return nil, errs.New(errs.Conflict, "the pieces are sold")
	case "held":
		for _, l := range f.lines[r.GetOrderId()] {
			f.reserved[l.GetVariantId()] -= l.GetQuantity()
		}
	}
	f.stock[r.GetOrderId()] = "released"
	return &productv1.ReleaseInventoryResponse{}, nil
}

func (f *fakes) CommitInventory(
	_ context.Context, r *productv1.CommitInventoryRequest,
) (*productv1.CommitInventoryResponse, error) {
	if err := f.enter("CommitInventory"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	if f.stock[r.GetOrderId()] == "held" {
		f.stock[r.GetOrderId()] = "committed"
		f.moved["commit"]++
		for _, l := range f.lines[r.GetOrderId()] {
			f.reserved[l.GetVariantId()] -= l.GetQuantity()
			f.onHand[l.GetVariantId()] -= l.GetQuantity()
		}
	}
	return &productv1.CommitInventoryResponse{}, nil
}

func (f *fakes) RestockInventory(
	_ context.Context, r *productv1.RestockInventoryRequest,
) (*productv1.RestockInventoryResponse, error) {
	if err := f.enter("RestockInventory"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	state := f.stock[r.GetOrderId()]
	if state != "committed" && state != "restocked" {
		return nil, errs.New(errs.Conflict, "the reservation was not committed")
	}
	left := false
	for _, l := range f.lines[r.GetOrderId()] {
		key := r.GetOrderId() + "/" + l.GetVariantId()
		switch {
		case f.back[key]:
		case len(r.GetVariantIds()) > 0 && !slices.Contains(r.GetVariantIds(), l.GetVariantId()):
			left = true
		default:
			f.back[key] = true
			f.onHand[l.GetVariantId()] += l.GetQuantity()
		}
	}
	if !left {
		f.stock[r.GetOrderId()] = "restocked"
	}
	return &productv1.RestockInventoryResponse{}, nil
}

func (f *fakes) Authorize(_ context.Context, r *paymentv1.AuthorizeRequest) (*paymentv1.AuthorizeResponse, error) {
	if err := f.enter("Authorize"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	p := f.money[r.GetOrderId()]
	if p == nil {
		p = &paymentv1.Payment{
			Id: "pay_" + r.GetOrderId(), OrderId: r.GetOrderId(), Status: "authorized", Method: r.GetMethod(),
			Amount: r.GetAmount(), Version: 2,
		}
		switch r.GetToken() {
		case "tok_declined", "tok_insufficient_funds":
			p.Status = "failed"
		default:
			f.moved["authorize"]++
		}
		f.money[r.GetOrderId()] = p
	}
	switch p.GetStatus() {
	case "failed":
		return nil, errs.New(errs.PaymentDeclined, "the payment was declined")
	case "voided":
		return nil, errs.New(errs.Conflict, "the payment was given up")
	}
	return &paymentv1.AuthorizeResponse{Payment: proto.CloneOf(p)}, nil
}

func (f *fakes) Capture(_ context.Context, r *paymentv1.CaptureRequest) (*paymentv1.CaptureResponse, error) {
	if err := f.enter("Capture"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	p := f.money[r.GetOrderId()]
	if p.GetStatus() == "authorized" {
		p.Status = "captured"
		p.Version++
		f.moved["capture"]++
	}
	return &paymentv1.CaptureResponse{Payment: proto.CloneOf(p)}, nil
}

func (f *fakes) Void(_ context.Context, r *paymentv1.VoidRequest) (*paymentv1.VoidResponse, error) {
	if err := f.enter("Void"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	p := f.money[r.GetOrderId()]
	switch p.GetStatus() {
	case "":
		p = &paymentv1.Payment{OrderId: r.GetOrderId(), Status: "voided"}
		f.money[r.GetOrderId()] = p
	case "authorized":
		p.Status = "voided"
		p.Version++
	case "captured", "partially_refunded", "refunded":
		return nil, errs.New(errs.Conflict, "the payment was captured")
	}
	return &paymentv1.VoidResponse{Payment: proto.CloneOf(p)}, nil
}

func (f *fakes) AdoptPayments(
	_ context.Context, r *paymentv1.AdoptPaymentsRequest,
) (*paymentv1.AdoptPaymentsResponse, error) {
	if err := f.enter("AdoptPayments"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	for _, id := range r.GetOrderIds() {
		f.moved["adopt "+id+" from "+r.GetGuestId()+" to "+r.GetUserId()]++
	}
	return &paymentv1.AdoptPaymentsResponse{}, nil
}

func (f *fakes) Refund(_ context.Context, r *paymentv1.RefundRequest) (*paymentv1.RefundResponse, error) {
	if err := f.enter("Refund"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	p := f.money[r.GetOrderId()]
	key := r.GetOrderId() + "/" + r.GetIdempotencyKey()
	if f.refunds[key] {
		return &paymentv1.RefundResponse{Payment: proto.CloneOf(p)}, nil
	}
	left := minor(p.GetAmount()) - f.givenBack[r.GetOrderId()]
	amount := left
	if r.GetAmount() != nil {
		amount = minor(r.GetAmount())
	}
	waived := p.GetStatus() == "authorized" && p.GetMethod() == "cod"
	switch {
	case amount > left:
		return nil, errs.New(errs.Unprocessable, "no more than %d is left to refund", left)
	case !waived && p.GetStatus() != "captured" && p.GetStatus() != "partially_refunded":
		return nil, errs.New(errs.Conflict, "the payment is %s", p.GetStatus())
	case waived && amount == left:
		p.Status = "voided"
	case !waived && amount == left:
		p.Status = "refunded"
	case !waived:
		p.Status = "partially_refunded"
	}
	f.refunds[key] = true
	f.givenBack[r.GetOrderId()] += amount
	p.Version++
	if waived {
		f.moved["waive"]++
	} else {
		f.moved["refund"]++
	}
	return &paymentv1.RefundResponse{Payment: proto.CloneOf(p)}, nil
}

// minor returns an amount in minor units.
func minor(m *moneyv1.Money) int64 {
	out, err := money.FromProto(m)
	if err != nil {
		panic(err) // the order service sends amounts that exist
	}
	return out.Minor()
}

func (f *fakes) BatchGetUsers(
	_ context.Context, r *userv1.BatchGetUsersRequest,
) (*userv1.BatchGetUsersResponse, error) {
	if err := f.enter("BatchGetUsers"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	out := &userv1.BatchGetUsersResponse{}
	for _, id := range r.GetIds() {
		out.Users = append(out.Users, &userv1.User{Id: id, Email: id + "@example.com"})
	}
	return out, nil
}

func (f *fakes) GetUserAddress(
	_ context.Context, r *addressv1.GetUserAddressRequest,
) (*addressv1.GetUserAddressResponse, error) {
	if err := f.enter("GetUserAddress"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	a, ok := f.book[r.GetUserId()+"/"+r.GetId()]
	if !ok {
		return nil, errs.New(errs.NotFound, "no such address")
	}
	return &addressv1.GetUserAddressResponse{Address: a}, nil
}

func (f *fakes) CheckMembership(
	_ context.Context, r *shopv1.CheckMembershipRequest,
) (*shopv1.CheckMembershipResponse, error) {
	if err := f.enter("CheckMembership"); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	member := f.members[r.GetShopId()+"/"+r.GetUserId()]
	return &shopv1.CheckMembershipResponse{ShopId: r.GetShopId(), Member: member}, nil
}
