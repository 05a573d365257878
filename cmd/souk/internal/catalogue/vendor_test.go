package catalogue

import (
	"testing"

	"github.com/stretchr/testify/require"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/handle"
)

func TestShopHandleIsValidAndDistinct(t *testing.T) {
	t.Parallel()
	for vendor, want := range map[string]string{
		"Ateliê Aurora": "atelie-aurora", "Merchant 3": "merchant-3", "Open Food Facts": "open-food-facts",
		"  Casa   Cerrado ": "casa-cerrado", "acme-co-0a1b2c": "acme-co-0a1b2c", "日本": "shop-e697a5e69cac",
	} {
		require.Equal(t, want, shopHandle(vendor))
	}
	different := map[string]string{}
	for _, vendor := range []string{
		"Acme Co", "Acme & Co", "Acme Co.", "Кафе 24", "Бар 24", "24", "Vinil & Café", "Vinil Café", "Ω",
		"株式会社東京都千代田区丸の内一", "株式会社東京都千代田区丸の内二",
	} {
		own := shopHandle(vendor)
		require.True(t, handle.Valid(own), own)
		require.Empty(t, different[own], "%s and %s", vendor, different[own])
		different[own] = vendor
	}
	require.Regexp(t, `^acme-co-[0-9a-f]{6}$`, shopHandle("Acme & Co"))
	require.Equal(t, shopHandle("Acme & Co"), shopHandle(" ACME &  co"))
}

func TestVendorMatchesShopByNameOrHandleOnly(t *testing.T) {
	t.Parallel()
	f := newFakeAPI(t)
	f.shops["vinil-cafe"] = "Vinil & Café" // a handle that a person chose
	f.shops["merchant-3"] = "Somebody Else"
	path := csvFile(t, "a,A,Vinil & Café,A,1\nb,B,vinil-cafe,B,1\nc,C,Merchant 3,C,1\nd,D,merchant-3,D,1\n"+
		"e,E,Acme & Co,E,1\nf,F,Acme Co.,F,1\n")
	out, err := f.importFile(t, path, createShops)
	require.Error(t, err)
	require.Equal(t, "imported 5 products (5 variants), updated 0, unchanged 0, rejected 1\n", out)
	rejected := rejectedRows(t, path)
	require.Len(t, rejected, 1)
	require.Contains(t, rejected[0][1], `shop "Somebody Else" already has this handle`)
	require.ElementsMatch(t, []string{"Acme & Co", "Acme Co."}, f.created)
	require.Contains(t, f.products, "vinil-cafe/a")
	require.Contains(t, f.products, "merchant-3/d")
}

func TestShopNamedAsItsHandleMatchesItsVendorsName(t *testing.T) {
	t.Parallel()
	require.True(t, isShopOf(&shopv1.Shop{Handle: "casa-cerrado", Name: "casa-cerrado"}, "Casa Cerrado"))
	require.True(t, isShopOf(&shopv1.Shop{Handle: "x", Name: "Café Luz"}, "CAFE  luz"))
	require.False(t, isShopOf(&shopv1.Shop{Handle: "t-shirt", Name: "T-Shirt"}, "T Shirt"))
}
