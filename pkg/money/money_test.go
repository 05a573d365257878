package money_test

import (
	"encoding/json"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	moneyv1 "souk/gen/go/souk/money/v1"
	"souk/pkg/errs"
	"souk/pkg/money"
)

func TestParseReadsWhatAmountWrites(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		amount, currency string
		minor            int64
	}{
		{"53.98", "BRL", 5398},
		{"0.00", "BRL", 0},
		{"0.05", "BRL", 5},
		{"-0.05", "BRL", -5},
		{"1200", "JPY", 1200},
		{"1.234", "BHD", 1234},
		{"0.0001", "CLF", 1},
		{"92233720368547758.07", "USD", math.MaxInt64},
		{"-92233720368547758.08", "USD", math.MinInt64},
	} {
		m, err := money.Parse(c.amount, c.currency)
		require.NoError(t, err, c.amount)
		require.Equal(t, c.minor, m.Minor())
		require.Equal(t, c.amount, m.Amount())
		require.Equal(t, c.currency+" "+c.amount, m.String())
	}
}

func TestParseRefusesOtherForms(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"", "BRL"}, {"53.9", "BRL"}, {"53", "BRL"}, {"53.980", "BRL"}, {"053.98", "BRL"}, {"-0.00", "BRL"},
		{"+1.00", "BRL"}, {" 1.00", "BRL"}, {"1.00 ", "BRL"}, {"1,00", "BRL"}, {"1e2", "BRL"}, {".50", "BRL"},
		{"1.", "JPY"}, {"1.0", "JPY"}, {"--1.00", "BRL"}, {"1.-1", "BRL"}, {"1.00.00", "BRL"}, {"NaN", "BRL"},
		{"92233720368547758.08", "USD"}, {"99999999999999999999999999999999999999.00", "USD"}, {"١.٠٠", "BRL"},
		{"1.00", "brl"}, {"1.00", ""}, {"1.00", "XXX"}, {"1.00", "XAU"}, {"1.00", "HRK"}, {"1.00", "BRLL"},
	} {
		_, err := money.Parse(c[0], c[1])
		require.Equal(t, errs.Invalid, errs.CodeOf(err), "%q %q", c[0], c[1])
	}
}

func TestParseLooseReadsAmountsWrittenByPeople(t *testing.T) {
	t.Parallel()
	for amount, minor := range map[string]int64{
		"10": 1000, "10.5": 1050, "10.55": 1055, "007": 700, "-1.5": -150, "-0": 0,
	} {
		m, err := money.ParseLoose(amount, "BRL")
		require.NoError(t, err, amount)
		require.Equal(t, money.New(minor, "BRL"), m)
	}
	for _, amount := range []string{"10.555", "10.", ".5", "ten", "", "1 000"} {
		_, err := money.ParseLoose(amount, "BRL")
		require.Equal(t, errs.Invalid, errs.CodeOf(err), amount)
	}
}

func TestCurrencyHasTheDigitsOfISO4217(t *testing.T) {
	t.Parallel()
	for c, want := range map[string]int{"BRL": 2, "JPY": 0, "BHD": 3, "CLF": 4, "KRW": 0, "TND": 3, "EUR": 2} {
		parsed, err := money.ParseCurrency(c)
		require.NoError(t, err)
		require.Equal(t, want, parsed.Digits(), c)
	}
}

func TestArithmeticWithZeroMoneyFails(t *testing.T) {
	t.Parallel()
	var none money.Money
	require.Equal(t, "no money", none.String())
	require.True(t, none.IsZero())
	_, err := money.New(1, "BRL").Add(none)
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err))
	_, err = none.Mul(3)
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err))
	require.Nil(t, none.ToProto())
	back, err := money.FromProto(nil)
	require.NoError(t, err)
	require.Equal(t, none, back)
}

func TestCurrenciesDoNotMix(t *testing.T) {
	t.Parallel()
	a, b := money.New(1, "BRL"), money.New(1, "EUR")
	_, err := a.Add(b)
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err))
	_, err = a.Sub(b)
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err))
	_, err = a.Cmp(b)
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err))
	_, err = money.Sum("BRL", a, b)
	require.Equal(t, errs.Unprocessable, errs.CodeOf(err))
}

func TestMoneySurvivesJSONAndProto(t *testing.T) {
	t.Parallel()
	type priced struct {
		Price money.Money `json:"price"`
	}
	b, err := json.Marshal(priced{money.New(5398, "BRL")})
	require.NoError(t, err)
	require.JSONEq(t, `{"price":{"currencyCode":"BRL","amount":"53.98"}}`, string(b))
	var back priced
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, money.New(5398, "BRL"), back.Price)
	require.NoError(t, json.Unmarshal([]byte(`{"price":null}`), &back))
	require.Equal(t, money.Money{}, back.Price)
	for _, bad := range []string{
		`{"price":53.98}`, `{"price":{"currencyCode":"BRL","amount":53.98}}`, `{"price":{"amount":"53.98"}}`,
	} {
		require.Error(t, json.Unmarshal([]byte(bad), &back), bad)
	}

	m, err := money.FromProto(money.New(1200, "JPY").ToProto())
	require.NoError(t, err)
	require.Equal(t, money.New(1200, "JPY"), m)
	_, err = money.FromProto(&moneyv1.Money{CurrencyCode: "JPY", Amount: "12.00"})
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
}

