package rest

import (
	_ "embed"
	"net/http"

	"souk/apps/gateway/internal/middleware"
	"souk/gen/openapi"
	"souk/pkg/errs"
)

// The documentation page: one page with its own script and style sheet, nothing from other sites.
var (
	//go:embed docs/index.html
	docsHTML []byte
	//go:embed docs/docs.js
	docsJS []byte
	//go:embed docs/docs.css
	docsCSS []byte
)

const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

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
	switch r.PathValue("file") {
	case "docs.js":
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		_, _ = w.Write(docsJS) // the same
	case "docs.css":
		w.Header().Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(docsCSS) // the same
	default:
		middleware.WriteProblem(w, r, errs.New(errs.NotFound, "there is no such path"))
	}
}
