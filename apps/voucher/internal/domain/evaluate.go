package domain

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"souk/pkg/errs"
	"souk/pkg/money"
)

// Reason is why a code cannot be used.
type Reason string

// The reasons. The contract lists them.
const (
	Unknown       Reason = "unknown"
	NotStarted    Reason = "not_started"
	Ended         Reason = "expired"
	NotActive     Reason = "disabled"
	UsedUp        Reason = "used_up"
	AlreadyUsed   Reason = "already_used"
	BudgetSpent   Reason = "budget_spent"
	BelowMinimum  Reason = "below_minimum"
	NotApplicable Reason = "not_applicable"
	NotStackable  Reason = "not_stackable"
)

// Refusal is why a voucher cannot be used, for programs and in words. The zero Refusal means that it can.
type Refusal struct {
	Reason Reason
	Detail string
}

// Line is a line of a cart.
type Line struct {
	ProductID, ShopID string
	CategoryIDs       []string
	Quantity          int64
	UnitPrice, Total  money.Money
}

// Shop is what sending one shop's part of a cart costs.
type Shop struct {
	ID       string
	Shipping money.Money
}

// Cart is what a customer is about to order, in one currency.
type Cart struct {
	Lines []Line
	Shops []Shop
}

// Customer is who uses vouchers.
type Customer struct {
	ID string
	// Mailbox is a digest of a guest's mailbox; empty for users, and while it is unknown.
	Mailbox []byte
	// FirstOrder reports whether the customer has no earlier order.
	FirstOrder bool
}

// Usage is what a customer used before.
type Usage struct {
	// Uses is how many orders of the customer use a voucher, by the voucher's ID.
	Uses map[string]int64
	// FirstOrderShops are the shops ("" for the marketplace) whose vouchers for first orders the mailbox has used.
	FirstOrderShops []string
}

// Applied is what a voucher takes off a cart.
type Applied struct {
	Voucher Voucher
	// CodeIndex is the index of the voucher's code.
	CodeIndex int
	// Lines and Shipping are by index of the cart's lines and shops.
	Lines, Shipping []Discount
}

// Discount is an amount that is taken off, and the part of it that the operator bears, in minor units.
type Discount struct{ Amount, Operator int64 }

// Rejected is a code that cannot be used.
type Rejected struct {
	CodeIndex int
	Refusal
}

// Check returns why the voucher cannot be used at a time for a discount of an amount; a zero amount stands for any.
func (v *Voucher) Check(amount money.Money, at time.Time) Refusal {
	switch status := v.Status(at); {
	case status == Draft:
		return Refusal{Unknown, "there is no such voucher"}
	case status == Disabled:
		return Refusal{NotActive, "the voucher is no longer valid"}
	case status == Expired:
		return Refusal{Ended, "the voucher has expired"}
	case v.StartsAt.After(at):
		return Refusal{NotStarted, "the voucher is not valid yet"}
	case v.MaxUses > 0 && v.Used >= v.MaxUses:
		return Refusal{UsedUp, "the voucher has been used up"}
	case v.Budget > 0 && v.Spent[v.Currency]+max(amount.Minor(), 1) > v.Budget:
		return Refusal{BudgetSpent, "the voucher has been used up"}
	}
	return Refusal{}
}

// CheckCustomer returns why a customer who has used the voucher so often cannot use it again.
func (v *Voucher) CheckCustomer(uses int64) Refusal {
	if most := v.MaxPerCustomer(); most > 0 && uses >= most {
		return Refusal{AlreadyUsed, "you have used the voucher already"}
	}
	return Refusal{}
}

// MaxPerCustomer is the most orders of one customer that use the voucher; 0 for any number. A customer has one first
// order.
func (v *Voucher) MaxPerCustomer() int64 {
	if v.FirstOrderOnly {
		return 1
	}
	return v.MaxUsesPerCustomer
}

