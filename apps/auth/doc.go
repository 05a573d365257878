// Package auth is the auth service: who somebody is.
//
// It owns sign-in by OpenID Connect, sessions of browsers, guest tokens, and the checking of every
// credential that comes from outside. It does not own users (user does), passwords (the provider does),
// nor what anybody may do (each service does): it tells the gateway who calls, and the gateway signs that
// for the services.
//
// # Contract
//
// souk.auth.v1.AuthService: BeginLogin, CompleteLogin, Logout and Authenticate for the gateway alone,
// CreateGuest for anybody, MergeGuest for signed-in users. It calls user.EnsureUser, cart.MergeCart and
// order.AdoptOrders. No events.
//
// # Sign-in
//
// The code flow with PKCE (S256), state and nonce. What must be remembered between its two halves travels
// in the browser's login cookie, sealed with AES-256-GCM and good for ten minutes, so that no process
// holds it. A user is (issuer, subject); an e-mail address is never used to find one. The provider's
// endpoints are asked for when they are first needed: while it is down, calls that need it answer
// errs.Unavailable, everything else goes on.
//
// # Sign-out
//
// Ours ends first, whatever the provider says. Then the browser is sent to the provider's end_session_endpoint, if
// its discovery document has one, with client_id and post_logout_redirect_uri (RP-Initiated Logout 1.0). There is no
// id_token_hint: ID tokens are not kept. So a provider may ask whether to sign out.
//
// # Sessions
//
// A session's ID is 256 random bits, new at every sign-in; Redis holds only its SHA-256. Sessions end
// after an absolute time and after a time without use (noted once a minute), at logout, and with all
// others of the user at logout everywhere. They have the roles of their sign-in, so operators' sessions
// are short. Redis must not evict them.
//
//	auth:session:{digest}  the session; expires with it
//	auth:user:{id}         sorted set of the user's digests by their absolute end; at most 100
//
// # Access tokens
//
// JWTs of the provider: signed with an asymmetric algorithm by a key of its JWKS, meant for our audience,
// in time (30 s of leeway). ID tokens are refused. Keys are asked for every 15 minutes, and when a token
// names one that is not known, at most once in 2 s. An answer may be kept for a minute by the gateway:
// that long, at most, a token counts on after its provider would refuse it.
//
// # Guest tokens
//
// Our own JWTs: EdDSA, audience souk-guest, 30 days, not kept anywhere. Its cart and the orders that it made become a
// user's at sign-in; what a guest does with it after that waits for the next.
//
//	internal/domain      what signing in means: sessions, roles, local paths
//	internal/service     the use cases
//	internal/credential  login cookies, session IDs, guest tokens
//	internal/provider    the OpenID provider: discovery, code exchange, keys, tokens
//	internal/repository  sessions in Redis
//	internal/handler     the contract
package auth
