package setting_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"souk/pkg/errs"
	"souk/pkg/money"
	"souk/pkg/setting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDefinitionsAreSortedAndTheirDefaultsValid(t *testing.T) {
	t.Parallel()
	var keys []string
	for _, d := range setting.All() {
		keys = append(keys, d.Key)
		normal, err := d.Normalize(d.Default)
		require.NoError(t, err, d.Key)
		require.Equal(t, d.Default, normal, d.Key)
		require.NotEmpty(t, d.Description)
		require.Contains(t, d.Key, d.Owner()+".")
		found, ok := setting.Find(d.Key)
		require.True(t, ok)
		require.Equal(t, d.Key, found.Key)
	}
	require.True(t, slices.IsSorted(keys))
	require.Len(t, slices.Compact(keys), len(setting.All()))
	_, ok := setting.Find("order.nothing")
	require.False(t, ok)
}

// docs/settings.md has a row for each setting, and no other.
func TestSettingsAreDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/settings.md")
	require.NoError(t, err)
	var rows []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	var want []string
	for _, d := range setting.All() {
		public := ""
		if d.Public {
			public = "yes"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", d.Key, d.Kind, public, d.Description))
	}
	require.Equal(t, want, rows)
}

func TestValuesAreCheckedByKind(t *testing.T) {
	t.Parallel()
	object := func(kv ...any) map[string]any {
		out := map[string]any{}
		for i := 0; i < len(kv); i += 2 {
			out[fmt.Sprint(kv[i])] = kv[i+1]
		}
		return out
	}
	many := map[string]any{}
	for i := range 201 {
		many[fmt.Sprint(i)] = "1.00"
	}
	for key, tc := range map[string]struct {
		valid   []any // value, its usual form, …
		invalid []any
	}{
		"order.cash.guests": {[]any{true, true, false, false}, []any{nil, "true", 1.0, object()}},
		"comment.hold_words": {
			[]any{[]any{}, []any{}, []any{" Scam", "money  back"}, []any{"Scam", "money  back"}},
			[]any{
				nil, "scam", object(), []any{""}, []any{" "}, []any{1.0}, []any{strings.Repeat("é", 101)},
				make([]any, 10_001), slices.Repeat([]any{strings.Repeat("x", 100)}, 656),
			},
		},
		"security.travel_near": {
			[]any{[]any{}, []any{}, []any{"ES-PT"}, []any{"ES-PT"}},
			[]any{nil, []any{"ES"}, []any{"es-pt"}, []any{"ES-PT", "ESP-PRT"}, []any{1.0}},
		},
		"order.max_unpaid": {
			[]any{0.0, 0.0, 1e6, 1e6}, []any{nil, -1.0, 1e6 + 1, 1.5, "5", true, 1e300},
		},
		"order.cancels.wait": {
			[]any{"0s", "0s", "90s", "1m30s", "8760h", "8760h0m0s"}, []any{nil, "", "1", 60.0, "-1s", "8761h", "x"},
		},
		"order.cash.max_total": {
			[]any{
				object(), object(), object("BRL", "10.00", "JPY", "500"), object("BRL", "10.00", "JPY", "500"),
			},
			[]any{
				nil, "10.00", object("BRL", 10.0), object("BRL", "-1.00"), object("XYZ", "1.00"), object("BRL", "1.234"),
				object("BRL", ""), many,
			},
		},
	} {
		d, ok := setting.Find(key)
		require.True(t, ok)
		for i := 0; i < len(tc.valid); i += 2 {
			got, err := d.Normalize(tc.valid[i])
			require.NoError(t, err, "%s: %v", key, tc.valid[i])
			require.Equal(t, tc.valid[i+1], got)
		}
		for _, v := range tc.invalid {
			_, err := d.Normalize(v)
			require.Equal(t, errs.Invalid, errs.CodeOf(err), "%s: %v", key, v)
			require.Equal(t, "value", errs.From(err).Fields[0].Path)
			require.Error(t, setting.Values{key: v}.Check(), "%s: %v", key, v)
		}
	}
}

func TestPutValuesAreRead(t *testing.T) {
	t.Parallel()
	v := setting.Values{}
	require.EqualValues(t, 5, setting.OrderMaxUnpaid.Of(v), "the default")
	require.Equal(t, 7*24*time.Hour, setting.OrderExpireUnpaidAfter.Of(v))
	setting.OrderMaxUnpaid.Put(v, 9)
	setting.OrderExpireUnpaidAfter.Put(v, 90*time.Minute)
	setting.OrderCashGuests.Put(v, true)
	most := map[money.Currency]money.Money{"BRL": money.New(12345, "BRL")}
	setting.OrderCashMaxTotal.Put(v, most)
	require.NoError(t, v.Check())
	require.EqualValues(t, 9, setting.OrderMaxUnpaid.Of(v))
	require.Equal(t, 90*time.Minute, setting.OrderExpireUnpaidAfter.Of(v))
	require.True(t, setting.OrderCashGuests.Of(v))
	require.Equal(t, most, setting.OrderCashMaxTotal.Of(v))
	setting.OrderMaxUnpaid.Put(v, -1)
	require.ErrorContains(t, v.Check(), "max_unpaid: ")
}

func TestRolesTakeKnownPermissions(t *testing.T) {
	t.Parallel()
	d, ok := setting.Find("access.role.support")
	require.True(t, ok)
	require.Equal(t, "access.manage", d.Permission)
	require.True(t, d.Grants)
	got, err := d.Normalize([]any{"order.read", "order.cancel", "order.read"})
	require.NoError(t, err)
	require.Equal(t, []any{"order.cancel", "order.read"}, got)
	_, err = d.Normalize([]any{"order.read", "order.steal"})
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
	require.Contains(t, errs.From(err).Fields[0].Message, `"order.steal"`)

	// A newer version of souk has stored it: what this version knows applies, and not the default, which has more.
	got, err = d.Accept([]any{"order.read", "order.steal"})
	require.NoError(t, err)
	require.Equal(t, []any{"order.read"}, got)
	require.Equal(t, []string{"order.read"}, setting.AccessRoleSupport.Of(setting.Values{d.Key: got}))
	_, err = d.Accept("order.read")
	require.Equal(t, errs.Invalid, errs.CodeOf(err))
	plain, ok := setting.Find("order.max_unpaid")
	require.True(t, ok)
	_, err = plain.Accept(-1.0)
	require.Equal(t, errs.Invalid, errs.CodeOf(err), "other settings accept what they take")
}
