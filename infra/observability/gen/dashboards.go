package main

func dashboards() []dashboard {
	return []dashboard{
		overview(),
		gateway(),
		service(),
		checkout(),
		events(),
		databases(),
		natsServers(),
		redisServers(),
		business(),
		jobs(),
		security(),
	}
}

const interval = "[$__rate_interval]"

// rate returns the summed rate of a counter by a label.
func rate(counter, selector, by string) string {
	sum := "sum"
	if by != "" {
		sum = "sum by (" + by + ")"
	}
	return sum + " (rate(" + counter + "{" + selector + "}" + interval + "))"
}

func overview() dashboard {
	objective := func(title, slo string, budget float64) row {
		of := func(w string) string { return `slo:sli_error:ratio_rate` + w + `{slo="` + slo + `"}` }
		left := `slo:error_budget_remaining:ratio{slo="` + slo + `"}`
		return row{
			title,
			[]panel{
				stat("budget left (30 days)", "percentunit", -.1, "min("+left+")"),
				stat("bad, last hour", "percentunit", budget, "max("+of("1h")+")"),
				graph(
					"share of bad requests",
					"percentunit",
					query{of("5m"), "5 min {{service}}"},
					query{of("1h"), "1 h {{service}}"},
					query{of("1d"), "1 day {{service}}"},
				),
				graph(
					"burn rate (1: the budget lasts 30 days)",
					"none",
					query{
						of("1h") + ` / on (slo) group_left () slo:error_budget:ratio{slo="` + slo + `"}`,
						"1 h {{service}}",
					},
					query{
						of("6h") + ` / on (slo) group_left () slo:error_budget:ratio{slo="` + slo + `"}`,
						"6 h {{service}}",
					},
				),
			},
		}
	}
	return dashboard{
		uid: "overview", title: "overview", description: "What souk promises, and how much of it is left.",
		rows: []row{
			{
				"now",
				[]panel{
					stat(
						"alerts: critical",
						"none",
						1,
						`count(ALERTS{alertstate="firing",severity="critical"}) or vector(0)`,
					),
					stat(
						"alerts: warning",
						"none",
						1,
						`count(ALERTS{alertstate="firing",severity="warning",alertname!="Watchdog"}) or vector(0)`,
					),
					stat("processes down", "none", 1, `count(up{job="souk"} == 0) or vector(0)`),
					stat("requests / s", "reqps", 0, rate("http_request_total", public, "")),
					stat("orders / min", "none", 0, `sum(rate(checkout_total{outcome="placed"}[5m])) * 60`),
					stat(
						"needs an operator",
						"none",
						1,
						`(sum(max by (service, type) (saga_parked)) or vector(0)) + (sum(max by (consumer) (event_dead_letters)) or vector(0))`,
					),
				},
			},
			objective("availability: 99.9 % of requests succeed", "availability", .001),
			objective("latency: 95 % of requests within 200 ms", "latency-p95", .05),
			objective("latency: 99 % of requests within 500 ms", "latency-p99", .01),
			objective("calls: 99.9 % between services succeed", "calls", .001),
			objective("database: 95 % of statements within 50 ms", "database", .05),
			{
				"versions",
				[]panel{
					graph("processes by version", "none", query{"count by (version) (souk_build_info)", "{{version}}"}),
					graph(
						"lines in the log",
						"short",
						query{rate("log_line_total", `level=~"warn|error"`, "level"), "{{level}}"},
					),
					{title: "errors in the log", width: 8, logs: `{app="souk", level="error"} | json`},
				},
			},
		},
	}
}

