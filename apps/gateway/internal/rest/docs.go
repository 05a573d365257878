package rest

import (
	"embed"
	"net/http"
	"path"
	"time"

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

// handleDocs adds the documentation and the page with links. A browser asks for the documents again in a minute.
func handleDocs(m ownMux) error {
	const html = "text/html; charset=utf-8"
	m.handle("GET /{$}", middleware.NewAsset(html, time.Minute, homeHTML).ServeHTTP)
	m.handle("GET /openapi.json", middleware.NewAsset("application/json", time.Minute, openapi.Document).ServeHTTP)
	page := middleware.NewAsset(html, time.Minute, docsHTML)
	m.handle("GET /docs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", docsPolicy)
		page.ServeHTTP(w, r)
	})
	files, err := assets("docs", "docs/viewer")
	if err != nil {
		return err
	}
	m.handle("GET /docs/{file}", func(w http.ResponseWriter, r *http.Request) {
		if file := files[r.PathValue("file")]; file != nil {
			file.ServeHTTP(w, r)
			return
		}
		middleware.WriteProblem(w, r, errs.New(errs.NotFound, "there is no such path"))
	})
	return nil
}

// assets returns the scripts and style sheets of folders by name.
func assets(folders ...string) (map[string]*middleware.Asset, error) {
	kinds := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
	found := map[string]*middleware.Asset{}
	for _, folder := range folders {
		entries, err := docsFiles.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			kind := kinds[path.Ext(e.Name())]
			if kind == "" {
				continue
			}
			data, err := docsFiles.ReadFile(folder + "/" + e.Name())
			if err != nil {
				return nil, err
			}
			found[e.Name()] = middleware.NewAsset(kind, time.Hour, data)
		}
	}
	return found, nil
}
