package operate

import (
	"html/template"
	"time"
)

// auditPage is a report for people. It is kept in memory as a whole.
type auditPage struct {
	Kind     string
	From, To time.Time
	Header   []string
	Rows     [][]string
}

var auditHTML = template.Must(template.New("audit").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Audit report</title>
<style>
body { font: 14px/1.4 system-ui, sans-serif; margin: 2rem }
table { border-collapse: collapse }
th, td { border: 1px solid #999; padding: .2rem .4rem; text-align: left; overflow-wrap: anywhere }
</style></head>
<body>
<h1>Audit report{{with .Kind}}: {{.}}{{end}}</h1>
<p>{{if not .From.IsZero}}From {{.From.Format "2006-01-02 15:04:05 MST"}}. {{end -}}
{{if not .To.IsZero}}Before {{.To.Format "2006-01-02 15:04:05 MST"}}. {{end}}{{len .Rows}} entries.</p>
<table>
<tr>{{range .Header}}<th>{{.}}</th>{{end}}</tr>
{{range .Rows}}<tr>{{range .}}<td>{{.}}</td>{{end}}</tr>
{{end}}</table>
</body>
</html>
`))