func gateway() dashboard {
	const route = `route=~"$route"`
	return dashboard{
		uid: "gateway", title: "gateway", description: "Requests of customers, by route.",
		variables: []any{variable("route", "label_values(http_request_total, route)", true)},
		rows: []row{
			{
				"requests",
				[]panel{
					graph(
						"requests by status",
						"reqps",
						query{rate("http_request_total", route, "status"), "{{status}}"},
					),
					quantiles("duration", "http_request_duration_seconds", route),
					graph("P95 by route", "s", query{
						"topk(10, histogram_quantile(0.95, sum by (le, route) (rate(http_request_duration_seconds_bucket{" + route + "}" +
							interval + "))))",
						"{{route}}",
					}),
					graph(
						"5xx by route",
						"reqps",
						query{rate("http_request_total", route+`,status=~"5.."`, "route"), "{{route}}"},
					),
					graph("bytes", "Bps", query{rate("http_request_size_bytes_sum", route, ""), "in"},
						query{rate("http_response_size_bytes_sum", route, ""), "out"}),
					graph("outdated answers", "reqps", query{rate("stale_answers_total", "", ""), "from the cache"}),
				},
			},
			{
				"what the gateway decides",
				[]panel{
					graph(
						"refused by a limit",
						"reqps",
						query{rate("rate_limit_refused_total", "", "limit"), "{{limit}}"},
					),
					graph(
						"idempotency keys",
						"reqps",
						query{rate("idempotency_key_total", "", "outcome"), "{{outcome}}"},
					),
					graph(
						"breakers: 0 closed, 1 half open, 2 open",
						"none",
						query{"max by (target) (breaker_state)", "{{target}}"},
					),
					{
						title: "access log: failures",
						width: 24,
						logs:  `{app="souk", service="gateway"} | json | message="request" | status >= 500`,
					},
				},
			},
		},
	}
}

func service() dashboard {
	const one = `service="$service"`
	return dashboard{
		uid: "service", title: "a service", description: "Calls, database, outbox, settings and log of one service.",
		variables: []any{variable("service", "label_values(rpc_server_requests_total, service)", false)},
		rows: []row{
			{"calls that $service answers", []panel{
				graph("by code", "reqps", query{rate("rpc_server_requests_total", one, "code"), "{{code}}"}),
				quantiles("duration", "rpc_server_duration_seconds", one),
				graph("P95 by method", "s", query{
					"topk(10, histogram_quantile(0.95, sum by (le, method) (rate(rpc_server_duration_seconds_bucket{" + one + "}" +
						interval + "))))",
					"{{method}}",
				}),
			}},
			{
				"what $service calls",
				[]panel{
					graph("by service", "reqps", query{rate("rpc_client_requests_total", one, "target"), "{{target}}"}),
					graph(
						"failures",
						"reqps",
						query{
							rate("rpc_client_requests_total", one+`,code!="ok"`, "target, code"),
							"{{target}} {{code}}",
						},
					),
					graph(
						"other parties",
						"reqps",
						query{rate("http_client_request_total", one, "target, status"), "{{target}} {{status}}"},
					),
				},
			},
			{
				"its database",
				[]panel{
					quantiles("statements", "postgres_query_duration_seconds", one),
					graph(
						"connections",
						"none",
						query{"sum(postgres_connections_in_use{" + one + "})", "in use"},
						query{
							"sum(postgres_connections_open{" + one + "})",
							"open",
						},
						query{"sum(postgres_connections_max{" + one + "})", "max"},
					),
					graph("outbox", "none", query{"max(outbox_pending{" + one + "})", "events that wait"},
						query{"max(outbox_oldest_seconds{" + one + "})", "age of the oldest, s"}),
				},
			},
			{"its log and traces", []panel{
				graph("settings: seconds since they were up to date", "s",
					query{"time() - min(settings_loaded_timestamp_seconds{" + one + "})", "$service"}),
				{title: "log", width: 16, logs: `{app="souk", service="$service"} | json`},
			}},
		},
	}
}

