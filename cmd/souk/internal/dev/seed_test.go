package dev

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"souk/cmd/souk/internal/api"
)

func TestSeedRefusesWhateverIsNotForDevelopmentOrStaging(t *testing.T) {
	t.Parallel()
	for health, ok := range map[string]bool{
		`{"status":"ok","environment":"production"}`:  false,
		`{"status":"ok","environment":"Staging"}`:     false,
		`{"status":"ok"}`:                             false, // a release that does not say it
		`{"status":"ok","environment":"staging"}`:     true,
		`{"status":"ok","environment":"development"}`: true,
	} {
		var writes atomic.Int32
		souk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodGet && r.URL.Path == "/health/live":
				_, _ = io.WriteString(w, health)
			case r.Method == http.MethodPost:
				writes.Add(1)
				_, _ = io.WriteString(w, `{}`)
			}
		}))
		var out bytes.Buffer
		err := Seed(t.Context(), api.New(souk.URL, "token"), &out)
		souk.Close()
		if ok {
			require.NoError(t, err, health)
			require.EqualValues(t, len(demoShops)+1, writes.Load(), "the shops, and their products")
			require.Contains(t, out.String(), "created 4 of 4 shops")
			continue
		}
		require.ErrorIs(t, err, ErrProduction, health)
		require.Zero(t, writes.Load(), health)
		require.Empty(t, strings.TrimSpace(out.String()))
	}
}
