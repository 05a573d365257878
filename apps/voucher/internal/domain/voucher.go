// Package domain holds the rules of vouchers: what a voucher may be, and what vouchers take off a cart.
package domain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/money"
)

// MaxVouchers is the most vouchers that a shop, or the marketplace, has. The store holds it.
const MaxVouchers = 10_000

// Kind is what a voucher does.
type Kind string

// The kinds of vouchers.
const (
	Percent      Kind = "percent"
	FixedAmount  Kind = "fixed_amount"
	FreeShipping Kind = "free_shipping"
	BuyXGetY     Kind = "buy_x_get_y"
)

// Status is a state of a voucher. All but Expired are stored: a voucher is expired once its end has passed.
type Status string

// The states of vouchers.
const (
	Draft    Status = "draft"
	Active   Status = "active"
	Disabled Status = "disabled"
	Expired  Status = "expired"
)

// whole is 100 % in the unit of percentages: hundredths of a percent.
const whole = 100_00

// Voucher is a voucher of a shop, or of the marketplace if ShopID is "". The fields are in the order of its columns.
// Amounts are minor units of Currency; 0 means unset.
type Voucher struct {
	ID, ShopID, Code, Title string
	Kind                    Kind
	// Percent is in hundredths of a percent, as is OperatorShare.
	Percent int64
	// Currency is "" if no amount is set: the voucher is for carts in any currency.
	Currency                 money.Currency
	Amount                   int64
	BuyQuantity, GetQuantity int64
	MinSubtotal              int64
	ProductIDs, CategoryIDs  []string
	FirstOrderOnly           bool
	StartsAt                 time.Time
	EndsAt                   *time.Time
	// MaxUses and MaxUsesPerCustomer are 0 for any number.
	MaxUses, MaxUsesPerCustomer int64
	Budget                      int64
	Stackable                   bool
	OperatorShare               int64
	State                       Status
	// Used is the number of orders that use the voucher, and Spent is what it took off them, by currency.
	Used                 int64
	Spent                map[money.Currency]int64
	CreatedAt, UpdatedAt time.Time
}

// Change is a change of a voucher. Nil leaves a field as it is.
type Change struct {
	Title                    *string
	Percent, OperatorShare   *string
	Amount                   *money.Money
	BuyQuantity, GetQuantity *int64
	Conditions               *Conditions
	Limits                   *Limits
	StartsAt, EndsAt         *time.Time
	Stackable                *bool
	State                    *Status
}

// Conditions say for what a voucher can be used. The zero MinSubtotal means none.
type Conditions struct {
	MinSubtotal             money.Money
	ProductIDs, CategoryIDs []string
	FirstOrderOnly          bool
}

// Limits bound the use of a voucher. Zero values mean no bound.
type Limits struct {
	Uses, UsesPerCustomer int64
	Budget                money.Money
}

// New returns a voucher that is not stored yet. It is active from now on, unless c says otherwise. The operator bears
// the cost of a voucher of the marketplace, and the shop that of its own.
//
// Errors: invalid_argument.
func New(shopID, code string, kind Kind, c Change, now time.Time) (Voucher, error) {
	v := Voucher{
		ID: id.New(id.Voucher), ShopID: shopID, Code: NormalCode(code), Kind: kind, StartsAt: now, State: Active,
		ProductIDs: []string{}, CategoryIDs: []string{}, Spent: map[money.Currency]int64{}, CreatedAt: now,
	}
	if shopID == "" {
		v.OperatorShare = whole
	}
	_, err := v.Apply(c, now)
	return v, err
}

// NormalCode returns the code that a customer typed as it is stored.
func NormalCode(code string) string { return strings.ToUpper(strings.TrimSpace(code)) }