func checkout() dashboard {
	return dashboard{
		uid: "checkout", title: "checkout and sagas", description: "From the checkout to the captured payment.",
		rows: []row{
			{
				"checkouts",
				[]panel{
					graph("by outcome", "reqps", query{rate("checkout_total", "", "outcome"), "{{outcome}}"}),
					quantiles("duration", "http_request_duration_seconds", `route="/v1/checkout",method="POST"`),
					graph("payments with an open outcome", "none", query{"max by (kind) (payment_open)", "{{kind}}s"},
						query{"max(payment_open_oldest_seconds)", "age of the oldest, s"}),
					graph(
						"outcomes applied late",
						"ops",
						query{rate("payment_reconciled_total", "", ""), "reconciled"},
					),
					graph(
						"calls to the payment provider and other parties",
						"reqps",
						query{
							rate("http_client_request_total", `service="payment"`, "target, status"),
							"{{target}} {{status}}",
						},
					),
				},
			},
			{
				"sagas",
				[]panel{
					graph("begun and ended", "ops", query{rate("saga_started_total", "", "type"), "{{type}} begun"},
						query{rate("saga_ended_total", "", "type, state"), "{{type}} {{state}}"}),
					graph("parked", "none", query{"max by (service, type) (saga_parked)", "{{service}} {{type}}"}),
					graph("in hand", "none", query{"sum by (service) (saga_running)", "{{service}}"}),
					graph("P95 of a step", "s", query{
						"histogram_quantile(0.95, sum by (le, type, step) (rate(saga_step_duration_seconds_bucket{kind=\"do\"}" + interval + ")))",
						"{{type}} {{step}}",
					}),
					graph(
						"steps that failed",
						"ops",
						query{rate("saga_step_duration_seconds_count", `code!="ok"`, "type, step, kind, code"),
							"{{type}} {{kind}} {{step}} {{code}}"},
					),
					{title: "log", width: 8, logs: `{app="souk", service="order"} | json | message=~"saga.*"`},
				},
			},
			{
				"checks",
				[]panel{
					graph(
						"rows that break an invariant",
						"none",
						query{`max by (check) (verify_wrong{severity="violation"}) > 0`, "{{check}}"},
					),
					stat("since the last check", "s", 3600, "time() - max(verify_last_run_timestamp_seconds)"),
					graph(
						"checks by result",
						"none",
						query{"sum by (result) (increase(verify_run_total[1h]))", "{{result}}"},
					),
				},
			},
		},
	}
}

func events() dashboard {
	return dashboard{
		uid:         "events",
		title:       "events and outboxes",
		description: "From the transaction to the effect in another service.",
		rows: []row{
			{
				"outboxes",
				[]panel{
					graph("events that wait", "none", query{"max by (service) (outbox_pending)", "{{service}}"}),
					graph("age of the oldest", "s", query{"max by (service) (outbox_oldest_seconds)", "{{service}}"}),
					graph(
						"published",
						"ops",
						query{"topk(15, " + rate("event_published_total", "", "subject") + ")", "{{subject}}"},
					),
				},
			},
			{
				"consumers",
				[]panel{
					graph(
						"not acknowledged",
						"none",
						query{"max by (consumer) (event_consumer_pending)", "{{consumer}}"},
					),
					graph(
						"handled, by outcome",
						"ops",
						query{rate("event_handled_total", "", "outcome"), "{{outcome}}"},
					),
					graph("P95 from what happened to its effect", "s", query{
						"histogram_quantile(0.95, sum by (le, consumer) (rate(event_lag_seconds_bucket" + interval + ")))",
						"{{consumer}}",
					}),
					graph("dead letters", "none", query{"max by (consumer) (event_dead_letters)", "{{consumer}}"}),
					graph(
						"given up",
						"none",
						query{"sum by (consumer) (increase(event_dead_total[1h]))", "{{consumer}} in 1 h"},
					),
					graph("streams, share of their limit", "percentunit",
						query{"max by (stream) (event_stream_bytes / event_stream_limit_bytes)", "{{stream}}"}),
				},
			},
		},
	}
}
