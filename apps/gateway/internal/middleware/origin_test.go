package middleware

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOriginsMayHaveAnyPort(t *testing.T) {
	t.Parallel()
	os := Origins{"https://shop.example", "http://localhost:*", "http://[::1]:*"}
	for _, o := range os {
		require.True(t, ValidOrigin(o), o)
	}
	for _, o := range []string{"https://shop.example", "http://localhost", "http://localhost:5173", "http://[::1]:3000"} {
		require.True(t, os.allows(o), o)
	}
	for _, o := range []string{
		"", "null", "https://shop.example:8443", "https://shop.example.evil.test", "https://localhost:5173",
		"http://localhost.evil.test", "http://localhost:5173.evil.test", "http://localhost:x", "http://localhost:5173/x",
	} {
		require.False(t, os.allows(o), o)
	}
	for _, o := range []string{"*", "shop.example", "https://", "https://shop.example/", "ftp://x", "https://*:*:*"} {
		require.False(t, ValidOrigin(o), o)
	}
}

func TestPagesOfAnyLocalPortMayCallTheAPI(t *testing.T) {
	t.Parallel()
	local := Origins{"http://localhost:*"}
	send := func(origin string) *http.Response {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:8080/v1/cart/items", http.NoBody)
		r.Header.Set("Origin", origin)
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		return ask(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, r, CORS(local),
			CrossOrigin(local))
	}
	res := send("http://localhost:5173")
	require.Equal(t, http.StatusNoContent, res.StatusCode)
	require.Equal(t, "http://localhost:5173", res.Header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, http.StatusForbidden, send("http://evil.test").StatusCode)
}

func TestLoopbackHostsAloneAreAnswered(t *testing.T) {
	t.Parallel()
	send := func(host string, on bool) int {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		return ask(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, r,
			LoopbackHosts(on)).StatusCode
	}
	for _, host := range []string{
		"localhost", "localhost:8080", "LOCALHOST.", "souk.localhost:80", "127.0.0.1", "127.9.8.7:1", "[::1]", "[::1]:8080",
	} {
		require.Equal(t, http.StatusNoContent, send(host, true), host)
	}
	for _, host := range []string{
		"", "evil.test", "evil.test:8080", "127.0.0.1.evil.test", "localhost.evil.test", "192.0.2.1", "[2001:db8::1]:1",
		"xlocalhost", "0.0.0.0",
	} {
		require.Equal(t, http.StatusMisdirectedRequest, send(host, true), host)
		require.Equal(t, http.StatusNoContent, send(host, false), host)
	}
}
