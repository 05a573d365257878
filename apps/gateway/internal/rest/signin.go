package rest

import (
	"cmp"
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"souk/apps/gateway/internal/middleware"
	authv1 "souk/gen/go/souk/auth/v1"
	"souk/pkg/errs"
	"souk/pkg/identity"
)

// signInService is the part of the auth service that browser sign-in calls.
type signInService interface {
	BeginLogin(
		ctx context.Context, in *authv1.BeginLoginRequest, opts ...grpc.CallOption,
	) (*authv1.BeginLoginResponse, error)
	CompleteLogin(
		ctx context.Context, in *authv1.CompleteLoginRequest, opts ...grpc.CallOption,
	) (*authv1.CompleteLoginResponse, error)
	Logout(ctx context.Context, in *authv1.LogoutRequest, opts ...grpc.CallOption) (*authv1.LogoutResponse, error)
}

// loginLifetime is the longest time from the start of a sign-in to the provider's answer.
const loginLifetime = 10 * time.Minute

// deviceLifetime is how long a browser is recognized; browsers keep no cookie for longer.
const deviceLifetime = 400 * 24 * time.Hour

// signIn serves /auth/login, /auth/callback and /auth/logout to browsers.
type signIn struct {
	auth      signInService
	publicURL string
	session   string // name of the session cookie
	login     string // name of the cookie that holds a sign-in's state
	guest     string // name of the cookie that may hold a guest token
	device    string // name of the cookie by which a browser is recognized at its next sign-in
	secure    bool
	trusted   []netip.Prefix // proxies, whose X-Forwarded-For is trusted
	logger    *zap.Logger
}

// cookieNames returns the names of the session, login, guest and device cookies. With https they have the prefix
// __Host-, so that no subdomain and no plain connection can set them.
func cookieNames(https bool) (session, login, guest, device string) {
	if https {
		return "__Host-souk_session", "__Host-souk_login", "__Host-souk_guest", "__Host-souk_device"
	}
	return "souk_session", "souk_login", "souk_guest", "souk_device"
}

// own drops the caller's identity from ctx, so that the gateway calls as itself.
func own(ctx context.Context) context.Context { return identity.WithToken(ctx, "") }

func (s *signIn) begin(w http.ResponseWriter, r *http.Request) {
	if elsewhere := s.onPublicHost(r); elsewhere != "" {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, elsewhere, http.StatusSeeOther)
		return
	}
	req := &authv1.BeginLoginRequest{
		ReturnTo: r.URL.Query().Get("returnTo"), RedirectUri: s.publicURL + "/auth/callback",
	}
	if err := requestedAge(r.URL.Query(), req); err != nil {
		middleware.WriteProblem(w, r, err)
		return
	}
	if d, err := r.Cookie(s.device); err == nil {
		req.Device = d.Value
	}
	res, err := s.auth.BeginLogin(own(r.Context()), req)
	if err != nil {
		middleware.WriteProblem(w, r, err)
		return
	}
	http.SetCookie(w, s.cookie(s.login, res.GetLoginCookie(), loginLifetime))
	if res.GetDevice() != "" { // else it is an older auth service
		http.SetCookie(w, s.cookie(s.device, res.GetDevice(), deviceLifetime))
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, res.GetAuthorizeUrl(), http.StatusSeeOther)
}

// requestedAge reads the parameters max_age and prompt, which are those of OpenID Connect, into req.
//
// Errors: invalid_argument.
func requestedAge(q url.Values, req *authv1.BeginLoginRequest) error {
	switch q.Get("prompt") {
	case "":
	case "login":
		req.Again = true
	default:
		return errs.InvalidField("prompt", "must be login")
	}
	if q.Has("max_age") {
		age, err := strconv.ParseInt(q.Get("max_age"), 10, 32)
		if err != nil || age < 0 {
			return errs.InvalidField("max_age", "must be a number of seconds")
		}
		req.MaxAge = age
		req.Again = req.Again || age == 0
	}
	return nil
}

// movedParameter marks a sign-in that was already redirected to the public URL. Without it a proxy that sends
// another Host to the gateway would cause an endless redirect.
const movedParameter = "moved"

// onPublicHost returns the URL at which a sign-in must begin: on the host to which the provider returns the
// browser, because the login cookie must be set there. It returns "" if the request is already on that host.
func (s *signIn) onPublicHost(r *http.Request) string {
	public, err := url.Parse(s.publicURL)
	if err != nil || public.Host == "" || public.Port() == "0" || sameHost(r.Host, public) {
		return ""
	}
	q := r.URL.Query()
	if q.Has(movedParameter) {
		return ""
	}
	q.Set(movedParameter, "1")
	return s.publicURL + r.URL.EscapedPath() + "?" + q.Encode()
}

// sameHost reports whether host is the host of u. The default port of u's scheme may be left out.
func sameHost(host string, u *url.URL) bool {
	defaultPort := ":80"
	if u.Scheme == "https" {
		defaultPort = ":443"
	}
	return strings.EqualFold(strings.TrimSuffix(host, defaultPort), strings.TrimSuffix(u.Host, defaultPort))
}

