package main

// The parts of Grafana's dashboard model (schema 39) that souk's dashboards use.
type (
	dashboard struct {
		uid, title, description string
		variables               []any
		rows                    []row
	}
	// row is a title and panels beside each other, as many as fit.
	row struct {
		title  string
		panels []panel
	}
	panel struct {
		kind, title, description, unit string
		width                          int
		queries                        []query
		// exemplars shows the traces of histograms as points.
		exemplars bool
		// max is the end of the scale; 0: automatic. red is the value from which on it is bad.
		max, red float64
		logs     string // a query of Loki instead
	}
	query struct{ expr, legend string }
)

const height = 8 // of a panel, in units of Grafana's grid, which is 24 wide

func prometheusSource() any { return object{"type": "prometheus", "uid": "${datasource}"} }
func lokiSource() any       { return object{"type": "loki", "uid": "loki"} }

type object = map[string]any

func (d dashboard) json() ([]byte, error) {
	var panels []any
	id, y := 0, 0
	for _, r := range d.rows {
		id++
		panels = append(panels, object{
			"id": id, "type": "row", "title": r.title, "collapsed": false, "panels": []any{},
			"gridPos": object{"x": 0, "y": y, "w": 24, "h": 1},
		})
		y++
		x := 0
		for _, p := range r.panels {
			width := p.width
			if width == 0 {
				width = 8
			}
			if x+width > 24 {
				x, y = 0, y+height
			}
			id++
			panels = append(panels, p.model(id, object{"x": x, "y": y, "w": width, "h": height}))
			x += width
		}
		y += height
	}
	source := object{
		"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Metrics",
		"current": object{"text": "Prometheus", "value": "prometheus"},
	}
	return marshal(object{
		"uid": "souk-" + d.uid, "title": "souk: " + d.title, "description": d.description, "tags": []string{"souk"},
		"schemaVersion": 39, "editable": false, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
		"time":       object{"from": "now-3h", "to": "now"},
		"templating": object{"list": append([]any{source}, d.variables...)},
		"annotations": object{"list": []any{object{
			"name": "Alerts", "enable": true, "iconColor": "red", "datasource": prometheusSource(),
			"expr": `ALERTS{alertstate="firing",severity="critical"}`, "titleFormat": "{{alertname}}",
		}}},
		"links": []any{object{
			"type": "dashboards", "title": "souk", "tags": []string{"souk"}, "asDropdown": true, "includeVars": true,
			"keepTime": true,
		}},
		"panels": panels,
	})
}

func (p panel) model(id int, at object) object {
	kind := p.kind
	if kind == "" {
		kind = "timeseries"
	}
	if p.logs != "" {
		return object{
			"id": id, "type": "logs", "title": p.title, "gridPos": at, "datasource": lokiSource(),
			"targets": []any{object{"refId": "A", "expr": p.logs, "datasource": lokiSource()}},
			"options": object{"showTime": true, "enableLogDetails": true, "sortOrder": "Descending"},
		}
	}
	var targets []any
	for i, q := range p.queries {
		targets = append(targets, object{
			"refId": string(rune('A' + i)), "expr": q.expr, "legendFormat": q.legend, "datasource": prometheusSource(),
			"instant": kind == "stat" || kind == "bargauge", "range": kind == "timeseries", "exemplar": p.exemplars,
		})
	}
	steps := []any{object{"color": "green", "value": nil}}
	if p.red > 0 {
		steps = append(steps, object{"color": "red", "value": p.red})
	}
	if p.red < 0 { // bad below
		steps = []any{object{"color": "red", "value": nil}, object{"color": "green", "value": -p.red}}
	}
	defaults := object{
		"unit": p.unit, "min": 0, "thresholds": object{"mode": "absolute", "steps": steps},
		"custom": object{"fillOpacity": 10, "showPoints": "never", "lineWidth": 1},
	}
	if p.max > 0 {
		defaults["max"] = p.max
	}
	options := object{
		"legend": object{"displayMode": "table", "placement": "bottom", "calcs": []string{"lastNotNull", "max"}},
	}
	if kind != "timeseries" {
		options = object{"reduceOptions": object{"calcs": []string{"lastNotNull"}}, "colorMode": "background"}
	}
	return object{
		"id": id, "type": kind, "title": p.title, "description": p.description, "gridPos": at,
		"datasource": prometheusSource(), "targets": targets, "options": options,
		"fieldConfig": object{"defaults": defaults, "overrides": []any{}},
	}
}

// graph shows how values change, stat the last one.
func graph(title, unit string, queries ...query) panel {
	return panel{title: title, unit: unit, queries: queries}
}

func stat(title, unit string, red float64, expr string) panel {
	return panel{kind: "stat", title: title, unit: unit, red: red, width: 4, queries: []query{{expr, ""}}}
}

// quantiles shows P50, P95 and P99 of a histogram, with the traces of its exemplars.
func quantiles(title, histogram, selector string) panel {
	p := panel{title: title, unit: "s", exemplars: true}
	for _, q := range []struct{ name, value string }{{"P50", "0.5"}, {"P95", "0.95"}, {"P99", "0.99"}} {
		p.queries = append(p.queries, query{
			"histogram_quantile(" + q.value + ", sum by (le) (rate(" + histogram + "_bucket{" + selector + "}[$__rate_interval])))",
			q.name,
		})
	}
	return p
}

func variable(name, expr string, all bool) any {
	v := object{
		"name": name, "type": "query", "datasource": prometheusSource(), "refresh": 2, "sort": 1,
		"query": object{"query": expr, "refId": "A"}, "includeAll": all, "multi": all,
	}
	if all {
		v["allValue"] = ".*"
		v["current"] = object{"text": "All", "value": "$__all"}
	}
	return v
}
