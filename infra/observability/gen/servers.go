package main

func databases() dashboard {
	return dashboard{
		uid:         "databases",
		title:       "databases and pools",
		description: "PostgreSQL as the services see it, and from inside.",
		rows: []row{
			{
				"as the services see it",
				[]panel{
					graph("P95 of a statement", "s", query{
						"histogram_quantile(0.95, sum by (le, service) (rate(postgres_query_duration_seconds_bucket" + interval + ")))",
						"{{service}}",
					}),
					graph(
						"statements",
						"ops",
						query{rate("postgres_query_duration_seconds_count", "", "service"), "{{service}}"},
					),
					graph(
						"pool in use",
						"percentunit",
						query{
							"max by (service) (postgres_connections_in_use / postgres_connections_max)",
							"{{service}}",
						},
					),
					graph(
						"waits for a connection",
						"ops",
						query{rate("postgres_connection_wait_total", "", "service"), "{{service}}"},
					),
					graph("time spent waiting for connections", "s",
						query{rate("postgres_connection_wait_seconds_total", "", "service"), "{{service}}, s per s"}),
					graph(
						"open connections",
						"none",
						query{"sum by (service) (postgres_connections_open)", "{{service}}"},
					),
				},
			},
			{
				"from inside (postgres_exporter)",
				[]panel{
					graph("up", "none", query{"min by (instance) (pg_up)", "{{instance}}"}),
					graph("connections, share of the limit", "percentunit", query{
						"sum by (instance) (pg_stat_activity_count) / on (instance) max by (instance) (pg_settings_max_connections)",
						"{{instance}}",
					}),
					graph(
						"commits and rollbacks",
						"ops",
						query{
							"sum by (datname) (rate(pg_stat_database_xact_commit" + interval + "))",
							"{{datname}} commit",
						},
						query{
							"sum by (datname) (rate(pg_stat_database_xact_rollback" + interval + "))",
							"{{datname}} rollback",
						},
					),
					graph(
						"blocks read from disk",
						"ops",
						query{"sum by (datname) (rate(pg_stat_database_blks_read" + interval + "))", "{{datname}}"},
					),
					graph(
						"deadlocks",
						"ops",
						query{"sum by (datname) (rate(pg_stat_database_deadlocks" + interval + "))", "{{datname}}"},
					),
					graph("size", "bytes", query{"max by (datname) (pg_database_size_bytes)", "{{datname}}"}),
					graph(
						"replicas: lag",
						"s",
						query{"max by (instance) (pg_replication_lag_seconds)", "{{instance}}"},
					),
					graph(
						"WAL: age of the last archived segment",
						"s",
						query{"max by (instance) (pg_stat_archiver_last_archive_age)", "{{instance}}"},
					),
					graph(
						"backups: age",
						"s",
						query{"time() - max by (what) (backup_last_success_timestamp_seconds)", "{{what}}"},
					),
				},
			},
		},
	}
}

func natsServers() dashboard {
	return dashboard{
		uid: "nats", title: "NATS", description: "The servers (prometheus-nats-exporter with -varz and -jsz=all).",
		rows: []row{
			{
				"servers",
				[]panel{
					graph("exporters up", "none", query{`min by (instance) (up{job="nats"})`, "{{instance}}"}),
					graph(
						"connections",
						"none",
						query{"sum by (server_id) (gnatsd_varz_connections)", "{{server_id}}"},
					),
					graph(
						"messages",
						"ops",
						query{"sum by (server_id) (rate(gnatsd_varz_in_msgs" + interval + "))", "{{server_id}} in"},
						query{"sum by (server_id) (rate(gnatsd_varz_out_msgs" + interval + "))", "{{server_id}} out"},
					),
					graph(
						"bytes",
						"Bps",
						query{"sum by (server_id) (rate(gnatsd_varz_in_bytes" + interval + "))", "{{server_id}} in"},
						query{"sum by (server_id) (rate(gnatsd_varz_out_bytes" + interval + "))", "{{server_id}} out"},
					),
					graph(
						"slow consumers",
						"ops",
						query{"sum by (server_id) (rate(gnatsd_varz_slow_consumers" + interval + "))", "{{server_id}}"},
					),
					graph("memory", "bytes", query{"sum by (server_id) (gnatsd_varz_mem)", "{{server_id}}"}),
				},
			},
			{
				"JetStream",
				[]panel{
					graph("disk in use, share of the limit", "percentunit", query{
						"max by (server_name) (jetstream_server_total_message_bytes / jetstream_server_max_storage)",
						"{{server_name}}",
					}),
					graph(
						"bytes of streams",
						"bytes",
						query{"max by (stream_name) (jetstream_stream_total_bytes)", "{{stream_name}}"},
					),
					graph(
						"messages of streams",
						"none",
						query{"max by (stream_name) (jetstream_stream_total_messages)", "{{stream_name}}"},
					),
					graph(
						"pending",
						"none",
						query{"max by (consumer_name) (jetstream_consumer_num_pending)", "{{consumer_name}}"},
					),
					graph(
						"redelivered",
						"none",
						query{"max by (consumer_name) (jetstream_consumer_num_redelivered)", "{{consumer_name}}"},
					),
					graph(
						"leaders of the cluster",
						"none",
						query{
							`count by (meta_leader) (jetstream_server_total_streams{is_meta_leader="true"})`,
							"{{meta_leader}}",
						},
					),
				},
			},
		},
	}
}

func redisServers() dashboard {
	return dashboard{
		uid: "redis", title: "Redis", description: "Caches as the services see them, and the servers (redis_exporter).",
		rows: []row{
			{
				"as the services see it",
				[]panel{
					graph(
						"look-ups",
						"ops",
						query{rate("cache_request_total", "", "cache, result"), "{{cache}} {{result}}"},
					),
					graph("hits", "percentunit", query{
						"sum by (cache) (rate(cache_request_total{result=~\"hit|missing\"}" + interval + ")) / sum by (cache) (rate(cache_request_total" +
							interval + "))",
						"{{cache}}",
					}),
					graph(
						"unavailable",
						"ops",
						query{rate("cache_request_total", `result="unavailable"`, "cache"), "{{cache}}"},
					),
				},
			},
			{
				"servers",
				[]panel{
					graph("up", "none", query{"min by (instance) (redis_up)", "{{instance}}"}),
					graph(
						"memory, share of the limit",
						"percentunit",
						query{
							"max by (instance) (redis_memory_used_bytes / (redis_memory_max_bytes > 0))",
							"{{instance}}",
						},
					),
					graph(
						"evicted and expired keys",
						"ops",
						query{
							"sum by (instance) (rate(redis_evicted_keys_total" + interval + "))",
							"{{instance}} evicted",
						},
						query{
							"sum by (instance) (rate(redis_expired_keys_total" + interval + "))",
							"{{instance}} expired",
						},
					),
					graph(
						"commands",
						"ops",
						query{
							"sum by (instance) (rate(redis_commands_processed_total" + interval + "))",
							"{{instance}}",
						},
					),
					graph("clients", "none", query{"sum by (instance) (redis_connected_clients)", "{{instance}}"}),
					graph(
						"last save",
						"s",
						query{"time() - max by (instance) (redis_rdb_last_save_timestamp_seconds)", "{{instance}}"},
					),
				},
			},
		},
	}
}