// keepGuest also sets the guest token as a cookie, so that a sign-in finds the guest's cart. The cookie does
// not authenticate anyone.
func (s *signIn) keepGuest(w http.ResponseWriter, res *authv1.CreateGuestResponse) {
	http.SetCookie(w, s.cookie(s.guest, res.GetToken(), time.Until(res.GetExpiresAt().AsTime())))
}

func (s *signIn) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if e := q.Get("error"); e != "" {
		middleware.WriteProblem(w, r,
			errs.New(errs.Unauthenticated, "the sign-in provider refused: %s", providerError(e)))
		return
	}
	cookie, err := r.Cookie(s.login)
	if err != nil || q.Get("code") == "" || q.Get("state") == "" {
		middleware.WriteProblem(
			w,
			r,
			errs.New(errs.Unauthenticated,
				"this sign-in was not begun here, or took too long: begin again at /auth/login"),
		)
		return
	}
	req := &authv1.CompleteLoginRequest{
		Code: q.Get("code"), State: q.Get("state"), LoginCookie: cookie.Value,
		UserAgent: strings.ToValidUTF8(r.UserAgent(), ""), Address: middleware.ClientAddress(r, s.trusted),
	}
	if g, err := r.Cookie(s.guest); err == nil {
		req.GuestToken = g.Value
	}
	if d, err := r.Cookie(s.device); err == nil {
		req.Device = d.Value
	}
	res, err := s.auth.CompleteLogin(own(r.Context()), req)
	if err != nil {
		middleware.WriteProblem(w, r, err)
		return
	}
	http.SetCookie(w, s.cookie(s.login, "", -1))
	if req.GetGuestToken() != "" {
		http.SetCookie(w, s.cookie(s.guest, "", -1))
	}
	s.endSession(r, res.GetSessionId())
	http.SetCookie(w, s.cookie(s.session, res.GetSessionId(), time.Until(res.GetExpiresAt().AsTime())))
	http.SetCookie(w, s.cookie(s.device, res.GetDevice(), deviceLifetime))
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, localPath(res.GetReturnTo()), http.StatusSeeOther)
}

// endSession ends the browser's previous session after a sign-in. A failure does not fail the sign-in: the
// old session then lives to its end.
func (s *signIn) endSession(r *http.Request, replacedBy string) {
	old, err := r.Cookie(s.session)
	if err != nil || old.Value == "" || old.Value == replacedBy {
		return
	}
	if _, err := s.auth.Logout(own(r.Context()), &authv1.LogoutRequest{SessionId: old.Value}); err != nil &&
		!errs.Is(err, errs.Unauthenticated) {
		s.logger.Warn("a browser's old session was not ended at sign-in", zap.Error(err))
	}
}

func (s *signIn) logout(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	cookie, err := r.Cookie(s.session)
	if err != nil || cookie.Value == "" {
		signedOut(w, r, "")
		return
	}
	res, err := s.auth.Logout(own(r.Context()), &authv1.LogoutRequest{
		SessionId:             cookie.Value,
		Everywhere:            r.URL.Query().Get("everywhere") == "true",
		PostLogoutRedirectUri: s.publicURL + "/",
	})
	if err != nil && !errs.Is(err, errs.Unauthenticated) {
		middleware.WriteProblem(w, r, err)
		return
	}
	http.SetCookie(w, s.cookie(s.session, "", -1))
	signedOut(w, r, res.GetEndSessionUrl())
}

// signedOut answers a logout. If endSessionURL is set, the browser must go there to end the provider's
// session, too: a form post is redirected, a script gets the URL in Location.
func signedOut(w http.ResponseWriter, r *http.Request, endSessionURL string) {
	if navigates(r) {
		http.Redirect(w, r, cmp.Or(endSessionURL, "/"), http.StatusSeeOther)
		return
	}
	if endSessionURL != "" {
		w.Header().Set("Location", endSessionURL)
	}
	w.WriteHeader(http.StatusNoContent)
}

// navigates reports whether the browser shows the answer as its next page.
func navigates(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html") // old browsers, and plain http
}

func (s *signIn) cookie(name, value string, lifetime time.Duration) *http.Cookie {
	c := &http.Cookie{ //nolint:gosec // Secure with https, and without in development
		Name:     name,
		Value:    value,
		Path:     "/",
		HttpOnly: true,
		Secure:   s.secure,
		SameSite: http.SameSiteLaxMode,
	}
	if lifetime < 0 {
		c.MaxAge = -1
	} else {
		c.MaxAge = int(lifetime.Seconds())
	}
	return c
}

// localPath returns s if it is a path on this site, else "/". The auth service has already checked it; this
// is a second defence against an open redirect.
func localPath(s string) string {
	if len(s) == 0 || s[0] != '/' || len(s) > 1 && (s[1] == '/' || s[1] == '\\') {
		return "/"
	}
	return s
}

// providerError keeps only the characters of a provider's error code (RFC 6749, 4.1.2.1).
func providerError(s string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r == '_' {
			return r
		}
		return -1
	}, s)
	return clean[:min(len(clean), 60)]
}
