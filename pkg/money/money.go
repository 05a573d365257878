// Package money represents an amount of money as an integer of minor units and an ISO 4217 currency,
// never as a float.
//
// Arithmetic fails on mixed currencies and on overflow. A Money is comparable with ==. Its zero value
// means "no money at all": it has no currency, and arithmetic with it fails.
package money

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"souk/pkg/errs"
)

// maxLength is more than any amount needs: a sign, 19 digits and a point.
const maxLength = 32

// Money is an amount in one currency.
type Money struct {
	minor    int64
	currency Currency
}

// New returns an amount of minor units, e.g. New(5398, "BRL") for 53.98 reais. It does not check the
// currency, which must be a constant or the result of ParseCurrency.
func New(minor int64, c Currency) Money { return Money{minor: minor, currency: c} }

// Parse reads an amount as Amount writes it, with exactly the currency's digits: "53.98" for BRL,
// "1200" for JPY. It accepts no other form, so that Amount gives back the same bytes.
//
// Errors: invalid_argument.
func Parse(amount, currency string) (Money, error) {
	m, err := parse(amount, currency)
	if err != nil {
		return Money{}, err
	}
	if m.Amount() != amount {
		return Money{}, errs.New(errs.Invalid,
			"the amount must be a decimal number with exactly %d digits after the point", m.currency.Digits())
	}
	return m, nil
}

// ParseLoose reads an amount that a person wrote. Unlike Parse it accepts missing digits after the
// point ("10" and "10.5" for BRL) and leading zeros. It refuses more digits than the currency has,
// since money is never rounded.
//
// Errors: invalid_argument.
func ParseLoose(amount, currency string) (Money, error) {
	return parse(amount, currency)
}

func parse(amount, currency string) (Money, error) {
	c, err := ParseCurrency(currency)
	if err != nil {
		return Money{}, err
	}
	if len(amount) > maxLength {
		return Money{}, errs.New(errs.Invalid, "the amount is too long")
	}
	rest, negative := strings.CutPrefix(amount, "-")
	whole, fraction, point := strings.Cut(rest, ".")
	if !isDigits(whole) || point && !isDigits(fraction) {
		return Money{}, errs.New(errs.Invalid, "the amount must be a decimal number such as \"%s\"",
			New(5398, c).Amount())
	}
	digits := c.Digits()
	if len(fraction) > digits {
		return Money{}, errs.New(errs.Invalid, "the amount has more than the %d digits after the point that %s has",
			digits, c)
	}
	text := whole + fraction + strings.Repeat("0", digits-len(fraction))
	if negative {
		text = "-" + text
	}
	minor, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return Money{}, errs.New(errs.Invalid, "the amount is too large")
	}
	return New(minor, c), nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Minor returns the amount in minor units, e.g. cents.
func (m Money) Minor() int64 { return m.minor }

// Currency returns the currency.
func (m Money) Currency() Currency { return m.currency }

// Amount returns the amount as a decimal number with exactly the currency's digits, e.g. "53.98".
func (m Money) Amount() string {
	digits := m.currency.Digits()
	var buf [maxLength]byte
	text := strconv.AppendUint(buf[:0], magnitude(m.minor), 10)
	out := make([]byte, 0, len(text)+digits+2)
	if m.minor < 0 {
		out = append(out, '-')
	}
	if digits == 0 {
		return string(append(out, text...))
	}
	if len(text) <= digits {
		out = append(out, "0."...)
		for range digits - len(text) {
			out = append(out, '0')
		}
		return string(append(out, text...))
	}
	out = append(out, text[:len(text)-digits]...)
	out = append(out, '.')
	return string(append(out, text[len(text)-digits:]...))
}

// String returns the currency and the amount, e.g. "BRL 53.98". The zero value is "no money".
func (m Money) String() string {
	if m == (Money{}) {
		return "no money"
	}
	return string(m.currency) + " " + m.Amount()
}

// IsZero reports whether the amount is zero, in any currency or without one.
func (m Money) IsZero() bool { return m.minor == 0 }

// IsNegative reports whether the amount is below zero.
func (m Money) IsNegative() bool { return m.minor < 0 }

// Add returns m + o.
//
// Errors: unprocessable (the currencies differ or one is missing), invalid_argument (the sum is too large).
func (m Money) Add(o Money) (Money, error) {
	if err := m.same(o); err != nil {
		return Money{}, err
	}
	sum := m.minor + o.minor
	if (sum > m.minor) != (o.minor > 0) {
		return Money{}, tooLarge()
	}
	return New(sum, m.currency), nil
}

