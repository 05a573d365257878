package weblink_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/weblink"
)

func TestWebAddressesAreRecognized(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"http://evil.example", "HTTPS://EVIL.EXAMPLE/a?b", "You won! www.evil.com", "evil.com", "Claim: bit.ly/3xYz", "ftp://evil.com",
		"Ana (evil.co.uk)", "ｅｖｉｌ.com", "evil。com", "evil．com", "e\u200bvil.c\u200bom", "münchen.de", "xn--mnchen-3ya.de",
		"ana@evil.com", "http://10.0.0.1/a", "name,evil.shop!",
	} {
		require.True(t, weblink.In(text), text)
	}
}

func TestNamesAreNotWebAddresses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "Ana", "J. R. R. Tolkien", "J.R. Smith", "Dr. Müller", "St. John", "Sr. José da Silva Jr.", "O'Brien", "Anne-Marie",
		"Rua 7 de Setembro, nº 10. Ap. 2", "1º andar", "c/o Silva", "Apt. 12/3", "São Paulo", "王小明", "محمد", "Vinil & Café",
		"Müller & Söhne GmbH & Co. KG", "No. 5", "2.5 km", "Ateliê Aurora", "A/C Maria", "Ma.de Lourdes", "J.Li", "Dr.med. Weiß",
	} {
		require.False(t, weblink.In(text), text)
	}
}
