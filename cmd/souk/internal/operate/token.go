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
	if err := makeOwner(ctx, operator, api.New(state.URL, token), &me, shop); err != nil {
		return fmt.Errorf("make the user an owner of %q: %w", shop, err)
	}
	return nil
}

// makeOwner makes a user an owner of a shop: an operator changes the role of a member or invites the user, who accepts.
func makeOwner(ctx context.Context, operator, user *api.Client, me *userv1.User, shop string) error {
	path := "/v1/shops/" + url.PathEscape(shop)
	member := &shopv1.AddMemberRequest{UserId: me.GetId(), Role: "owner"}
	err := operator.Call(ctx, http.MethodPost, path+"/members", member, nil)
	if !errs.Is(err, errs.NotFound) {
		return err
	}
	invite := &shopv1.InviteMemberRequest{Email: me.GetEmail(), Role: "owner"}
	err = operator.Call(ctx, http.MethodPost, path+"/invitations", invite, nil)
	if err != nil && !errs.Is(err, errs.AlreadyExists) { // an interrupted command has invited the user before
		return err
	}
	var owned shopv1.Shop
	if err := operator.Call(ctx, http.MethodGet, path, nil, &owned); err != nil {
		return err
	}
	var mine shopv1.ListMyInvitationsResponse
	if err := user.Call(ctx, http.MethodGet, "/v1/me/invitations?pageSize=100", nil, &mine); err != nil {
		return err
	}
	for _, i := range mine.GetInvitations() {
		if i.GetShopId() == owned.GetId() {
			accept := "/v1/me/invitations/" + url.PathEscape(i.GetId()) + ":accept"
			return user.Call(ctx, http.MethodPost, accept, &shopv1.AcceptInvitationRequest{}, nil)
		}
	}
	return errs.New(errs.NotFound, "the invitation did not reach the user")
}
