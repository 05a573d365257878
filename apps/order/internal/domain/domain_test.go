package domain_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"souk/apps/order/internal/domain"
	"souk/pkg/errs"
	"souk/pkg/money"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestOnlyListedTransitionsAreAllowed(t *testing.T) {
	t.Parallel()
	allowed := map[domain.Status][]domain.Status{
		domain.Pending:   {domain.Confirmed, domain.Cancelled},
		domain.Confirmed: {domain.Shipped, domain.Cancelled},
		domain.Shipped:   {domain.Delivered},
	}
	for _, from := range domain.Statuses {
		for _, to := range domain.Statuses {
			want := false
			for _, s := range allowed[from] {
				want = want || s == to
			}
			require.Equal(t, want, from.CanBecome(to), "%s to %s", from, to)
		}
	}
}

func TestOrderHasTheStatusOfItsLeastAdvancedShopOrder(t *testing.T) {
	t.Parallel()
	const c, s, d, x = domain.Confirmed, domain.Shipped, domain.Delivered, domain.Cancelled
	for _, row := range []struct {
		parts []domain.Status
		want  domain.Status
	}{
		{[]domain.Status{c}, c}, {[]domain.Status{s}, s}, {[]domain.Status{d}, d},
		{[]domain.Status{c, s}, c}, {[]domain.Status{c, d}, c}, {[]domain.Status{s, d}, s},
		{[]domain.Status{d, d}, d}, {[]domain.Status{s, s}, s}, {[]domain.Status{x, c}, c}, {[]domain.Status{s, x}, s},
		{[]domain.Status{x, d, x}, d}, {[]domain.Status{x, d, s}, s},
		{[]domain.Status{x, x}, x},
	} {
		require.Equal(t, row.want, domain.Derive(row.parts), "%v", row.parts)
	}
}

func TestOrdersAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		currency := rapid.SampledFrom([]money.Currency{"BRL", "JPY", "KWD"}).Draw(t, "currency")
		lines := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) domain.Line {
			return domain.Line{
				VariantID: rapid.StringMatching("var_[a-z]{8}").Draw(t, "variant"),
				ShopID:    fmt.Sprintf("shp_%d", rapid.IntRange(0, 5).Draw(t, "shop")),
				Quantity:  rapid.Int64Range(1, domain.MaxQuantity).Draw(t, "quantity"),
				UnitPrice: money.New(rapid.Int64Range(1, 1_000_000_00).Draw(t, "price"), currency),
			}
		}), 1, 40).Draw(t, "lines")
		rates := map[money.Currency]money.Money{
			currency: money.New(rapid.Int64Range(0, 5000).Draw(t, "rate"), currency),
		}
		o, err := domain.Place(domain.Request{CustomerID: "usr_1", IdemKey: "k", PaymentMethod: "card"},
			domain.Cart{Lines: lines}, rates,
			noon)
		if err != nil {
			t.Fatal(err)
		}
		var all, items, n int64
		shops := map[string]bool{}
		for _, p := range o.Parts {
			if shops[p.ShopID] {
				t.Fatalf("two parts of shop %s", p.ShopID)
			}
			shops[p.ShopID] = true
			var part int64
			for _, i := range p.Items {
				if i.LineTotal.Minor() != i.Quantity*i.UnitPrice.Minor() {
					t.Fatal("a line does not add up")
				}
				part += i.LineTotal.Minor()
				n++
			}
			if p.Totals.Subtotal.Minor() != part || p.Totals.Total.Minor() != part+rates[currency].Minor() {
				t.Fatalf("part of %s does not add up: %+v", p.ShopID, p.Totals)
			}
			items += part
			all += p.Totals.Total.Minor()
		}
		tot := o.Totals
		if n != int64(len(lines)) || tot.Subtotal.Minor() != items || tot.Total.Minor() != all ||
			tot.Total.Minor() != tot.Subtotal.Minor()-tot.Discount.Minor()+tot.Shipping.Minor()+tot.Tax.Minor() {
			t.Fatalf("the order does not add up: %+v", tot)
		}
	})
}

func TestNumberChecksumCatchesEveryChangedCharacter(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		n := domain.NewNumber()
		require.True(t, domain.ValidNumber(n), n)
		require.False(t, seen[n])
		seen[n] = true
		for i := range n {
			if n[i] == '-' {
				continue
			}
			b := []byte(n)
			b[i] = '0'
			if n[i] == '0' {
				b[i] = '1'
			}
			require.False(t, domain.ValidNumber(string(b)), "%s for %s", b, n)
		}
	}
	for _, bad := range []string{"", "K7QF-3M9X", "k7qf-3m9x-2", "K7QF33M9X-2"} {
		require.False(t, domain.ValidNumber(bad), bad)
	}
}

func TestRequestHashDiffersForDifferentRequests(t *testing.T) {
	t.Parallel()
	base := domain.Request{Address: domain.Address{Name: "a", Line1: "b"}, PaymentMethod: "card", Token: "tok_ok"}
	seen := map[[32]byte]bool{base.Hash(): true}
	for _, change := range []func(*domain.Request){
		func(r *domain.Request) { r.Address.Name, r.Address.Line1 = "ab", "" },
		func(r *domain.Request) { r.Token = "tok_slow" },
		func(r *domain.Request) { r.Email = "a@b.c" },
		func(r *domain.Request) { r.VoucherCodes = []string{""} },
		func(r *domain.Request) { r.PaymentMethod = "wallet" },
	} {
		r := base
		change(&r)
		require.False(t, seen[r.Hash()], "%+v", r)
		seen[r.Hash()] = true
	}
}

func TestShippingRequiresPayment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, status string
		ok             bool
	}{
		{"card", "authorized", false}, {"card", "captured", true}, {"card", "voided", false},
		{"cod", "authorized", true}, {"cod", "voided", false},
	} {
		o := domain.Order{
			Status:  domain.Confirmed,
			Payment: domain.Payment{Method: c.method, Status: c.status},
			Parts:   []domain.ShopOrder{{ID: "p", Status: domain.Confirmed}},
		}
		changed, err := o.Ship("p", "x", "y", noon)
		require.Equal(t, c.ok, changed && err == nil, "%+v: %v", c, err)
		if !c.ok {
			require.Equal(t, errs.Conflict, errs.CodeOf(err))
		}
	}
}

func TestAddressReportsAllInvalidFields(t *testing.T) {
	t.Parallel()
	ok := domain.Address{
		Name:        " a ",
		Line1:       "b",
		City:        "c",
		PostalCode:  "60000-000",
		CountryCode: "BR",
		Phone:       "85 3222-3333",
	}
	got, err := ok.Normalize()
	require.NoError(t, err)
	require.Equal(t, domain.Address{
		Name:        "a",
		Line1:       "b",
		City:        "c",
		Region:      "CE",
		PostalCode:  "60000-000",
		CountryCode: "BR",
		Phone:       "+558532223333",
	}, got)
	_, err = domain.Address{CountryCode: "XX", Phone: "12"}.Normalize()
	var paths []string
	for _, f := range errs.From(err).Fields {
		paths = append(paths, f.Path)
	}
	require.Equal(t, []string{
		"shippingAddress.countryCode",
		"shippingAddress.name",
		"shippingAddress.line1",
		"shippingAddress.city",
		"shippingAddress.phone",
	}, paths)
}
