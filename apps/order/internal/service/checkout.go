package service

import (
	"context"
	"strings"
	"time"

	"souk/apps/order/internal/domain"
	addressv1 "souk/gen/go/souk/address/v1"
	cartv1 "souk/gen/go/souk/cart/v1"
	productv1 "souk/gen/go/souk/product/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
	"souk/pkg/money"
	"souk/pkg/saga"
	"souk/pkg/weblink"
)

// replyMargin is how long before its deadline a request stops waiting, so that the reply still arrives in time.
const replyMargin = 250 * time.Millisecond

// maxKey is the maximum length of an idempotency key.
const maxKey = 255

// Checkout places an order of the caller's cart and returns once it is confirmed. A retry with the same
// Idempotency-Key gets the same order or the same refusal. It waits for a checkout that still runs.
//
// Errors: invalid_argument, voucher_invalid, cart_empty, out_of_stock, payment_declined,
// price_changed, unprocessable, conflict and rate_limited (see admit), idempotency_mismatch, idempotency_in_flight,
// checkout_in_progress (of the same cart), timeout, unavailable (a retry with the same key continues).
func (s *Service) Checkout(ctx context.Context, r domain.Request) (domain.Order, error) {
	caller := identity.FromContext(ctx)
	r.CustomerID = caller.ID
	if err := checkRequest(r, caller); err != nil {
		return domain.Order{}, err
	}
	if r.AddressID == "" {
		var err error
		if r.ShipTo, err = r.Address.Normalize(); err != nil {
			return domain.Order{}, err
		}
	}
	// Most keys are new. If the key already has an order, begin fails.
	o, err := s.begin(ctx, r)
	switch {
	case errs.Is(err, errs.AlreadyExists):
		attempt, err := s.Store.ByKey(ctx, r.CustomerID, r.IdemKey)
		if err != nil {
			return domain.Order{}, inFlight()
		}
		return s.replay(ctx, attempt, r)
	case errs.Is(err, errs.CheckoutInProgress): // a retry with the same key may succeed
		return domain.Order{}, err
	case err != nil:
		return s.refuse(ctx, r, err)
	}
	out, err := s.Runner.Execute(ctx, o.ID)
	if err != nil {
		return domain.Order{}, err
	}
	return s.answer(ctx, o, out)
}

// refuse answers a request that failed before an order was written. An earlier request with the same key may have
// placed an order, which emptied the cart or took the last pieces; refuse then answers with that order. Such a
// request may also be still in flight. refuse therefore stores the refusal for the key, so that both requests get
// it.
func (s *Service) refuse(ctx context.Context, r domain.Request, why error) (domain.Order, error) {
	attempt, err := s.Store.ByKey(ctx, r.CustomerID, r.IdemKey)
	if errs.Is(err, errs.NotFound) && identity.FromContext(ctx).IsGuest() {
		attempt, err = s.adopted(ctx, r)
	}
	if errs.Is(err, errs.NotFound) {
		if errs.OutcomeUnknown(why) {
			return domain.Order{}, why
		}
		if err = s.Store.KeepRefusal(ctx, r, domain.RefusalOf(why), s.Clock.Now()); err == nil {
			return domain.Order{}, why
		}
		if errs.Is(err, errs.AlreadyExists) {
			attempt, err = s.Store.ByKey(ctx, r.CustomerID, r.IdemKey)
		}
	}
	if err != nil {
		return domain.Order{}, err // the earlier outcome is unknown: a stored refusal could be wrong for ever
	}
	return s.replay(ctx, attempt, r)
}

// adopted returns a guest's checkout with the key of the request, if it belongs to a user meanwhile: the guest has
// signed in before the answer arrived. The guest's latest order names the user.
//
// Errors: not_found.
func (s *Service) adopted(ctx context.Context, r domain.Request) (domain.Attempt, error) {
	holders, err := s.Store.ClaimHolders(ctx, []string{r.CustomerID})
	if err != nil {
		return domain.Attempt{}, err
	}
	for _, h := range holders {
		o, err := s.Store.ByID(ctx, h.OrderID)
		if err != nil {
			return domain.Attempt{}, err
		}
		if o.CustomerID != r.CustomerID {
			return s.Store.ByKey(ctx, o.CustomerID, domain.AdoptedKey(r.IdemKey, r.CustomerID))
		}
	}
	return domain.Attempt{}, errs.New(errs.NotFound, "the key is new")
}

