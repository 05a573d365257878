package e2e

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// browser signs in at the development provider and calls the API with its cookies.
type browser struct {
	s *souk
	*http.Client
}

func (s *souk) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	return &browser{s, &http.Client{Jar: jar, Transport: transport, Timeout: time.Minute}}
}

// signIn signs in with parameters of /auth/login, and returns the last answer's status.
func (b *browser) signIn(email, query string) int {
	b.s.t.Helper()
	page, _ := b.do(http.MethodGet, b.s.url+"/auth/login"+query, nil)
	login := *page.Request.URL
	form := url.Values{"id": {login.Query().Get("id")}, "email": {email}}
	login.Path, login.RawQuery = "/login", ""
	done, _ := b.do(http.MethodPost, login.String(), strings.NewReader(form.Encode()))
	return done.StatusCode
}

func (b *browser) do(method, target string, body io.Reader) (*http.Response, string) {
	b.s.t.Helper()
	r, err := http.NewRequest(method, target, body)
	require.NoError(b.s.t, err)
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.Do(r)
	require.NoError(b.s.t, err)
	defer func() { _ = res.Body.Close() }() // the body is only read
	text, err := io.ReadAll(res.Body)
	require.NoError(b.s.t, err)
	return res, string(text)
}

// status is the status of a request with the session's cookie.
func (b *browser) status(method, path string) int {
	b.s.t.Helper()
	res, _ := b.do(method, b.s.url+path, nil)
	return res.StatusCode
}

// testAccounts suspends a user, who is out at once, and ends sessions.
func testAccounts(t *testing.T, s *souk) {
	operator, admin := s.user(email("accounts-operator"), "operator"), s.user(email("accounts-admin"), "admin")
	bad := email("suspended")
	c := s.user(bad, "customer")
	var me struct{ ID string }
	c.get("/v1/me").want(http.StatusOK).into(&me)
	out := func() bool { return c.get("/v1/me").status == http.StatusForbidden }
	user := "/v1/operator/users/" + me.ID
	operator.post(user+":suspend", obj{"reason": "sold counterfeits"}).want(http.StatusOK)
	within(t, out, "the user's token is accepted")
	c.get("/v1/products").problem(http.StatusForbidden, "account_suspended")
	var shown struct {
		Suspension *struct{ Reason string }
	}
	operator.get(user).want(http.StatusOK).into(&shown)
	require.Equal(t, "sold counterfeits", shown.Suspension.Reason)
	operator.post(user+":reinstate", obj{}).want(http.StatusOK)
	within(t, func() bool { return !out() }, "the user's token is refused")
	for _, of := range []*client{operator, admin} {
		of.get("/v1/me").want(http.StatusOK).into(&me)
		operator.post("/v1/operator/users/"+me.ID+":suspend", obj{"reason": "x"}).
			problem(http.StatusForbidden, "forbidden")
	}
	if s.deployment == nil {
		testSessions(t, s, operator, bad)
	}
}

// testSessions signs in with browsers.
func testSessions(t *testing.T, s *souk, operator *client, bad string) {
	first, second := s.browser(), s.browser()
	first.signIn(bad, "")
	second.signIn(bad, "?max_age=600")
	require.Equal(t, http.StatusOK, first.status(http.MethodGet, "/v1/me"))
	require.Equal(t, http.StatusOK, second.status(http.MethodGet, "/v1/me"))
	_, list := second.do(http.MethodGet, s.url+"/v1/me/sessions", nil)
	require.Equal(t, 2, strings.Count(list, `"browser":"Firefox on Linux"`), list)
	require.Equal(t, 1, strings.Count(list, `"current":true`), list)
	other := list[strings.LastIndex(list, `"ses_`)+1:]
	if strings.Contains(other, `"current":true`) {
		other = list[strings.Index(list, `"ses_`)+1:]
	}
	other = other[:strings.IndexByte(other, '"')]
	require.Equal(t, http.StatusOK, second.status(http.MethodDelete, "/v1/me/sessions/"+other))
	require.Equal(t, http.StatusUnauthorized, first.status(http.MethodGet, "/v1/me"))

	c := s.user(bad, "customer")
	var me struct{ ID string }
	c.get("/v1/me").want(http.StatusOK).into(&me)
	operator.post("/v1/operator/users/"+me.ID+":suspend", obj{"reason": "x"}).want(http.StatusOK)
	within(t, func() bool { return second.status(http.MethodGet, "/v1/me") == http.StatusUnauthorized },
		"the session goes on")
	require.Equal(t, http.StatusForbidden, first.signIn(bad, ""), "a suspended user signs in")
}