// TestArithmeticIsExact compares with unbounded integers: the result is the same, or an error.
func TestArithmeticIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, y := minor().Draw(t, "x"), minor().Draw(t, "y")
		a, b := money.New(x, "BRL"), money.New(y, "BRL")
		check := func(name string, got money.Money, err error, want *big.Int) {
			if !want.IsInt64() {
				require.Equal(t, errs.Invalid, errs.CodeOf(err), name)
				return
			}
			require.NoError(t, err, name)
			require.Equal(t, money.New(want.Int64(), "BRL"), got, name)
		}
		bx, by := big.NewInt(x), big.NewInt(y)
		got, err := a.Add(b)
		check("add", got, err, new(big.Int).Add(bx, by))
		got, err = a.Sub(b)
		check("sub", got, err, new(big.Int).Sub(bx, by))
		got, err = a.Mul(y)
		check("mul", got, err, new(big.Int).Mul(bx, by))
		got, err = a.Neg()
		check("neg", got, err, new(big.Int).Neg(bx))
		c, err := a.Cmp(b)
		require.NoError(t, err)
		require.Equal(t, bx.Cmp(by), c)
	})
}

func minor() *rapid.Generator[int64] {
	return rapid.OneOf(rapid.Int64(), rapid.Int64Range(-1_000_000, 1_000_000),
		rapid.SampledFrom([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MinInt64 + 1, 1 << 62}))
}

func TestSplitGivesLeftoverUnitsByRemainder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		minor   int64
		weights []int64
		want    []int64
	}{
		{"even", 100, []int64{1, 1}, []int64{50, 50}},
		{"the odd cent goes to the first of equals", 101, []int64{1, 1}, []int64{51, 50}},
		{"largest remainder", 100, []int64{1, 2, 3}, []int64{17, 33, 50}},
		{"equal remainders: the larger weight", 10, []int64{1, 3}, []int64{2, 8}},
		{"negative", -101, []int64{1, 1}, []int64{-51, -50}},
		{"zero weight gets nothing", 101, []int64{0, 1, 1}, []int64{0, 51, 50}},
		{"all weights zero", 10, []int64{0, 0, 0}, []int64{4, 3, 3}},
		{"negative weight counts as zero", 10, []int64{-5, 1}, []int64{0, 10}},
		{"huge weights", 10, []int64{math.MaxInt64, math.MaxInt64, math.MaxInt64}, []int64{4, 3, 3}},
		{"smallest amount", math.MinInt64, []int64{1}, []int64{math.MinInt64}},
		{"no weights", 10, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var got []int64
			for _, p := range money.New(c.minor, "BRL").Split(c.weights) {
				require.Equal(t, money.Currency("BRL"), p.Currency())
				got = append(got, p.Minor())
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestSplitAddsUpAndIsFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := minor().Draw(t, "amount")
		weights := rapid.SliceOfN(rapid.Int64Range(0, 1_000_000_000), 1, 12).Draw(t, "weights")
		parts := money.New(amount, "BRL").Split(weights)
		require.Len(t, parts, len(weights))

		total, sum := new(big.Int), new(big.Int)
		for i, p := range parts {
			total.Add(total, big.NewInt(weights[i]))
			sum.Add(sum, big.NewInt(p.Minor()))
		}
		require.Equal(t, big.NewInt(amount).String(), sum.String(), "the parts add up")
		for i, p := range parts {
			if total.Sign() == 0 {
				continue
			}
			// |part*total - amount*weight| < total: less than one minor unit from the exact share.
			off := new(big.Int).Mul(big.NewInt(p.Minor()), total)
			off.Sub(off, new(big.Int).Mul(big.NewInt(amount), big.NewInt(weights[i])))
			require.Negative(t, off.CmpAbs(total), "part %d is a fair share", i)
		}
	})
}

func TestSplitDoesNotDependOnOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := money.New(minor().Draw(t, "amount"), "BRL")
		weights := rapid.SliceOfN(rapid.Int64Range(0, 50), 1, 8).Draw(t, "weights")
		shuffled := rapid.Permutation(weights).Draw(t, "shuffled")
		require.Equal(t, shares(amount, weights), shares(amount, shuffled))
	})
}

// shares returns pairs of a weight and its part, sorted.
func shares(m money.Money, weights []int64) [][2]int64 {
	var out [][2]int64
	for i, p := range m.Split(weights) {
		out = append(out, [2]int64{weights[i], p.Minor()})
	}
	slices.SortFunc(out, func(a, b [2]int64) int { return slices.Compare(a[:], b[:]) })
	return out
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"53.98", "0.00", "-1.00", "1e3", "", ".", "-", "92233720368547758.08", "00.00"} {
		f.Add(s, "BRL")
		f.Add(s, "JPY")
	}
	f.Fuzz(func(t *testing.T, amount, currency string) {
		m, err := money.Parse(amount, currency)
		if err != nil {
			require.Equal(t, errs.Invalid, errs.CodeOf(err))
			return
		}
		require.Equal(t, amount, m.Amount(), "what is read is written back")
		loose, err := money.ParseLoose(amount, currency)
		require.NoError(t, err)
		require.Equal(t, m, loose)
	})
}
