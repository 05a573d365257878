package phone_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/phone"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ number, country, want string }{
		{"+55 11 91234-5678", "BR", "+5511912345678"},
		{"(11) 91234-5678", "BR", "+5511912345678"},
		{"011 91234-5678", "BR", "+5511912345678"},
		{"+351 912 345 678", "BR", "+351912345678"},
		{"0912 345 678", "VN", "+84912345678"},
		{"020 7946 0958", "GB", "+442079460958"},
		{"(415) 555-2671", "US", "+14155552671"},
		{"", "BR", ""},
		{"  ", "XX", ""},
	} {
		got, ok := phone.Normalize(c.number, c.country)
		require.True(t, ok, "%+v", c)
		require.Equal(t, c.want, got, "%+v", c)
	}
	for _, c := range []struct{ number, country string }{
		{"1234", "BR"}, {"91234-5678", "US"}, {"+999 123 456 789", "BR"}, {"91234-5678", "XX"}, {"call me", "BR"},
		{"+55 11 91234-5678 9999 9999", "BR"},
	} {
		_, ok := phone.Normalize(c.number, c.country)
		require.False(t, ok, "%+v", c)
	}
}

func ExampleNormalize() {
	fmt.Println(phone.Normalize("(11) 91234-5678", "BR"))
	// Output: +5511912345678 true
}
