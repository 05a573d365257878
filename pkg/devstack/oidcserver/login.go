package oidcserver

import (
	"context"
	"html/template"
	"net/http"

	"souk/pkg/errs"
)

// loginPage asks which user to sign in as.
type loginPage struct {
	storage  *storage
	demo     []User
	callback func(context.Context, string) string
}

var page = template.Must(template.New("login").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in to souk (development)</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 26rem; margin: 3rem auto; padding: 0 1rem; color: #1c1917 }
.note { background: #fef3c7; border: 1px solid #d97706; border-radius: .5rem; padding: .75rem 1rem }
button { font: inherit; width: 100%; text-align: left; margin: .25rem 0; padding: .6rem 1rem; border: 1px solid #a8a29e; border-radius: .5rem; background: #fff; cursor: pointer }
button:hover, button:focus { background: #f5f5f4 }
input { font: inherit; width: 100%; box-sizing: border-box; padding: .6rem 1rem; border: 1px solid #a8a29e; border-radius: .5rem }
small { color: #57534e } .error { color: #b91c1c }
</style>
</head>
<body>
<h1>Sign in to souk</h1>
<p class="note"><strong>Development only.</strong> Anybody can be anybody here: there are no passwords.</p>
{{with .Error}}<p class="error" role="alert">{{.}}</p>{{end}}
{{if .ID}}
{{range .Demo}}<form method="post" action="/login"><input type="hidden" name="id" value="{{$.ID}}"><button name="email" value="{{.Email}}">{{.Name}} <small>{{.Email}}{{range .Roles}} · {{.}}{{end}}</small></button></form>
{{end}}
<form method="post" action="/login">
<input type="hidden" name="id" value="{{.ID}}">
<p><label for="email">Or any e-mail address</label>
<input id="email" name="email" type="email" required autocomplete="email"></p>
<button>Sign in</button>
</form>
{{end}}
</body>
</html>
`))

type pageContent struct {
	ID    string
	Error string
	Demo  []User
}

func (l *loginPage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	content := pageContent{ID: r.FormValue("id"), Demo: l.demo}
	status := http.StatusOK
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if content.ID == "" {
			content.Error = "You are signed out. Start a sign-in from souk."
		} else if _, err := l.storage.AuthRequestByID(r.Context(), content.ID); err != nil {
			content.ID, content.Error, status = "", err.Error(), http.StatusBadRequest
		}
	case http.MethodPost:
		err := l.storage.signIn(content.ID, r.FormValue("email"))
		if err == nil {
			http.Redirect(w, r, l.callback(r.Context(), content.ID), http.StatusFound)
			return
		}
		content.Error, status = err.Error(), http.StatusBadRequest
		if errs.CodeOf(err) == errs.Invalid {
			content.Error = errs.From(err).Message
		}
	default:
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Frame-Options", "DENY")
	w.WriteHeader(status)
	_ = page.Execute(w, content) // an error means that the browser has gone
}