// Evaluate returns what the vouchers with the codes take off a cart, in the order of their application, and the codes
// that cannot be used. found holds the vouchers with these codes of the marketplace and of the cart's shops: several
// shops may have the same code.
//
// The codes are admitted in the order in which they were given. An exclusive voucher (not Stackable) does not combine
// with another one of the same shop; one of the marketplace does not combine with any other. Conditions are checked
// against prices before discounts.
//
// Then the vouchers are applied one after the other, each to what the ones before have left: first those of kind
// buy_x_get_y, then percent, fixed_amount, and free_shipping; of one kind, those of shops before those of the
// marketplace; otherwise the older ones first. The order of the codes does not matter for it. A discount is divided
// over the lines that it is for by the largest remainder; see money.Split.
//
// Errors: unprocessable (the cart's currencies differ, or its total is too large).
func Evaluate(
	codes []string, found []Voucher, usage Usage, customer Customer, c Cart, at time.Time,
) (applied []Applied, rejected []Rejected, err error) {
	fresh, err := newState(c)
	if err != nil {
		return nil, nil, err
	}
	var admitted []Applied
	seen := map[string]bool{}
	reject := func(i int, why Refusal) { rejected = append(rejected, Rejected{i, why}) }
	for i, code := range codes {
		code = NormalCode(code)
		if seen[code] {
			continue
		}
		seen[code] = true
		why, admits := Refusal{Unknown, "there is no such voucher"}, false
		for _, v := range withCode(found, code) {
			refusal := fresh.refuse(&v, usage, customer, at)
			if refusal == (Refusal{}) && !combines(&v, admitted) {
				refusal = Refusal{NotStackable, "the voucher cannot be combined with another one"}
			}
			if refusal == (Refusal{}) {
				admitted, admits = append(admitted, Applied{Voucher: v, CodeIndex: i}), true
			} else if why.Reason == Unknown {
				why = refusal
			}
		}
		if !admits {
			reject(i, why)
		}
	}
	slices.SortFunc(admitted, func(a, b Applied) int {
		return cmp.Or(
			cmp.Compare(slices.Index(applicationOrder, a.Voucher.Kind), slices.Index(applicationOrder, b.Voucher.Kind)),
			cmp.Compare(len(b.Voucher.ShopID), len(a.Voucher.ShopID)), // "" is the marketplace
			cmp.Compare(a.Voucher.ID, b.Voucher.ID),
		)
	})
	left := fresh.clone()
	refusals := map[int]Refusal{}
	for _, a := range admitted {
		lines, shipping := left.discount(&a.Voucher)
		amount := money.New(sum(lines)+sum(shipping), left.currency)
		refusal := a.Voucher.Check(amount, at)
		if amount.IsZero() {
			refusal = Refusal{NotApplicable, "the other vouchers leave nothing that it could take off"}
		}
		if refusal != (Refusal{}) {
			refusals[a.CodeIndex] = refusal
			continue
		}
		left.take(&a.Voucher, lines, shipping)
		a.Lines, a.Shipping = a.Voucher.bear(lines, shipping)
		applied = append(applied, a)
	}
	for i, refusal := range refusals {
		if !slices.ContainsFunc(applied, func(a Applied) bool { return a.CodeIndex == i }) {
			reject(i, refusal)
		}
	}
	slices.SortFunc(rejected, func(a, b Rejected) int { return a.CodeIndex - b.CodeIndex })
	return applied, rejected, nil
}

// applicationOrder is the order in which vouchers of different kinds are applied.
var applicationOrder = []Kind{BuyXGetY, Percent, FixedAmount, FreeShipping}

// withCode returns the vouchers with a code, that of the marketplace first.
func withCode(found []Voucher, code string) []Voucher {
	var out []Voucher
	for _, v := range found {
		if v.Code == code {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b Voucher) int { return cmp.Compare(a.ShopID, b.ShopID) })
	return out
}

