package module

import (
	"io"
	"net/http"
	"slices"
	"strings"

	"souk/pkg/errs"
	"souk/pkg/failpoint"
)

// underTest reports whether SOUK_FAILPOINTS is set in environ, even if empty. Only then may failpoints be changed in
// the running process.
func underTest(environ []string) bool {
	return slices.ContainsFunc(environ, func(kv string) bool { return strings.HasPrefix(kv, failpoint.Variable+"=") })
}

// setFailpoints turns failpoints on in the running process. The request body has the syntax of SOUK_FAILPOINTS.
func setFailpoints(w http.ResponseWriter, r *http.Request) {
	spec, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err == nil {
		err = failpoint.FromEnv([]string{failpoint.Variable + "=" + string(spec)})
	}
	if err != nil {
		http.Error(w, errs.From(err).Message, http.StatusBadRequest)
	}
}
