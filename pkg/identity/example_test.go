package identity_test

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"souk/pkg/clock"
	"souk/pkg/identity"
)

func Example() {
	key := identity.DeriveKey([]byte("the installation's secret seed"), identity.Gateway)
	signer := identity.NewSigner(identity.Gateway, key, 5*time.Minute, clock.System{})
	verifier := identity.NewVerifier(map[string]ed25519.PublicKey{
		identity.Gateway: key.Public().(ed25519.PublicKey),
	}, clock.System{})

	const method = "/souk.order.v1.OrderService/GetOrder"
	user := identity.Actor{Kind: identity.KindUser, ID: "usr_1", Permissions: []string{"order.read"}}
	token, _, err := signer.Sign(user, method)
	if err != nil {
		fmt.Println(err)
		return
	}
	actor, err := verifier.Verify(token, method)
	fmt.Println(actor.ID, actor.Can("order.read"), err)
	// Output: usr_1 true <nil>
}
