package domain_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"souk/apps/voucher/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/id"
	"souk/pkg/money"
)

var (
	noon   = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	shoes  = id.New(id.Product)
	shirts = id.New(id.Category)
)

// cart has shoes (2 × 30.00) and a shirt (10.00) of shop a, and a lamp (5.00) of shop b; each shop ships for 8.00.
func cart() domain.Cart {
	brl := func(minor int64) money.Money { return money.New(minor, "BRL") }
	return domain.Cart{
		Lines: []domain.Line{
			{ProductID: shoes, ShopID: "a", Quantity: 2, UnitPrice: brl(30_00)},
			{
				ProductID:   "prd_shirt",
				ShopID:      "a",
				CategoryIDs: []string{"cat_all", shirts},
				Quantity:    1,
				UnitPrice:   brl(10_00),
			},
			{ProductID: "prd_lamp", ShopID: "b", Quantity: 1, UnitPrice: brl(5_00)},
		},
		Shops: []domain.Shop{{ID: "a", Shipping: brl(8_00)}, {ID: "b", Shipping: brl(8_00)}},
	}
}

type option func(*domain.Voucher)

func voucher(t testing.TB, shop, code string, kind domain.Kind, opts ...option) domain.Voucher {
	t.Helper()
	c := domain.Change{Title: new("A voucher"), Stackable: new(true)}
	switch kind {
	case domain.Percent:
		c.Percent = new("10")
	case domain.FixedAmount:
		c.Amount = new(money.New(7_00, "BRL"))
	case domain.BuyXGetY:
		c.BuyQuantity, c.GetQuantity = new(int64(2)), new(int64(1))
	}
	v, err := domain.New(shop, code, kind, c, noon)
	require.NoError(t, err)
	for _, o := range opts {
		o(&v)
	}
	return v
}

func evaluate(
	t testing.TB, codes []string, found []domain.Voucher, c domain.Cart,
) ([]domain.Applied, []domain.Rejected) {
	t.Helper()
	applied, rejected, err := domain.Evaluate(codes, found, domain.Usage{}, domain.Customer{FirstOrder: true}, c, noon)
	require.NoError(t, err)
	return applied, rejected
}

func amounts(all []domain.Discount) []int64 {
	out := make([]int64, len(all))
	for i, d := range all {
		out[i] = d.Amount
	}
	return out
}

func TestVouchersTakeOffWhatTheirKindSays(t *testing.T) {
	t.Parallel()
	percent := func(p int64) option { return func(v *domain.Voucher) { v.Percent = p } }
	for name, c := range map[string]struct {
		voucher         domain.Voucher
		lines, shipping []int64
	}{
		"percent of everything":    {voucher(t, "", "X", domain.Percent), []int64{6_00, 1_00, 50}, []int64{0, 0}},
		"percent of a shop":        {voucher(t, "b", "X", domain.Percent), []int64{0, 0, 50}, []int64{0, 0}},
		"odd percent":              {voucher(t, "", "X", domain.Percent, percent(33_33)), []int64{20_00, 3_33, 1_67}, []int64{0, 0}},
		"100 percent":              {voucher(t, "", "X", domain.Percent, percent(100_00)), []int64{60_00, 10_00, 5_00}, []int64{0, 0}},
		"fixed amount":             {voucher(t, "", "X", domain.FixedAmount), []int64{5_60, 93, 47}, []int64{0, 0}},
		"fixed amount above price": {voucher(t, "b", "X", domain.FixedAmount), []int64{0, 0, 5_00}, []int64{0, 0}},
		"free shipping":            {voucher(t, "", "X", domain.FreeShipping), []int64{0, 0, 0}, []int64{8_00, 8_00}},
		"free shipping of a shop":  {voucher(t, "b", "X", domain.FreeShipping), []int64{0, 0, 0}, []int64{0, 8_00}},
		"the cheapest piece is free": {
			voucher(t, "", "X", domain.BuyXGetY), []int64{0, 0, 5_00}, []int64{0, 0},
		},
		"the cheapest piece of a shop is free": {
			voucher(t, "a", "X", domain.BuyXGetY), []int64{0, 10_00, 0}, []int64{0, 0},
		},
		"only for a product": {
			voucher(t, "", "X", domain.Percent, func(v *domain.Voucher) { v.ProductIDs = []string{shoes} }),
			[]int64{6_00, 0, 0}, []int64{0, 0},
		},
		"only for a category": {
			voucher(t, "", "X", domain.Percent, func(v *domain.Voucher) { v.CategoryIDs = []string{shirts} }),
			[]int64{0, 1_00, 0}, []int64{0, 0},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			applied, rejected := evaluate(t, []string{" x "}, []domain.Voucher{c.voucher}, cart())
			require.Empty(t, rejected)
			require.Len(t, applied, 1)
			require.Equal(t, c.lines, amounts(applied[0].Lines))
			require.Equal(t, c.shipping, amounts(applied[0].Shipping))
		})
	}
}