// place returns an order of the caller's cart, without writing it, and the cart.
//
// Errors: those of draft, voucher_invalid, price_changed, unprocessable (the total is zero).
func (s *Service) place(ctx context.Context, r domain.Request) (domain.Order, domain.Cart, error) {
	o, cart, rejected, err := s.draft(ctx, r)
	switch {
	case err != nil:
		return domain.Order{}, cart, err
	case len(rejected) > 0:
		return domain.Order{}, cart, vouchersInvalid(rejected)
	case r.ExpectedTotal != (money.Money{}) && r.ExpectedTotal != o.Totals.Total:
		return domain.Order{}, cart, priceChanged(o)
	}
	return o, cart, o.CheckTotal()
}

// draft returns an order of the caller's cart, without writing it, the cart, and the codes that cannot be used.
//
// Errors: those of bookAddress, cart, domain.Place and the voucher service.
func (s *Service) draft(
	ctx context.Context, r domain.Request,
) (domain.Order, domain.Cart, []domain.RejectedVoucher, error) {
	if r.AddressID != "" {
		var err error
		if r.ShipTo, err = s.bookAddress(ctx, r); err != nil {
			return domain.Order{}, domain.Cart{}, nil, err
		}
	}
	cart, err := s.cart(ctx, r.CustomerID, len(r.VoucherCodes) > 0)
	if err != nil {
		return domain.Order{}, cart, nil, err
	}
	o, err := domain.Place(r, cart, s.ShippingRates, s.Clock.Now())
	if err != nil || len(r.VoucherCodes) == 0 {
		return o, cart, nil, err
	}
	applied, rejected, err := s.evaluate(ctx, r.VoucherCodes, o, cart)
	if err == nil {
		err = o.Discount(applied)
	}
	return o, cart, rejected, err
}

// bookAddress returns the address of the customer's address book that the request names.
//
// Errors: invalid_argument (the book has no such address).
func (s *Service) bookAddress(ctx context.Context, r domain.Request) (domain.Address, error) {
	res, err := s.Addresses.GetUserAddress(ctx, &addressv1.GetUserAddressRequest{UserId: r.CustomerID, Id: r.AddressID})
	if errs.Is(err, errs.NotFound) {
		return domain.Address{}, errs.InvalidField("addressId", "there is no such address in your address book")
	}
	if err != nil {
		return domain.Address{}, err
	}
	a := res.GetAddress()
	out, err := domain.Address{
		Name: a.GetName(), Line1: a.GetLine1(), Line2: a.GetLine2(), City: a.GetCity(), Region: a.GetRegion(),
		PostalCode: a.GetPostalCode(), CountryCode: a.GetCountryCode(), Phone: a.GetPhone(),
	}.Normalize()
	if err != nil {
		return domain.Address{}, errs.InvalidField(
			"addressId",
			"the address is not complete: correct it in your address book",
		)
	}
	return out, nil
}

