package main

func business() dashboard {
	return dashboard{
		uid: "business", title: "business", description: "What the marketplace does. Figures to watch, not accounts.",
		rows: []row{
			{
				"sales",
				[]panel{
					stat("orders today", "none", 0, `sum(increase(checkout_total{outcome="placed"}[1d]))`),
					graph(
						"orders per hour",
						"none",
						query{`sum(increase(checkout_total{outcome="placed"}[1h]))`, "orders"},
						query{`sum(increase(checkout_total{outcome="placed"}[1h] offset 1w))`, "a week ago"},
					),
					graph(
						"amount per hour",
						"none",
						query{"sum by (currency) (increase(checkout_amount_total[1h]))", "{{currency}}"},
					),
					graph("average order", "none", query{
						`sum by (currency) (increase(checkout_amount_total[1h])) / ignoring (currency) group_left () ` +
							`sum(increase(checkout_total{outcome="placed"}[1h]))`, "{{currency}}",
					}),
				},
			},
			{"what is refused", []panel{
				graph("checkouts refused, by code", "none",
					query{`sum by (outcome) (increase(checkout_total{outcome!="placed"}[1h]))`, "{{outcome}}"}),
				graph("share of checkouts that are placed", "percentunit", query{
					`sum(rate(checkout_total{outcome="placed"}[30m])) / sum(rate(checkout_total[30m]))`, "placed",
				}),
				graph("lines out of stock per hour", "none", query{"sum(increase(stock_out_total[1h]))", "lines"}),
			}},
			{
				"visits",
				[]panel{
					graph("searches", "ops", query{rate("search_total", "", "stage"), "{{stage}}"}),
					graph(
						"share of searches without a result",
						"percentunit",
						query{
							`sum(rate(search_total{stage="none"}[30m])) / sum(rate(search_total[30m]))`,
							"nothing found",
						},
					),
					graph(
						"product pages",
						"reqps",
						query{rate("http_request_total", `route="/v1/products/{id}",status="200"`, ""), "views"},
					),
				},
			},
			{
				"messages",
				[]panel{
					graph("sent", "ops", query{rate("delivery_sent_total", "", "channel"), "{{channel}}"}),
					graph(
						"given up",
						"none",
						query{"sum by (channel, kind) (increase(delivery_failed_total[1h]))", "{{channel}} {{kind}}"},
					),
					graph("delayed", "ops", query{rate("delivery_delayed_total", "", "channel"), "{{channel}}"}),
				},
			},
		},
	}
}

func jobs() dashboard {
	return dashboard{
		uid: "jobs", title: "jobs", description: "Background jobs of notification and webhook.",
		rows: []row{
			{
				"in the databases",
				[]panel{
					graph(
						"due",
						"none",
						query{
							`max by (service, kind, queue) (job_count{state="available"})`,
							"{{service}} {{kind}} {{queue}}",
						},
					),
					graph(
						"failed, tried again",
						"none",
						query{`max by (service, kind) (job_count{state="retryable"})`, "{{service}} {{kind}}"},
					),
					graph(
						"discarded (last week)",
						"none",
						query{`max by (service, kind) (job_count{state="discarded"})`, "{{service}} {{kind}}"},
					),
					graph(
						"scheduled",
						"none",
						query{`max by (service, kind) (job_count{state="scheduled"})`, "{{service}} {{kind}}"},
					),
					graph(
						"paused queues",
						"none",
						query{"max by (service, queue) (job_queue_paused)", "{{service}} {{queue}}"},
					),
				},
			},
			{
				"runs",
				[]panel{
					graph(
						"by result",
						"ops",
						query{rate("job_total", "", "service, kind, result"), "{{service}} {{kind}} {{result}}"},
					),
					graph("P95", "s", query{
						"histogram_quantile(0.95, sum by (le, kind) (rate(job_duration_seconds_bucket" + interval + ")))",
						"{{kind}}",
					}),
					{title: "failures", width: 8, logs: `{app="souk"} | json | message="job failed"`},
				},
			},
		},
	}
}

func security() dashboard {
	return dashboard{
		uid:         "security",
		title:       "security",
		description: "Refusals, security events, and what certificates and keys have left.",
		rows: []row{
			{
				"refused requests",
				[]panel{
					graph(
						"by status",
						"reqps",
						query{rate("http_request_total", `status=~"401|403|421|429"`, "status"), "{{status}}"},
					),
					graph(
						"refused by a limit",
						"reqps",
						query{rate("rate_limit_refused_total", "", "limit"), "{{limit}}"},
					),
					graph(
						"401 and 403 by route",
						"reqps",
						query{
							"topk(10, " + rate("http_request_total", `status=~"401|403"`, "route") + ")",
							"{{route}}",
						},
					),
				},
			},
			{
				"security events",
				[]panel{
					graph(
						"observations by kind",
						"ops",
						query{rate("security_observation_total", "", "kind"), "{{kind}}"},
					),
					graph(
						"found in 1 h",
						"none",
						query{"sum by (kind) (increase(security_event_total[1h]))", "{{kind}}"},
					),
					graph(
						"not acknowledged",
						"none",
						query{"max by (kind) (security_events_open)", "{{kind}}"},
					),
				},
			},
			{
				"sign-in and calls",
				[]panel{
					graph(
						"sign-ins",
						"reqps",
						query{rate("http_request_total", `route=~"/auth/.*"`, "route, status"), "{{route}} {{status}}"},
					),
					graph("calls without a right", "reqps", query{
						rate("rpc_server_requests_total", `code=~"unauthenticated|forbidden"`, "service, method, code"),
						"{{service}} {{method}} {{code}}",
					}),
					graph(
						"refused payments",
						"none",
						query{`sum(increase(checkout_total{outcome="payment_declined"}[1h]))`, "declined in 1 h"},
					),
					{
						title: "refused connections to NATS",
						width: 24,
						logs:  `{app="souk", service="natsauth"} | json | level="warn"`,
					},
				},
			},
			{
				"certificates",
				[]panel{
					graph(
						"public: time left",
						"s",
						query{"min by (instance) (probe_ssl_earliest_cert_expiry) - time()", "{{instance}}"},
					),
					graph("cert-manager: time left", "s", query{
						"min by (namespace, name) (certmanager_certificate_expiration_timestamp_seconds) - time()",
						"{{namespace}}/{{name}}",
					}),
				},
			},
		},
	}
}