// combines reports whether a voucher can be used together with those that were admitted.
func combines(v *Voucher, admitted []Applied) bool {
	return !slices.ContainsFunc(admitted, func(a Applied) bool {
		o := &a.Voucher
		return (!v.Stackable || !o.Stackable) && (v.ShopID == o.ShopID || v.ShopID == "" || o.ShopID == "")
	})
}

// state is what vouchers have left of a cart, in minor units.
type state struct {
	cart     Cart
	currency money.Currency
	// lines and shipping are what is still to be paid, and pieces are those that are not free.
	lines, pieces, shipping []int64
}

func newState(c Cart) (state, error) {
	s := state{cart: c}
	if len(c.Lines) == 0 {
		return s, errs.New(errs.CartEmpty, "the cart is empty")
	}
	s.currency = c.Lines[0].UnitPrice.Currency()
	all := make([]money.Money, 0, len(c.Lines)+len(c.Shops))
	for i := range c.Lines {
		l := &c.Lines[i]
		var err error
		if l.Total, err = l.UnitPrice.Mul(l.Quantity); err != nil {
			return s, errs.Wrap(err, errs.Unprocessable, "the total is too large")
		}
		all = append(all, l.Total)
		s.lines, s.pieces = append(s.lines, l.Total.Minor()), append(s.pieces, l.Quantity)
	}
	for _, shop := range c.Shops {
		all = append(all, shop.Shipping)
		s.shipping = append(s.shipping, shop.Shipping.Minor())
	}
	_, err := money.Sum(s.currency, all...)
	return s, err
}

func (s state) clone() state {
	s.lines, s.pieces, s.shipping = slices.Clone(s.lines), slices.Clone(s.pieces), slices.Clone(s.shipping)
	return s
}

// refuse returns why the voucher alone cannot be used for the cart.
func (s state) refuse(v *Voucher, usage Usage, customer Customer, at time.Time) Refusal {
	if refusal := v.Check(money.Money{}, at); refusal != (Refusal{}) {
		return refusal
	}
	if refusal := v.CheckCustomer(usage.Uses[v.ID]); refusal != (Refusal{}) {
		return refusal
	}
	if v.FirstOrderOnly && (!customer.FirstOrder || slices.Contains(usage.FirstOrderShops, v.ShopID)) {
		return Refusal{NotApplicable, "the voucher is for a first order only"}
	}
	if v.Currency != "" && v.Currency != s.currency {
		return Refusal{NotApplicable, fmt.Sprintf("the voucher is for orders in %s", v.Currency)}
	}
	subtotal, some := int64(0), false
	for i, l := range s.cart.Lines {
		if v.isFor(l) {
			subtotal, some = subtotal+s.lines[i], true
		}
	}
	switch {
	case !some:
		return Refusal{NotApplicable, "the voucher is for nothing in the cart"}
	case subtotal < v.MinSubtotal:
		return Refusal{BelowMinimum, fmt.Sprintf("the voucher needs a subtotal of %s",
			money.New(v.MinSubtotal, v.Currency))}
	}
	if lines, shipping := s.discount(v); sum(lines)+sum(shipping) == 0 {
		if v.Kind == BuyXGetY {
			return Refusal{NotApplicable, fmt.Sprintf("the voucher needs %d pieces", v.BuyQuantity+v.GetQuantity)}
		}
		if v.Kind == FreeShipping {
			return Refusal{NotApplicable, "the shipping is free already"}
		}
		return Refusal{NotApplicable, "there is nothing that the voucher could take off"}
	}
	return Refusal{}
}

// isFor reports whether the voucher is for a line.
func (v *Voucher) isFor(l Line) bool {
	if v.ShopID != "" && v.ShopID != l.ShopID {
		return false
	}
	if len(v.ProductIDs) == 0 && len(v.CategoryIDs) == 0 {
		return true
	}
	return slices.Contains(v.ProductIDs, l.ProductID) ||
		slices.ContainsFunc(l.CategoryIDs, func(c string) bool { return slices.Contains(v.CategoryIDs, c) })
}