func TestVouchersAreAppliedInOneOrderWhateverTheCodesOrderIs(t *testing.T) {
	t.Parallel()
	found := []domain.Voucher{
		voucher(t, "", "SHIP", domain.FreeShipping), voucher(t, "", "FIXED", domain.FixedAmount),
		voucher(t, "", "TEN", domain.Percent), voucher(t, "a", "SHOP", domain.Percent),
		voucher(t, "", "FREE", domain.BuyXGetY),
	}
	for _, codes := range [][]string{
		{"SHIP", "FIXED", "TEN", "SHOP", "FREE"}, {"FREE", "SHOP", "TEN", "FIXED", "SHIP"},
	} {
		applied, rejected := evaluate(t, codes, found, cart())
		require.Empty(t, rejected)
		var got []string
		for _, a := range applied {
			got = append(got, a.Voucher.Code)
			require.Equal(t, a.Voucher.Code, codes[a.CodeIndex])
		}
		require.Equal(t, []string{"FREE", "SHOP", "TEN", "FIXED", "SHIP"}, got)
		require.Equal(t, []int64{0, 0, 5_00}, amounts(applied[0].Lines))
		require.Equal(t, []int64{6_00, 1_00, 0}, amounts(applied[1].Lines), "10 % of 60.00 and 10.00")
		require.Equal(t, []int64{5_40, 90, 0}, amounts(applied[2].Lines), "10 % of 54.00 and 9.00")
		require.Equal(t, []int64{6_00, 1_00, 0}, amounts(applied[3].Lines), "7.00 over 48.60 and 8.10")
	}
}

func TestCodesThatCannotBeUsedSayWhy(t *testing.T) {
	t.Parallel()
	yesterday, tomorrow := noon.Add(-24*time.Hour), noon.Add(24*time.Hour)
	product := id.New(id.Product)
	for want, o := range map[domain.Reason]option{
		domain.NotStarted:  func(v *domain.Voucher) { v.StartsAt = tomorrow },
		domain.Ended:       func(v *domain.Voucher) { v.EndsAt = &yesterday },
		domain.NotActive:   func(v *domain.Voucher) { v.State = domain.Disabled },
		domain.Unknown:     func(v *domain.Voucher) { v.State = domain.Draft },
		domain.UsedUp:      func(v *domain.Voucher) { v.MaxUses, v.Used = 3, 3 },
		domain.BudgetSpent: func(v *domain.Voucher) { v.Currency, v.Budget, v.Spent["BRL"] = "BRL", 10_00, 2_51 },
		domain.BelowMinimum: func(v *domain.Voucher) {
			v.Currency, v.MinSubtotal = "BRL", 75_01
		},
		domain.NotApplicable: func(v *domain.Voucher) { v.ProductIDs = []string{product} },
	} {
		v := voucher(t, "", "X", domain.Percent, o)
		applied, rejected := evaluate(t, []string{"X"}, []domain.Voucher{v}, cart())
		require.Empty(t, applied, want)
		require.Len(t, rejected, 1, want)
		require.Equal(t, want, rejected[0].Reason)
		require.NotEmpty(t, rejected[0].Detail)
	}
	euro := voucher(t, "", "X", domain.Percent, func(v *domain.Voucher) { v.Currency, v.Budget = "EUR", 1 })
	_, rejected := evaluate(t, []string{"X", "Y", "x"}, []domain.Voucher{euro}, cart())
	require.Equal(t, domain.NotApplicable, rejected[0].Reason)
	require.Equal(t, domain.Unknown, rejected[1].Reason)
	require.Len(t, rejected, 2, "the third code is the first one")
}

