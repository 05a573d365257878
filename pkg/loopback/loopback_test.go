package loopback_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/pkg/loopback"
)

func TestOtherHostsAreMisdirected(t *testing.T) {
	t.Parallel()
	handler := loopback.Only(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	for host, want := range map[string]int{
		"localhost:80": http.StatusNoContent, "[::1]:80": http.StatusNoContent, "127.0.0.1": http.StatusNoContent,
		"evil.example": http.StatusMisdirectedRequest, "": http.StatusMisdirectedRequest,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		require.Equal(t, want, w.Code, host)
	}
}

func ExampleHost() {
	fmt.Println(loopback.Host("localhost:8080"), loopback.Host("127.0.0.1"))
	fmt.Println(loopback.Host("localhost.evil.example"))
	// Output:
	// true true
	// false
}