func checkRequest(r domain.Request, caller identity.Actor) error {
	switch {
	case r.IdemKey == "":
		return errs.InvalidField("Idempotency-Key",
			"the header is required: a fresh key for each checkout, the same key for its retries")
	case len(r.IdemKey) > maxKey || !printable(r.IdemKey):
		return errs.InvalidField("Idempotency-Key", "must be at most %d printable ASCII characters", maxKey)
	}
	for _, t := range []struct{ path, value string }{{"payment.token", r.Token}, {"email", r.Email}} {
		if strings.ContainsFunc(t.value, weblink.Reorders) {
			return errs.InvalidField(t.path, "must not contain line breaks or other control characters")
		}
	}
	if err := checkDestination(r, caller); err != nil {
		return err
	}
	switch {
	case r.AddressID == "" && r.Address == (domain.Address{}):
		return errs.InvalidField("shippingAddress", "is required, unless addressId is given")
	case caller.IsGuest() && r.Email == "":
		return errs.InvalidField("email", "is required of guests: the confirmation goes there")
	case r.PaymentMethod == domain.CashOnDelivery && r.Token != "":
		return errs.InvalidField("payment.token", "must be empty for the method %s", r.PaymentMethod)
	case r.PaymentMethod != domain.CashOnDelivery && r.Token == "":
		return errs.InvalidField("payment.token", "is required for the method %s", r.PaymentMethod)
	}
	return nil
}

