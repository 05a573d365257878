package catalogue

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	shopv1 "souk/gen/go/souk/shop/v1"
	"souk/pkg/errs"
	"souk/pkg/handle"
)

// hashLength is how many bytes a hash adds to a handle.
const hashLength = len("-") + 6

// findShop returns the handle of a vendor's shop. With --create-shops it creates a missing shop. Vendor is the shop's
// name or its handle; an export writes the handle. Errors: not_found, conflict (another shop has the handle).
func (im *importer) findShop(ctx context.Context, vendor string) (string, error) {
	own := shopHandle(vendor)
	var taken *shopv1.Shop
	for _, candidate := range shopCandidates(vendor) {
		shop, err := im.getShop(ctx, candidate)
		switch {
		case errs.Is(err, errs.NotFound):
		case err != nil:
			return "", err
		case isShopOf(shop, vendor):
			return shop.GetHandle(), nil
		case candidate == own:
			taken = shop
		}
	}
	if taken != nil {
		return "", handleTaken(taken)
	}
	if !im.createShops {
		return "", errs.New(errs.NotFound, "there is no shop %q (handle %s): create it, or import with --create-shops",
			vendor, own)
	}
	err := im.client.Call(ctx, http.MethodPost, "/v1/shops", &shopv1.CreateShopRequest{Handle: own, Name: vendor}, nil)
	if !errs.Is(err, errs.AlreadyExists) {
		return own, err
	}
	shop, err := im.getShop(ctx, own) // another import, or another vendor of this file, has created it
	if err == nil && !isShopOf(shop, vendor) {
		err = handleTaken(shop)
	}
	return own, err
}

func (im *importer) getShop(ctx context.Context, idOrHandle string) (*shopv1.Shop, error) {
	var shop shopv1.Shop
	err := im.client.Call(ctx, http.MethodGet, "/v1/shops/"+url.PathEscape(idOrHandle), nil, &shop)
	return &shop, err
}

func handleTaken(shop *shopv1.Shop) error {
	return errs.New(errs.Conflict, "shop %q already has this handle: write %s as the Vendor if it is the same shop",
		shop.GetName(), shop.GetHandle())
}

// isShopOf reports whether vendor is the shop's handle or name. A shop whose name equals its handle has not been
// named yet, so it also matches a vendor whose shopHandle is that handle.
func isShopOf(shop *shopv1.Shop, vendor string) bool {
	switch {
	case strings.EqualFold(shop.GetHandle(), strings.TrimSpace(vendor)), plain(shop.GetName()) == plain(vendor):
		return true
	}
	return shop.GetName() == shop.GetHandle() && shop.GetHandle() == shopHandle(vendor)
}

// plain returns a name in lower case without accents and superfluous spaces.
func plain(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(name) {
		if !unicode.Is(unicode.Mn, r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// shopCandidates returns the handles that a vendor's shop may have: the vendor itself if it is a handle, the slug of
// its name, which a person may have chosen, and its shopHandle.
func shopCandidates(vendor string) []string {
	var list []string
	add := func(candidate string) {
		if candidate != "" && !slices.Contains(list, candidate) {
			list = append(list, candidate)
		}
	}
	if v := strings.TrimSpace(vendor); handle.Valid(v) {
		add(v)
	}
	add(handle.Of(vendor, handle.MaxLen))
	add(shopHandle(vendor))
	return list
}

// shopHandle returns the handle of a new shop. It is the slug of the vendor's name if the slug loses only case,
// accents and spaces. Otherwise a hash of the name distinguishes it from other names with the same slug.
func shopHandle(vendor string) string {
	slug := handle.Of(vendor, handle.MaxLen)
	switch {
	case slug != "" && slug == strings.ReplaceAll(plain(vendor), " ", "-"):
		return slug
	case slug == "" && len(vendor) <= 30:
		return fmt.Sprintf("shop-%x", vendor)
	}
	whole := strings.ToLower(strings.Join(strings.Fields(norm.NFC.String(vendor)), " "))
	slug = handle.Of(vendor, handle.MaxLen-hashLength)
	if slug == "" {
		slug = "shop"
	}
	return fmt.Sprintf("%s-%x", slug, sha256.Sum256([]byte(whole)))[:len(slug)+hashLength]
}
