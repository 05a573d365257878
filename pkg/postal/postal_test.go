package postal

import (
	"encoding/csv"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/errs"
)

func TestEveryCountryCompiles(t *testing.T) {
	t.Parallel()
	require.Len(t, formats(), 249, "ISO 3166-1 has assigned 249 codes")
	for code := range formats() {
		f, ok := FormatOf(code)
		require.True(t, ok)
		require.Equal(t, code, f.CountryCode)
		require.Subset(t, f.Required, []string{PartName, PartLine1})
		if f.PostalCodeExample != "" {
			require.True(t, f.postalCode.MatchString(f.PostalCodeExample), "%s: %s", code, f.PostalCodeExample)
		}
	}
}

func TestFormatsSayWhatACountryRequires(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"BR": "name line1 city region postalCode",
		"PT": "name line1 city postalCode",
		"HK": "name line1 region",
		"IE": "name line1 city",
		"AG": "name line1",
	} {
		f, ok := FormatOf(code)
		require.True(t, ok)
		require.Equal(t, want, strings.Join(f.Required, " "), code)
	}
	us, _ := FormatOf("US")
	require.Equal(t, map[string]string{"region": "State", "postalCode": "ZIP code", "city": "City"}, us.Labels)
	_, ok := FormatOf("XX")
	require.False(t, ok)
	_, ok = FormatOf("br")
	require.False(t, ok)
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	const none = ""
	for _, c := range []struct {
		country, city, region, postalCode string
		wantRegion, wantPostalCode        string
		wrong                             string // parts
	}{
		{"BR", "Fortaleza", "CE", "60000-000", "CE", "60000-000", none},
		{"BR", "Fortaleza", "Ceará", "60000000", "Ceará", "60000000", none},
		{"BR", "Fortaleza", "ceara", " 60000-000 ", "ceara", "60000-000", none},
		{"BR", "Fortaleza", "", "60000-000", "CE", "60000-000", none},
		{"BR", "Fortaleza", "", "6000-000", "", "6000-000", "region postalCode"},
		{"BR", "Fortaleza", "Ontario", "60000-000", "Ontario", "60000-000", "region"},
		{"BR", "", "", "", "", "", "city region postalCode"},
		{"PT", "Porto", "", "4000-001", "", "4000-001", none},
		{"PT", "Porto", "Norte", "4000", "Norte", "4000", "postalCode"},
		{"CA", "Ottawa", "on", "k1a 0b1", "on", "K1A 0B1", none},
		{"GB", "London", "", "ec1y8sy", "", "EC1Y8SY", none},
		{"GB", "London", "Kent", "12345", "Kent", "12345", "postalCode"},
		{"JP", "", "", "１５４-００２３", "東京都", "154-0023", none},
		{"JP", "", "Tokyo", "154-0023", "Tokyo", "154-0023", none},
		{"US", "Austin", "TX", "78701-1234", "TX", "78701-1234", none},
		{"US", "Austin", "Texas", "7870", "Texas", "7870", "postalCode"},
		{"HK", "", "Kowloon", "", "Kowloon", "", none},
		{"HK", "", "", "999077", "", "999077", "region"},
		{"IE", "Dublin", "", "", "", "", none},
		{"VN", "Huế", "Thừa Thiên–Huế", "", "Thừa Thiên–Huế", "", none},
		{"XX", "X", "", "1", "", "1", "countryCode"},
	} {
		a, wrong := Normalize(Address{
			Name:        " Ana ",
			Line1:       "Rua 1",
			City:        c.city,
			Region:      c.region,
			PostalCode:  c.postalCode,
			CountryCode: c.country,
		})
		require.Equal(t, "Ana", a.Name)
		require.Equal(t, c.wantRegion, a.Region, "%+v", c)
		require.Equal(t, c.wantPostalCode, a.PostalCode, "%+v", c)
		require.Equal(t, c.wrong, parts(wrong), "%+v", c)
	}
	_, wrong := Normalize(Address{
		Name:        "Ana www.example.com",
		Line1:       "Rua\n1",
		Line2:       "a\u2028b",
		CountryCode: "BR",
		City:        "X\u202ey",
		PostalCode:  "60000-000",
	})
	require.Equal(t, "name line1 line2 city", parts(wrong))
	_, wrong = Normalize(Address{CountryCode: "BR", City: "X", PostalCode: "60000-000", Line1: "\t"})
	require.Equal(t, "name line1", parts(wrong))
}

func parts(fields []errs.Field) string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Path)
	}
	return strings.Join(out, " ")
}

// TestRealAddressesAreRight checks the addresses of 1,565 shops in the United States and Puerto Rico.
func TestRealAddressesAreRight(t *testing.T) {
	t.Parallel()
	file, err := os.Open("../../../shared/data/bestbuy/stores.csv")
	if os.IsNotExist(err) {
		t.Skip("the real data is not there")
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, file.Close()) }()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for _, row := range rows[1:] {
		a := Address{
			Name: row[column["name"]], Line1: row[column["address"]], Line2: row[column["address2"]],
			City: row[column["city"]], Region: row[column["state"]], CountryCode: "US",
			PostalCode: fmt.Sprintf("%05s", row[column["zip"]]), // the file has lost zeros in front
		}
		_, wrong := Normalize(a)
		require.Empty(t, wrong, "%+v", a)
		region := a.Region
		a.Region = ""
		a, _ = Normalize(a)
		require.Contains(t, []string{"", region}, a.Region, "%+v", a)
	}
}