func TestLimitsOfACustomerAreChecked(t *testing.T) {
	t.Parallel()
	once := voucher(t, "", "ONCE", domain.Percent, func(v *domain.Voucher) { v.MaxUsesPerCustomer = 2 })
	first := voucher(t, "a", "FIRST", domain.Percent, func(v *domain.Voucher) { v.FirstOrderOnly = true })
	found := []domain.Voucher{once, first}
	reasons := func(u domain.Usage, c domain.Customer) (out []domain.Reason) {
		_, rejected, err := domain.Evaluate([]string{"ONCE", "FIRST"}, found, u, c, cart(), noon)
		require.NoError(t, err)
		for _, r := range rejected {
			out = append(out, r.Reason)
		}
		return out
	}
	newcomer := domain.Customer{FirstOrder: true}
	require.Empty(t, reasons(domain.Usage{Uses: map[string]int64{once.ID: 1}}, newcomer))
	require.Equal(
		t,
		[]domain.Reason{domain.AlreadyUsed},
		reasons(domain.Usage{Uses: map[string]int64{once.ID: 2}}, newcomer),
	)
	require.Equal(t, []domain.Reason{domain.NotApplicable}, reasons(domain.Usage{}, domain.Customer{}))
	require.Equal(
		t,
		[]domain.Reason{domain.NotApplicable},
		reasons(domain.Usage{FirstOrderShops: []string{"a"}}, newcomer),
	)
	require.Equal(
		t,
		[]domain.Reason{domain.AlreadyUsed},
		reasons(domain.Usage{Uses: map[string]int64{first.ID: 1}}, newcomer),
	)
}

func TestExclusiveVouchersCombineWithThoseOfOtherShopsOnly(t *testing.T) {
	t.Parallel()
	exclusive := func(v *domain.Voucher) { v.Stackable = false }
	found := []domain.Voucher{
		voucher(t, "a", "A1", domain.Percent, exclusive), voucher(t, "a", "A2", domain.Percent),
		voucher(t, "b", "B1", domain.Percent, exclusive), voucher(t, "", "ALL", domain.Percent),
		voucher(t, "", "ONLY", domain.Percent, exclusive),
	}
	for _, c := range []struct {
		codes []string
		not   []int // indexes of those that are not stackable
	}{
		{[]string{"A1", "B1"}, nil},
		{[]string{"A1", "A2", "B1"}, []int{1}},
		{[]string{"A2", "A1", "B1"}, []int{1}},
		{[]string{"A2", "ALL"}, nil},
		{[]string{"ALL", "B1"}, []int{1}},
		{[]string{"ONLY", "A2"}, []int{1}},
		{[]string{"A2", "ONLY"}, []int{1}},
	} {
		applied, rejected := evaluate(t, c.codes, found, cart())
		var not []int
		for _, r := range rejected {
			require.Equal(t, domain.NotStackable, r.Reason)
			not = append(not, r.CodeIndex)
		}
		require.Equal(t, c.not, not, c.codes)
		require.Len(t, applied, len(c.codes)-len(c.not))
	}
}

func TestOneCodeOfSeveralShopsWorksForAllOfThem(t *testing.T) {
	t.Parallel()
	found := []domain.Voucher{
		voucher(t, "a", "SALE", domain.Percent),
		voucher(t, "b", "SALE", domain.Percent, func(v *domain.Voucher) { v.State = domain.Disabled }),
	}
	applied, rejected := evaluate(t, []string{"SALE"}, found, cart())
	require.Empty(t, rejected, "one shop's voucher works")
	require.Len(t, applied, 1)
	require.Equal(t, "a", applied[0].Voucher.ShopID)
}

func TestOperatorBearsItsShare(t *testing.T) {
	t.Parallel()
	v := voucher(t, "", "X", domain.Percent, func(v *domain.Voucher) { v.OperatorShare = 33_33 })
	applied, _ := evaluate(t, []string{"X"}, []domain.Voucher{v}, cart())
	require.Equal(t, []domain.Discount{{6_00, 2_00}, {1_00, 33}, {50, 17}}, applied[0].Lines, "2.50 of 7.50")
}

func TestDiscountsNeverExceedPricesAndAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c domain.Cart
		total := int64(0)
		for i := range rapid.IntRange(1, 12).Draw(t, "lines") {
			l := domain.Line{
				ProductID: shoes,
				ShopID:    string(rune('a' + i%3)),
				Quantity:  rapid.Int64Range(1, 20).Draw(t, "quantity"),
				UnitPrice: money.New(rapid.Int64Range(0, 100_00).Draw(t, "price"), "BRL"),
			}
			total += l.Quantity * l.UnitPrice.Minor()
			c.Lines = append(c.Lines, l)
		}
		for i := range min(3, len(c.Lines)) {
			shipping := rapid.Int64Range(0, 20_00).Draw(t, "shipping")
			c.Shops = append(c.Shops, domain.Shop{ID: string(rune('a' + i)), Shipping: money.New(shipping, "BRL")})
		}
		var found []domain.Voucher
		var codes []string
		for i := range rapid.IntRange(1, 6).Draw(t, "vouchers") {
			code := "CODE" + string(rune('A'+i))
			v := domain.Voucher{
				ID: id.New(id.Voucher), Code: code, State: domain.Active, StartsAt: noon, Stackable: true,
				ShopID: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "shop"),
				Kind: rapid.SampledFrom(
					[]domain.Kind{domain.Percent, domain.FixedAmount, domain.FreeShipping, domain.BuyXGetY},
				).Draw(t, "kind"),
				Percent: rapid.Int64Range(1, 100_00).Draw(t, "percent"), Currency: "BRL",
				Amount:        rapid.Int64Range(1, 500_00).Draw(t, "amount"),
				BuyQuantity:   rapid.Int64Range(1, 5).Draw(t, "buy"),
				GetQuantity:   rapid.Int64Range(1, 5).Draw(t, "get"),
				OperatorShare: rapid.Int64Range(0, 100_00).Draw(t, "share"),
			}
			found, codes = append(found, v), append(codes, code)
		}
		applied, rejected, err := domain.Evaluate(codes, found, domain.Usage{}, domain.Customer{}, c, noon)
		if err != nil {
			t.Fatal(err)
		}
		if len(applied)+len(rejected) != len(codes) {
			t.Fatalf("%d codes: %d applied, %d rejected", len(codes), len(applied), len(rejected))
		}
		lines, shipping := make([]int64, len(c.Lines)), make([]int64, len(c.Shops))
		for _, a := range applied {
			off, operator := int64(0), int64(0)
			for i, d := range slices.Concat(a.Lines, a.Shipping) {
				if d.Amount < 0 || d.Operator < 0 || d.Operator > d.Amount {
					t.Fatalf("discount %+v", d)
				}
				off, operator = off+d.Amount, operator+d.Operator
				if i < len(lines) {
					lines[i] += d.Amount
				} else {
					shipping[i-len(lines)] += d.Amount
				}
			}
			if off <= 0 {
				t.Fatal("a voucher that takes nothing off was applied")
			}
			exact := float64(off) * float64(a.Voucher.OperatorShare) / 100_00
			if float64(operator) < exact-1 || float64(operator) > exact+1 {
				t.Fatalf("the operator bears %d of %d, not %f", operator, off, exact)
			}
		}
		for i, l := range c.Lines {
			if lines[i] > l.Quantity*l.UnitPrice.Minor() {
				t.Fatal("a line costs less than nothing")
			}
		}
		for i, s := range c.Shops {
			if shipping[i] > s.Shipping.Minor() {
				t.Fatal("a shipping costs less than nothing")
			}
		}
		again, _, err := domain.Evaluate(codes, found, domain.Usage{}, domain.Customer{}, c, noon)
		if err != nil || len(again) != len(applied) {
			t.Fatal("the same codes give another result")
		}
	})
}

func TestInvalidVouchersAreRefused(t *testing.T) {
	t.Parallel()
	brl, eur := money.New(1_00, "BRL"), money.New(1_00, "EUR")
	for name, c := range map[string]struct {
		kind   domain.Kind
		change domain.Change
		path   string
	}{
		"no percent":         {domain.Percent, domain.Change{}, "percent"},
		"percent of 0":       {domain.Percent, domain.Change{Percent: new("0.00")}, "percent"},
		"percent above 100":  {domain.Percent, domain.Change{Percent: new("100.01")}, "percent"},
		"no amount":          {domain.FixedAmount, domain.Change{}, "amount"},
		"a negative amount":  {domain.FixedAmount, domain.Change{Amount: new(money.New(-1, "BRL"))}, "amount"},
		"amount for percent": {domain.Percent, domain.Change{Percent: new("5"), Amount: &brl}, "amount"},
		"only what is bought": {
			domain.BuyXGetY, domain.Change{BuyQuantity: new(int64(1))}, "getQuantity",
		},
		"two currencies": {
			domain.FixedAmount, domain.Change{Amount: &brl, Limits: &domain.Limits{Budget: eur}}, "limits.budget",
		},
		"an end before the start": {
			domain.FreeShipping, domain.Change{EndsAt: new(noon)}, "endsAt",
		},
		"no product": {
			domain.FreeShipping, domain.Change{Conditions: &domain.Conditions{ProductIDs: []string{"x"}}},
			"conditions.productIds[0]",
		},
		"a share above 100": {domain.FreeShipping, domain.Change{OperatorShare: new("101")}, "operatorShare"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := domain.New("", "X", c.kind, c.change, noon)
			requireField(t, err, c.path)
		})
	}
}

func requireField(t *testing.T, err error, path string) {
	t.Helper()
	require.True(t, errs.Is(err, errs.Invalid), err)
	var paths []string
	for _, f := range errs.From(err).Fields {
		paths = append(paths, f.Path)
	}
	require.Contains(t, paths, path)
}