// Apply makes a change and reports whether it changes anything. If the change is refused, v is not to be used.
//
// Errors: invalid_argument.
func (v *Voucher) Apply(c Change, now time.Time) (changed bool, err error) {
	before := *v
	var p problems
	set(&v.Title, c.Title)
	set(&v.BuyQuantity, c.BuyQuantity)
	set(&v.GetQuantity, c.GetQuantity)
	set(&v.StartsAt, c.StartsAt)
	set(&v.Stackable, c.Stackable)
	set(&v.State, c.State)
	if c.EndsAt != nil {
		v.EndsAt = c.EndsAt
	}
	if c.Percent != nil {
		v.Percent = p.percentage("percent", *c.Percent)
	}
	if c.OperatorShare != nil {
		v.OperatorShare = p.percentage("operatorShare", *c.OperatorShare)
	}
	if c.Amount != nil {
		v.Amount = p.amount(v, "amount", *c.Amount)
	}
	if c.Conditions != nil {
		v.MinSubtotal = p.amount(v, "conditions.minSubtotal", c.Conditions.MinSubtotal)
		v.ProductIDs = sorted(c.Conditions.ProductIDs)
		v.CategoryIDs = sorted(c.Conditions.CategoryIDs)
		v.FirstOrderOnly = c.Conditions.FirstOrderOnly
	}
	if c.Limits != nil {
		v.MaxUses, v.MaxUsesPerCustomer = c.Limits.Uses, c.Limits.UsesPerCustomer
		v.Budget = p.amount(v, "limits.budget", c.Limits.Budget)
	}
	p.check(v)
	switch {
	case len(p) > 0:
		e := errs.New(errs.Invalid, "%s: %s", p[0].Path, p[0].Message)
		e.Fields = p
		return false, e
	case v.same(before):
		return false, nil
	}
	v.UpdatedAt = now
	return true, nil
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// sorted returns a sorted copy, which is not nil.
func sorted(ids []string) []string {
	out := append([]string{}, ids...)
	slices.Sort(out)
	return out
}

func (v *Voucher) same(o Voucher) bool {
	ends := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	}
	return v.Title == o.Title && v.Percent == o.Percent && v.OperatorShare == o.OperatorShare && v.Amount == o.Amount &&
		v.BuyQuantity == o.BuyQuantity && v.GetQuantity == o.GetQuantity && v.MinSubtotal == o.MinSubtotal &&
		slices.Equal(v.ProductIDs, o.ProductIDs) && slices.Equal(v.CategoryIDs, o.CategoryIDs) &&
		v.FirstOrderOnly == o.FirstOrderOnly && v.MaxUses == o.MaxUses &&
		v.MaxUsesPerCustomer == o.MaxUsesPerCustomer && v.Budget == o.Budget && v.Stackable == o.Stackable &&
		v.State == o.State && v.StartsAt.Equal(o.StartsAt) && ends(v.EndsAt).Equal(ends(o.EndsAt)) &&
		v.Currency == o.Currency && !v.UpdatedAt.IsZero()
}

// Status returns the voucher's state at a time.
func (v *Voucher) Status(at time.Time) Status {
	if v.State != Disabled && v.EndsAt != nil && !v.EndsAt.After(at) {
		return Expired
	}
	return v.State
}

// UsedUp reports whether all of the uses are made, or the budget is spent.
func (v *Voucher) UsedUp() bool {
	return v.MaxUses > 0 && v.Used >= v.MaxUses || v.Budget > 0 && v.Spent[v.Currency] >= v.Budget
}

// problems collects what is wrong with a voucher.
type problems []errs.Field

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, errs.Field{Path: path, Message: fmt.Sprintf(format, args...)})
}

// percentage returns a percentage such as "12.5" in hundredths of a percent. The contract has checked its form.
func (p *problems) percentage(path, text string) int64 {
	if text == "" {
		return 0
	}
	units, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(units+(fraction + "00")[:2], 10, 64)
	if err != nil || n > whole {
		p.add(path, "must be at most 100")
		return 0
	}
	return n
}

// FormatPercent returns a percentage in its shortest form, such as "12.5".
func FormatPercent(hundredths int64) string {
	text := fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// amount returns an amount in minor units. All amounts of a voucher have the same currency.
func (p *problems) amount(v *Voucher, path string, m money.Money) int64 {
	switch {
	case m == (money.Money{}):
		return 0
	case m.IsNegative():
		p.add(path, "must not be negative")
	case v.Currency != "" && v.Currency != m.Currency():
		p.add(path, "must be in %s, as the voucher's other amounts", v.Currency)
	default:
		v.Currency = m.Currency()
	}
	return m.Minor()
}

func (p *problems) check(v *Voucher) {
	for _, f := range []struct {
		kind  Kind
		path  string
		value int64
	}{
		{Percent, "percent", v.Percent},
		{FixedAmount, "amount", v.Amount},
		{BuyXGetY, "buyQuantity", v.BuyQuantity},
		{BuyXGetY, "getQuantity", v.GetQuantity},
	} {
		switch {
		case f.kind == v.Kind && f.value <= 0:
			p.add(f.path, "must be more than 0 for a voucher of kind %s", v.Kind)
		case f.kind != v.Kind && f.value != 0:
			p.add(f.path, "is only for vouchers of kind %s", f.kind)
		}
	}
	if v.EndsAt != nil && !v.EndsAt.After(v.StartsAt) {
		p.add("endsAt", "must be after startsAt")
	}
	for i, productID := range v.ProductIDs {
		if !id.Valid(id.Product, productID) {
			p.add(fmt.Sprintf("conditions.productIds[%d]", i), "must be the ID of a product")
		}
	}
	for i, categoryID := range v.CategoryIDs {
		if !id.Valid(id.Category, categoryID) {
			p.add(fmt.Sprintf("conditions.categoryIds[%d]", i), "must be the ID of a category")
		}
	}
}
