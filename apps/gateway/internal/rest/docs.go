package rest

import (
	"embed"
	"net/http"
	"path"

	"souk/apps/gateway/internal/middleware"
	"souk/gen/openapi"
	"souk/pkg/errs"
)

// The documentation page: Swagger UI, from npm at the version of tools/openapi/package.json, and a script that starts
// it. Nothing comes from other sites. docs/viewer holds Swagger UI's files with its licence; `make api` checks that
// they are those of the npm package.
var (
	//go:embed docs/index.html
	docsHTML []byte
	//go:embed docs/docs.js docs/docs.css docs/viewer
	docsFiles embed.FS
)

const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed docs/home.html
var homeHTML []byte

func openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "public, max-age=60")
	_, _ = w.Write(openapi.Document) // an error means that the client is gone
}

func docs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", docsPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(docsHTML) // the same
}

func docsFile(w http.ResponseWriter, r *http.Request) {
	var kind string
	name := r.PathValue("file")
	switch path.Ext(name) {
	case ".js":
		kind = "text/javascript; charset=utf-8"
	case ".css":
		kind = "text/css; charset=utf-8"
	}
	for _, folder := range []string{"docs", "docs/viewer"} {
		data, err := docsFiles.ReadFile(folder + "/" + name)
		if kind == "" || err != nil {
			continue
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "public, max-age=3600")
		_, _ = w.Write(data) // the same
		return
	}
	middleware.WriteProblem(w, r, errs.New(errs.NotFound, "there is no such path"))
}

// home is what a person sees who opens the API's address in a browser.
func home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(homeHTML) // the same
}
