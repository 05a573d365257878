package handle_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/handle"
)

func ExampleOf() {
	fmt.Println(handle.Of("Ateliê Aurora & Cia.", handle.MaxLen))
	// Output:
	// atelie-aurora-cia
}

func TestOfDerivesHandles(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Casa Cerrado": "casa-cerrado", "ABC 9": "abc-9", "24": "24", "a": "a",
		"  Vinil & Café  ": "vinil-cafe", "a--b__c": "a-b-c", "(a) [b]": "a-b", "casa-cerrado": "casa-cerrado",
		// accents, composed or not, and compatibility forms of letters
		"Ateliê Aurora": "atelie-aurora", "Atelie\u0302": "atelie", "Ångström": "angstrom", "Ça va": "ca-va", "İstanbul": "istanbul",
		"ＡＢＣ　１２": "abc-12", "ﬁne": "fine", "Loja nº 2": "loja-no-2", "m²": "m2",
		// letters that Unicode does not decompose are lost
		"Straße": "stra-e", "Łódź": "odz", "Møller": "m-ller",
		// other scripts, alone and mixed with ASCII
		"Кафе": "", "Кафе 24": "24", "Ω": "", "日本": "", "株式会社 ABC": "abc", "ガラス": "", "한국": "", "متجر": "",
		"🙂": "", "🙂 Bazar 🛒": "bazar", "👩‍🌾 Horta": "horta", "Sol☀Mar": "sol-mar",
		// names without usable characters
		"": "", " ": "", "-": "", "&": "", "\x00": "", "\xff\xfe": "", "\u0301": "",
	} {
		got := handle.Of(name, handle.MaxLen)
		require.Equal(t, want, got, "%q", name)
		require.Equal(t, got != "", handle.Valid(got), "%q", name)
		require.Equal(t, got, handle.Of(got, handle.MaxLen), "a handle's handle is itself")
	}
}

func TestOfCutsAtTheLimit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 100)
	require.Equal(t, strings.Repeat("e", handle.MaxLen), handle.Of(long, handle.MaxLen))
	for limit, want := range map[int]string{1: "a", 2: "ab", 3: "ab", 4: "ab-c", 5: "ab-cd", 6: "ab-cd"} {
		require.Equal(t, want, handle.Of("ab cd", limit), "%d", limit)
	}
}

func TestValidAcceptsOnlyHandles(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"a": true, "9": true, "a-b": true, "a--b": true, strings.Repeat("a", handle.MaxLen): true,
		"": false, "-": false, "-a": false, "a-": false, "A": false, "a b": false, "a_b": false, "é": false, "a\n": false,
		strings.Repeat("a", handle.MaxLen+1): false,
	} {
		require.Equal(t, want, handle.Valid(s), "%q", s)
	}
}