// Sub returns m - o.
//
// Errors: unprocessable (the currencies differ or one is missing), invalid_argument (the difference is too large).
func (m Money) Sub(o Money) (Money, error) {
	if err := m.same(o); err != nil {
		return Money{}, err
	}
	diff := m.minor - o.minor
	if (diff < m.minor) != (o.minor > 0) {
		return Money{}, tooLarge()
	}
	return New(diff, m.currency), nil
}

// Mul returns n times m.
//
// Errors: unprocessable (m is the zero Money), invalid_argument (the product is too large).
func (m Money) Mul(n int64) (Money, error) {
	if err := m.same(m); err != nil {
		return Money{}, err
	}
	hi, lo := bits.Mul64(magnitude(m.minor), magnitude(n))
	negative := (m.minor < 0) != (n < 0)
	if hi != 0 || lo > math.MaxInt64 && (!negative || lo > 1<<63) {
		return Money{}, tooLarge()
	}
	return New(signed(lo, negative), m.currency), nil
}

// Neg returns -m.
//
// Errors: unprocessable (m is the zero Money), invalid_argument (m is the smallest amount, which has no opposite).
func (m Money) Neg() (Money, error) { return m.Mul(-1) }

// Cmp returns -1, 0 or +1 if m is less than, equal to or greater than o.
//
// Errors: unprocessable (the currencies differ or one is missing).
func (m Money) Cmp(o Money) (int, error) {
	if err := m.same(o); err != nil {
		return 0, err
	}
	return cmp.Compare(m.minor, o.minor), nil
}

// Sum adds amounts, which must all be in the currency c. Without amounts it returns zero of c.
//
// Errors: those of [Money.Add].
func Sum(c Currency, ms ...Money) (Money, error) {
	total := New(0, c)
	for _, m := range ms {
		var err error
		if total, err = total.Add(m); err != nil {
			return Money{}, err
		}
	}
	return total, nil
}

// Split divides m in proportion to weights. The parts add up to m exactly.
//
// Each part is first rounded towards zero. The minor units left over go, one each, to the parts
// with the largest remainders. Among equal remainders the larger weight comes first, among equal
// weights the earlier one. The order of the weights therefore only decides which of several equal
// weights gets an odd unit.
//
// A negative weight counts as zero. Weights that are all zero share equally. Without weights there
// are no parts.
func (m Money) Split(weights []int64) []Money {
	if len(weights) == 0 {
		return nil
	}
	ws, total := normalize(weights)
	whole, negative := magnitude(m.minor), m.minor < 0
	type share struct {
		index              int
		weight, part, rest uint64
	}
	shares := make([]share, len(ws))
	left := whole
	for i, w := range ws {
		hi, lo := bits.Mul64(whole, w)
		part, rest := bits.Div64(hi, lo, total)
		shares[i] = share{index: i, weight: w, part: part, rest: rest}
		left -= part
	}
	slices.SortStableFunc(shares, func(a, b share) int {
		return cmp.Or(cmp.Compare(b.rest, a.rest), cmp.Compare(b.weight, a.weight))
	})
	parts := make([]Money, len(shares))
	for _, s := range shares {
		if left > 0 {
			s.part++
			left--
		}
		parts[s.index] = New(signed(s.part, negative), m.currency)
	}
	return parts
}

// normalize makes the weights non-negative, with a positive total below 2^63. Weights with a larger
// total lose their lowest bits, which are too small to change any amount of money.
func normalize(weights []int64) (ws []uint64, total uint64) {
	ws = make([]uint64, len(weights))
	var shift uint
	for shift = 0; ; shift++ {
		total = 0
		fits := true
		for i, w := range weights {
			ws[i] = uint64(max(w, 0)) >> shift
			if total += ws[i]; total > math.MaxInt64 {
				fits = false
				break
			}
		}
		if fits {
			break
		}
	}
	if total > 0 {
		return ws, total
	}
	for i := range ws {
		ws[i] = 1
	}
	return ws, uint64(len(ws))
}

func (m Money) same(o Money) error {
	switch {
	case m.currency == "" || o.currency == "":
		return errs.New(errs.Unprocessable, "an amount of money is missing")
	case m.currency != o.currency:
		return errs.New(errs.Unprocessable, "%s and %s cannot be mixed", m.currency, o.currency)
	}
	return nil
}

func tooLarge() error { return errs.New(errs.Invalid, "the amount is too large") }

// magnitude returns |n|. It is correct for the smallest number too, which has no opposite.
func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func signed(n uint64, negative bool) int64 {
	if negative {
		return int64(-n)
	}
	return int64(n)
}
