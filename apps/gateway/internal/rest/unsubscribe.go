package rest

import (
	"html/template"
	"net/http"
	"strings"

	"souk/apps/gateway/internal/middleware"
	notificationv1 "souk/gen/go/souk/notification/v1"
)

// unsubscribePath is the path of the page that ends mails of a kind. Links in mails lead to it.
const unsubscribePath = "/v1/unsubscribe"

// unsubscribePage asks, or says that it is done. It needs no script and no style.
var unsubscribePage = template.Must(template.New("unsubscribe").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="robots" content="noindex"><title>Mails</title></head>
<body>
{{if .Done}}<p>You get no more mails of the kind “{{.Kind}}”.</p>
{{else}}<form method="post"><p>Do you want no more mails of the kind “{{.Kind}}”?</p>
<p><button>No more of these mails</button></p></form>
{{end}}</body>
</html>
`))

// unsubscribe serves the page. GET changes nothing, because programs follow the links in mails, too. POST ends the
// mails: mail programs send it by themselves (RFC 8058), and browsers send the form.
func unsubscribe(notifications notificationv1.NotificationServiceClient) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := r.URL.Query().Get("token")
		page := struct {
			Kind string
			Done bool
		}{Done: r.Method == http.MethodPost}
		var err error
		if page.Done {
			var res *notificationv1.UnsubscribeResponse
			res, err = notifications.Unsubscribe(own(r.Context()), &notificationv1.UnsubscribeRequest{Token: token})
			page.Kind = res.GetKind()
		} else {
			var res *notificationv1.GetSubscriptionResponse
			res, err = notifications.GetSubscription(own(r.Context()),
				&notificationv1.GetSubscriptionRequest{Token: token})
			page.Kind = res.GetKind()
		}
		if err != nil {
			middleware.WriteProblem(w, r, err)
			return
		}
		page.Kind = strings.ReplaceAll(page.Kind, "_", " ")
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		_ = unsubscribePage.Execute(w, page) // an error means that the reader is gone
	}
}
