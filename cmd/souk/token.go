package main

import (
	"context"
	"fmt"
	"net/http"
	"net/mail"
	"net/url"

	"github.com/spf13/cobra"

	"souk/cmd/souk/internal/api"
	shopv1 "souk/gen/go/souk/shop/v1"
	userv1 "souk/gen/go/souk/user/v1"
	"souk/pkg/errs"
)

func tokenCommand(dev *devFlags) *cobra.Command {
	var email, role, shop string
	cmd := &cobra.Command{
		Use:   "token --email EMAIL [--role customer|seller|operator] [--shop HANDLE]",
		Short: "Print a bearer token of the running souk dev",
		Long: `Print a bearer token from the OpenID provider of the running souk dev. The user is created on first use. With
--shop the user becomes an owner of that shop, which is created if it is missing. The token stands alone on standard output.`,
		Example: `  TOKEN=$(souk token --email ana@example.com)
  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/v1/me
  souk token --email joao@example.com --role seller --shop trilha-norte`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := mail.ParseAddress(email); err != nil {
				return fmt.Errorf("--email %q is not an e-mail address", email)
			}
			roles := map[string][]string{
				"customer": {"customer"}, "seller": {"customer", "seller"}, "operator": {"customer", "operator"},
			}[role]
			if roles == nil {
				return fmt.Errorf("--role is customer, seller or operator, not %q", role)
			}
			if shop != "" && role == "customer" {
				return fmt.Errorf("--shop goes with --role seller or operator")
			}
			state, err := dev.running()
			if err != nil {
				return err
			}
			token, err := devToken(cmd.Context(), state, email, roles)
			if err != nil {
				return err
			}
			if err := provisionUser(cmd.Context(), state, token, shop); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), token)
			return err
		},
	}
	cmd.Flags().StringVar(&email, "email", "", "the user's e-mail address (required)")
	cmd.Flags().StringVar(&role, "role", "customer", "customer, seller or operator")
	cmd.Flags().StringVar(&shop, "shop", "", "handle of a shop that the user becomes an owner of")
	return cmd
}

// provisionUser signs the user in, which creates it. If shop is not empty, it makes the user an owner of that shop
// and creates the shop if it is missing.
func provisionUser(ctx context.Context, state *devState, token, shop string) error {
	var me userv1.User
	if err := api.New(state.URL, token).Call(ctx, http.MethodGet, "/v1/me", nil, &me); err != nil {
		return fmt.Errorf("the new user can't sign in: %w", err)
	}
	if shop == "" {
		return nil
	}
	operatorToken, err := devToken(ctx, state, "operator@souk.test", []string{"operator"})
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
