package operate

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"souk/cmd/souk/internal/api"
	"souk/cmd/souk/internal/dev"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
)

// Token returns a bearer token of a running souk dev. The user is created on first use. If shop is not "", the user
// becomes an owner of the shop with that handle, which is created if it is missing.
func Token(ctx context.Context, state *dev.State, email string, roles []string, shop string) (string, error) {
	token, err := state.Token(ctx, email, roles)
	if err != nil {
		return "", err
	}
	return token, provisionUser(ctx, state, token, shop)
}

// provisionUser signs the user in, which creates it. If shop is not empty, it makes the user an owner of that shop
// and creates the shop if it is missing.
func provisionUser(ctx context.Context, state *dev.State, token, shop string) error {
	var me userv1.User
	if err := api.New(state.URL, token).Call(ctx, http.MethodGet, "/v1/me", nil, &me); err != nil {
		return fmt.Errorf("the new user can't sign in: %w", err)
	}
	if shop == "" {
		return nil
	}
	operatorToken, err := state.OperatorToken(ctx)
	if err != nil {
		return err
	}
	operator := api.New(state.URL, operatorToken)
	err = operator.Call(ctx, http.MethodPost, "/v1/shops", &shopv1.CreateShopRequest{Handle: shop, Name: shop}, nil)
	if err != nil && !errs.Is(err, errs.AlreadyExists) {
		return fmt.Errorf("create the shop %q: %w", shop, err)
	}
	member := &shopv1.AddMemberRequest{UserId: me.GetId(), Role: "owner"}
	err = operator.Call(ctx, http.MethodPost, "/v1/shops/"+url.PathEscape(shop)+"/members", member, nil)
	if err != nil {
		return fmt.Errorf("make the user an owner of %q: %w", shop, err)
	}
	return nil
}
