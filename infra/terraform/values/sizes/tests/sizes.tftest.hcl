variables {
  orders_per_day = 200000
  groups = {
    checkout = ["order", "payment", "product", "cart", "voucher"]
    people   = ["user", "shop", "address", "comment", "settings", "notification", "webhook"]
  }
  max_replicas    = 6
  max_replicas_of = { order = 12, product = 12, cart = 12 }
  node_type       = "m7g.xlarge"
  pods_memory_gib = 22
}

run "a_shop_of_200000_orders_a_day" {
  command = plan

  assert {
    condition     = floor(output.peak.checkout * 10) == 115 && floor(output.peak.read) == 2314
    error_message = "the peak is ${jsonencode(output.peak)}"
  }
  assert {
    # 11.57 checkouts, 2,315 reads and 116 searches a second
    condition     = floor(output.cores.souk * 100) == 218 && floor(output.cores.database * 100) == 82
    error_message = "the cores are ${jsonencode(output.cores)}"
  }
  assert {
    condition     = output.nodes.min == 3 && output.nodes.max == 6
    error_message = "the nodes are ${jsonencode(output.nodes)}"
  }
  assert {
    condition     = output.databases.checkout.class == "db.m7g.large" && output.databases.checkout.max_connections == 610
    error_message = "the databases are ${jsonencode(output.databases)}"
  }
  assert {
    condition     = output.databases.checkout.storage_gib == 168 && output.databases.people.storage_gib == 100
    error_message = "the databases are ${jsonencode(output.databases)}"
  }
  assert {
    condition     = output.redis.type == "cache.r7g.xlarge"
    error_message = "Redis is ${jsonencode(output.redis)}"
  }
  assert {
    condition     = output.alarms.database.checkout.connections == 488
    error_message = "the alarms are ${jsonencode(output.alarms)}"
  }
}

run "staging_is_small" {
  command = plan

  variables {
    orders_per_day  = 2000
    max_replicas    = 2
    max_replicas_of = {}
    node_type       = "t4g.large"
    pods_memory_gib = 12
    burstable       = true
    sessions        = 1000
    groups = {
      all = [
        "order", "payment", "product", "cart", "voucher", "user", "shop", "address", "comment", "settings",
        "notification", "webhook",
      ]
    }
  }

  assert {
    condition     = output.databases.all.class == "db.t4g.large" && output.databases.all.max_connections == 510
    error_message = "the databases are ${jsonencode(output.databases)}"
  }
  assert {
    condition     = output.redis.type == "cache.t4g.medium" && output.nodes.min == 3
    error_message = "Redis is ${jsonencode(output.redis)}, the nodes are ${jsonencode(output.nodes)}"
  }
}

run "ten_times_the_orders" {
  command = plan

  variables {
    orders_per_day = 2000000
  }

  assert {
    condition     = output.databases.checkout.class == "db.m7g.4xlarge" && output.redis.type == "cache.r7g.8xlarge"
    error_message = "the sizes are ${jsonencode(output.databases)} and ${jsonencode(output.redis)}"
  }
  assert {
    condition     = output.nodes.min == 10
    error_message = "the nodes are ${jsonencode(output.nodes)}"
  }
}

# Connections decide, not processors.
run "many_processes_need_a_larger_database" {
  command = plan

  variables {
    max_replicas = 24
  }

  assert {
    condition     = output.databases.people.class == "db.m7g.2xlarge" && output.databases.people.max_connections == 1850
    error_message = "the databases are ${jsonencode(output.databases)}"
  }
}

run "too_many_connections_are_refused" {
  command = plan

  variables {
    max_replicas = 50
    max_conns    = 20
  }

  expect_failures = [output.databases]
}

run "too_many_answers_for_one_redis_are_refused" {
  command = plan

  variables {
    orders_per_day = 3000000
  }

  expect_failures = [output.redis]
}

# A checkout's processor time of PostgreSQL is more than the largest class has.
run "too_many_orders_for_one_group_are_refused" {
  command = plan

  variables {
    orders_per_day = 10000000
  }

  expect_failures = [output.databases, output.redis]
}

run "a_service_in_two_groups_is_refused" {
  command = plan

  variables {
    groups = { checkout = ["order", "cart"], people = ["cart"] }
  }

  expect_failures = [var.groups]
}
