// Package auth is the auth service: it decides who a caller is.
//
// It owns sign-in by OpenID Connect, browser sessions, guest tokens, and the check of every credential that
// comes from outside. It does not own users (user does), passwords (the provider does) or permissions (each
// service does). It answers the gateway who calls, and the gateway signs that for the services.
//
// # At a glance
//
//   - Owns: sign-in by OpenID Connect, sessions, guest tokens
//   - PostgreSQL: –
//   - Redis: sessions (by digest)
//   - Consumes: –
//   - Publishes: –
//   - Reaches: the OpenID provider
//
// # Contract
//
// souk.auth.v1.AuthService: BeginLogin, CompleteLogin, Logout and Authenticate for the gateway only, SetSuspension and
// EndSessions for user, CreateGuest for everybody, MergeGuest, ListSessions, EndSession and EndOtherSessions for signed-in
// users. It calls user.EnsureUser, user.RecordSignIn, cart.MergeCart and
// order.AdoptOrders. No events.
//
// # Sign-in
//
// The code flow with PKCE (S256), state and nonce. The state between its two halves travels in the browser's
// login cookie, sealed with AES-256-GCM and valid for ten minutes, so no process holds it. A user is (issuer,
// subject); users are never looked up by e-mail address. The provider's endpoints are discovered when they
// are first needed. While the provider is down, calls that need it return errs.Unavailable; all others work.
//
// A browser keeps a random value for 400 days. At a sign-in, user.RecordSignIn remembers its digest, and publishes an
// event if it is new: then the user gets a notice. Access tokens of the provider come from no browser that we know.
//
// # Recent sign-ins
//
// Methods with recent_sign_in in their contract need a sign-in at the provider of the last minutes. Authenticate says until
// when a user's sign-in is such a one, by the claim auth_time of the ID token or access token; the gateway passes that on, and
// each server checks it. BeginLogin passes max_age and prompt=login on, and CompleteLogin checks that the provider has heeded
// them.
//
// # Lockouts
//
// Wrong bearer tokens and failed sign-ins are counted by address, and sign-ins that souk refuses by account. After some of
// them, further failures or sign-ins have to wait for longer and longer. Right tokens are accepted whatever failed.
//
//	auth:failed:{kind}:{bucket}  failures, and until when attempts wait; forgotten after an hour
//
// # Sign-out
//
// The session of souk ends first, whatever the provider answers. Then the browser is sent to the provider's
// end_session_endpoint, if its discovery document has one, with client_id and post_logout_redirect_uri
// (RP-Initiated Logout 1.0). There is no id_token_hint, because ID tokens are not kept. So a provider may ask
// the user to confirm.
//
// # Sessions
//
// A session's ID is 256 random bits, new at every sign-in; Redis holds only its SHA-256. A session ends after
// an absolute time, after a time without use (recorded once a minute), at logout, and when its user logs out
// everywhere. It keeps the roles of its sign-in, so operators' sessions are short. Redis must not evict
// sessions.
//
//	auth:session:{digest}  the session; expires with it
//	auth:user:{id}         sorted set of the user's digests by their absolute end; bounded by session.max_per_user
//
// A user sees the sessions by public IDs (ses_…), which are derived from the digests and open nothing, with what the
// browser said of itself, in words, and its address at the sign-in.
//
// # Suspended users
//
// SetSuspension marks a user, and then ends the user's sessions. A new session is listed only while there is no mark, and
// access tokens of marked users are refused. Both keys of a user are in one hash slot. The user service owns the state,
// and says it with the user, too: if Redis loses the mark, a token is refused when its user is looked up again.
//
//	{auth:user:{id}}:suspended  revision of the user, and 1 or 0
//
// # Access tokens
//
// JWTs of the provider: signed with an asymmetric algorithm by a key of its JWKS, with our audience, within
// their lifetime (30 s of leeway). ID tokens are refused: those of RFC 9068 say in their header that they are access
// tokens (at+jwt); others must have neither nonce, at_hash nor c_hash, and an audience beside our client ID. Keys are fetched every 15 minutes, and when a token
// names an unknown key, at most every 2 s. The gateway asks again within a second. While auth does
// not answer, it uses the last answer for a minute at most.
//
// # Guest tokens
//
// Our own JWTs: EdDSA, audience souk-guest, 30 days, not stored. At sign-in a guest's cart and orders become
// the user's. What the guest adds later moves at the next sign-in or MergeGuest.
//
// # API keys
//
// A bearer token that begins with souk_sk_ is the secret of a shop's API key (pkg/apikey). One without the right
// checksum is refused without a look-up; for another, auth asks the shop service, which keeps them. The gateway keeps
// the answer for less than a second.
//
//	internal/domain      the rules of signing in: sessions, roles, local paths
//	internal/service     the use cases
//	internal/credential  login cookies, session IDs, guest tokens
//	internal/provider    the OpenID provider: discovery, code exchange, keys, tokens
//	internal/repository  sessions in Redis
//	internal/handler     the contract
package auth