// checkDestination checks that a request says in at most one way where the order goes.
//
// Errors: invalid_argument.
func checkDestination(r domain.Request, caller identity.Actor) error {
	switch {
	case r.AddressID != "" && r.Address != (domain.Address{}):
		return errs.InvalidField("addressId", "must not be given together with shippingAddress")
	case r.AddressID != "" && caller.IsGuest():
		return errs.InvalidField("addressId", "is for signed-in customers: a guest has no address book")
	}
	return nil
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// cart returns the customer's cart. Its lines have the catalogue's current offers, and their categories if asked for.
//
// Errors: cart_empty, unprocessable (too many lines), out_of_stock.
func (s *Service) cart(ctx context.Context, customerID string, categories bool) (domain.Cart, error) {
	cart, err := s.Carts.GetLines(ctx, &cartv1.GetLinesRequest{OwnerId: customerID})
	if err != nil {
		return domain.Cart{}, err
	}
	switch n := len(cart.GetLines()); {
	case n == 0:
		return domain.Cart{}, errs.New(errs.CartEmpty, "the cart is empty")
	case n > domain.MaxLines:
		return domain.Cart{}, errs.New(errs.Unprocessable, "an order has at most %d lines, the cart has %d",
			domain.MaxLines, n)
	}
	lines, err := s.lines(ctx, cart.GetLines(), categories)
	return domain.Cart{
		Version: cart.GetVersion(), Currency: money.Currency(cart.GetCurrency()), Lines: lines,
		ClaimIDs: cart.GetOwnerIds(), LeftIDs: cart.GetOrderedIds(),
	}, err
}

// lines returns the lines of a cart with the catalogue's current offers.
//
// Errors: out_of_stock.
func (s *Service) lines(ctx context.Context, lines []*cartv1.Line, categories bool) ([]domain.Line, error) {
	req := &productv1.BatchGetVariantsRequest{WithCategories: categories}
	for _, l := range lines {
		req.VariantIds = append(req.VariantIds, l.GetVariantId())
	}
	res, err := s.Products.BatchGetVariants(ctx, req)
	if err != nil {
		return nil, err
	}
	offers := make(map[string]*productv1.Offer, len(res.GetOffers()))
	for _, o := range res.GetOffers() {
		offers[o.GetVariantId()] = o
	}
	out := make([]domain.Line, 0, len(req.GetVariantIds()))
	var short shortage
	for _, l := range lines {
		o := offers[l.GetVariantId()]
		if short.has(l.GetVariantId(), l.GetQuantity(), o) {
			continue
		}
		price, err := money.FromProto(o.GetPrice())
		if err != nil {
			return nil, errs.Wrap(err, errs.Internal, "the price of an item cannot be read")
		}
		out = append(out, domain.Line{
			VariantID: o.GetVariantId(), ProductID: o.GetProductId(), ShopID: o.GetShopId(), ShopName: o.GetShopName(),
			Title: o.GetTitle(), SKU: o.GetSku(), Options: o.GetOptions(), Quantity: l.GetQuantity(), UnitPrice: price,
			CategoryIDs: o.GetCategoryIds(),
		})
	}
	return out, short.err()
}

func inputOf(o domain.Order, r domain.Request, c domain.Cart, token []byte) checkoutInput {
	in := checkoutInput{
		CustomerID: o.CustomerID, Number: o.Number, Currency: o.Totals.Total.Currency(), Total: o.Totals.Total.Minor(),
		Method: r.PaymentMethod, Sealed: token, CartVersion: o.CartVersion, ClaimIDs: c.ClaimIDs,
	}
	for _, v := range o.Vouchers {
		in.Vouchers = append(in.Vouchers, checkoutVoucher{
			ID: v.ID, CodeIndex: v.CodeIndex, Amount: v.Amount.Minor(), OperatorAmount: v.OperatorAmount.Minor(),
		})
		in.Mailbox = o.Mailbox()
	}
	for _, p := range o.Parts {
		in.Parts = append(in.Parts, checkoutPart{ID: p.ID, ShopID: p.ShopID, Total: p.Totals.Total.Minor()})
		for _, it := range p.Items {
			in.Lines = append(in.Lines, checkoutLine{VariantID: it.VariantID, Quantity: it.Quantity})
		}
	}
	return in
}

// answer returns the order as its saga left it. It applies the saga's results to o instead of reading the order
// again.
func (s *Service) answer(ctx context.Context, o domain.Order, out saga.Outcome) (domain.Order, error) {
	if out.State != saga.Confirmed {
		return domain.Order{}, refused(out)
	}
	var p domain.Payment
	var at time.Time
	if out.Get(resultPayment, &p) != nil || out.Get(resultConfirmed, &at) != nil {
		return s.Store.Owned(ctx, o.ID, o.CustomerID)
	}
	return o, o.Confirm(p, at)
}

// refused returns the error of a checkout that was not confirmed.
func refused(out saga.Outcome) error {
	if out.State == saga.Parked {
		return errs.Wrap(causeOf(out), errs.Unavailable,
			"the checkout could not be finished, and our staff has to look into it").
			WithRetryAfter(time.Minute)
	}
	if out.Err == nil || errs.OutcomeUnknown(out.Err) {
		return errs.Wrap(causeOf(out), errs.Unavailable,
			"the checkout could not be finished; nothing was charged, try again").
			WithRetryAfter(time.Second)
	}
	return out.Err
}

// causeOf returns the cause of a failed saga as an error: nil if it has none.
func causeOf(out saga.Outcome) error {
	if out.Err == nil {
		return nil
	}
	return out.Err
}

// replay answers a request whose key is taken, with the order or the refusal of the first request.
func (s *Service) replay(ctx context.Context, a domain.Attempt, r domain.Request) (domain.Order, error) {
	if a.RequestHash != r.Hash() {
		return domain.Order{}, errs.New(errs.IdempotencyMismatch, "this Idempotency-Key was used for another request")
	}
	if a.Status == domain.Pending {
		wait, cancel := beforeDeadline(ctx)
		defer cancel()
		out, err := s.Runner.Wait(wait, a.OrderID)
		switch {
		case errs.Is(err, errs.Timeout):
			return domain.Order{}, inFlight()
		case err != nil:
			return domain.Order{}, err
		case out.State != saga.Confirmed:
			return domain.Order{}, refused(out)
		}
	}
	switch {
	case a.Refusal != nil && a.Refusal.Code == errs.PriceChanged:
		if _, _, err := s.place(ctx, r); errs.Is(err, errs.PriceChanged) {
			return domain.Order{}, err // with a quote of the prices of now
		}
		return domain.Order{}, a.Refusal.Err()
	case a.Refusal != nil:
		return domain.Order{}, a.Refusal.Err()
	}
	return s.Store.Owned(ctx, a.OrderID, a.CustomerID)
}

func inFlight() error {
	return errs.New(errs.IdempotencyInFlight, "a checkout with this Idempotency-Key is still running").
		WithRetryAfter(time.Second)
}

// beforeDeadline returns a context that ends replyMargin before ctx does.
func beforeDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if d, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, d.Add(-replyMargin))
	}
	return context.WithCancel(ctx)
}