// discount returns what the voucher takes off the lines and the shipping of the shops.
func (s state) discount(v *Voucher) (lines, shipping []int64) {
	lines, shipping = make([]int64, len(s.lines)), make([]int64, len(s.shipping))
	base := make([]int64, len(s.lines)) // what is left of the lines that the voucher is for
	for i, l := range s.cart.Lines {
		if v.isFor(l) {
			base[i] = s.lines[i]
		}
	}
	switch v.Kind {
	case Percent:
		// The nearest minor unit; a half goes to the larger of discount and rest.
		off := money.New(sum(base), s.currency).Split([]int64{v.Percent, whole - v.Percent})[0]
		lines = split(off.Minor(), base)
	case FixedAmount:
		lines = split(min(v.Amount, sum(base)), base)
	case BuyXGetY:
		for i, n := range s.free(v) {
			lines[i] = n * s.cart.Lines[i].UnitPrice.Minor()
		}
	case FreeShipping:
		for i, shop := range s.cart.Shops {
			if slices.ContainsFunc(s.cart.Lines, func(l Line) bool { return l.ShopID == shop.ID && v.isFor(l) }) {
				shipping[i] = s.shipping[i]
			}
		}
	}
	return lines, shipping
}

// free returns how many pieces of each line a voucher of kind buy_x_get_y makes free: the cheapest ones of those that
// it is for, over all lines.
func (s state) free(v *Voucher) []int64 {
	out := make([]int64, len(s.lines))
	var cheapest []int // indexes of lines
	pieces := int64(0)
	for i, l := range s.cart.Lines {
		if v.isFor(l) {
			cheapest = append(cheapest, i)
			pieces += s.pieces[i]
		}
	}
	slices.SortStableFunc(cheapest, func(a, b int) int {
		return cmp.Compare(s.cart.Lines[a].UnitPrice.Minor(), s.cart.Lines[b].UnitPrice.Minor())
	})
	n := pieces / (v.BuyQuantity + v.GetQuantity) * v.GetQuantity
	for _, i := range cheapest {
		out[i] = min(n, s.pieces[i])
		n -= out[i]
	}
	return out
}

// take reduces what is left by a voucher's discount.
func (s state) take(v *Voucher, lines, shipping []int64) {
	if v.Kind == BuyXGetY {
		for i, n := range s.free(v) {
			s.pieces[i] -= n
		}
	}
	for i, n := range lines {
		s.lines[i] -= n
	}
	for i, n := range shipping {
		s.shipping[i] -= n
	}
}

// bear divides the discounts between the operator and the shops. The parts add up to the operator's share of the whole.
func (v *Voucher) bear(lines, shipping []int64) (ofLines, ofShipping []Discount) {
	all := slices.Concat(lines, shipping)
	operator := split(split(sum(all), []int64{v.OperatorShare, whole - v.OperatorShare})[0], all)
	out := make([]Discount, len(all))
	for i := range all {
		out[i] = Discount{Amount: all[i], Operator: operator[i]}
	}
	return out[:len(lines)], out[len(lines):]
}

// Describe returns what the voucher does, in words.
func (v *Voucher) Describe() string {
	switch v.Kind {
	case Percent:
		return FormatPercent(v.Percent) + " % off"
	case FixedAmount:
		return money.New(v.Amount, v.Currency).String() + " off"
	case BuyXGetY:
		return fmt.Sprintf("%d free with each %d", v.GetQuantity, v.BuyQuantity)
	default:
		return "free shipping"
	}
}

// split divides n by the largest remainder; see money.Split. n is at most the sum of the weights, so no part is larger
// than its weight.
func split(n int64, weights []int64) []int64 {
	parts := money.New(n, "").Split(weights)
	out := make([]int64, len(parts))
	for i, p := range parts {
		out[i] = p.Minor()
	}
	return out
}

func sum(ns []int64) int64 {
	total := int64(0)
	for _, n := range ns {
		total += n
	}
	return total
}
