# Sizes of one environment, computed from the orders of a day. No provider: tested by `tofu test`.
#
# The costs are measured: a whole purchase with its mails at 16 a second (docs/capacity.md), reads and searches with
# --split, 16 at once (docs/benchmarks/figures.md). They are processor time of an x86 core; Graviton is not measured.
terraform {
  required_version = ">= 1.10"
}

locals {
  # Microseconds of a processor for each request, in souk's processes and in PostgreSQL.
  cost = {
    checkout = { souk = 33150, database = 23580 }
    read     = { souk = 274, database = 4 } # a list of 20, response cache off
    search   = { souk = 623, database = 1143 }
  }

  # Requests per second at the peak.
  checkouts = var.orders_per_day / 86400 * var.peak_factor
  peak = {
    checkout = local.checkouts
    read     = local.checkouts * var.reads_per_order
    search   = local.checkouts * var.searches_per_order
  }

  # Processors are half busy at the peak: a zone may fail, and latency rises beyond that.
  busy           = 0.5
  souk_cores     = sum([for kind, rate in local.peak : rate * local.cost[kind].souk]) / 1000000 / local.busy
  database_cores = sum([for kind, rate in local.peak : rate * local.cost[kind].database]) / 1000000 / local.busy

  # Nodes. One zone of three may fail, so half as much again. The system takes a tenth of a node's processors and 15 %
  # of its memory.
  node_types = {
    "t4g.large"   = { cores = 2, memory_gib = 8 }
    "m7g.large"   = { cores = 2, memory_gib = 8 }
    "m7g.xlarge"  = { cores = 4, memory_gib = 16 }
    "m7g.2xlarge" = { cores = 8, memory_gib = 32 }
    "m7g.4xlarge" = { cores = 16, memory_gib = 64 }
  }
  node = local.node_types[var.node_type]
  nodes = max(
    3,
    ceil((local.souk_cores + var.other_cores) * 1.5 / (local.node.cores * 0.9)),
    ceil(var.pods_memory_gib * 1.5 / (local.node.memory_gib * 0.85)),
  )

  # PostgreSQL: the smallest class that has the processors and the connections. RDS's own default for max_connections is
  # a connection for each 9,531,392 bytes of memory, and the system takes about a tenth of the memory.
  database_classes = [
    for class in [
      { name = "db.t4g.medium", cores = 2, memory_gib = 4, burst = true },
      { name = "db.t4g.large", cores = 2, memory_gib = 8, burst = true },
      { name = "db.m7g.large", cores = 2, memory_gib = 8, burst = false },
      { name = "db.m7g.xlarge", cores = 4, memory_gib = 16, burst = false },
      { name = "db.m7g.2xlarge", cores = 8, memory_gib = 32, burst = false },
      { name = "db.m7g.4xlarge", cores = 16, memory_gib = 64, burst = false },
      { name = "db.m7g.8xlarge", cores = 32, memory_gib = 128, burst = false },
    ] : merge(class, { connections = min(5000, floor(class.memory_gib * 1073741824 * 0.9 / 9531392)) })
    if class.burst == var.burstable
  ]

  # A pool for each process, two processes more during a release (the chart's maxSurge, and the canary), and some
  # for operators, migrations and verify.
  connections = {
    for group, services in var.groups : group => sum([
      for service in services : (lookup(var.max_replicas_of, service, var.max_replicas) + 2) * var.max_conns
    ]) + 30
  }
  # The group that orders: its databases take what a checkout and a search cost.
  group_cores = {
    for group, services in var.groups :
    group => contains(services, "order") ? local.database_cores : local.database_cores * 0.25
  }
  fitting = {
    for group, services in var.groups : group => [
      for class in local.database_classes : class
      if class.cores >= local.group_cores[group] && class.connections >= local.connections[group]
    ]
  }
  storage_gib = {
    for group, services in var.groups : group => max(
      100, ceil(var.orders_per_day * var.bytes_per_order * var.storage_days / 1073741824 * (contains(services, "order") ? 1 : 0.5)),
    )
  }
  databases = {
    for group, classes in local.fitting : group => {
      class               = classes[0].name
      max_connections     = local.connections[group]
      storage_gib         = local.storage_gib[group]
      storage_gib_at_most = local.storage_gib[group] * 4
    } if length(classes) > 0
  }

  # Redis: answers to checkouts are kept for 7 days (gateway.idempotency_ttl), with 5 KB each. The rest is sessions and
  # carts. A quarter of a node's memory is reserved for its copy, and half of what is left is in use at most: docs/operations.md.
  redis_gib = var.orders_per_day * 7 * 5000 / 1073741824 + var.sessions * 4000 / 1073741824
  redis_types = [
    for type in [
      { name = "cache.t4g.medium", memory_gib = 3.09 },
      { name = "cache.m7g.large", memory_gib = 6.38 },
      { name = "cache.r7g.large", memory_gib = 13.07 },
      { name = "cache.r7g.xlarge", memory_gib = 26.32 },
      { name = "cache.r7g.2xlarge", memory_gib = 52.82 },
      { name = "cache.r7g.4xlarge", memory_gib = 105.81 },
      { name = "cache.r7g.8xlarge", memory_gib = 209.55 },
    ] : type.name if type.memory_gib * 0.75 * 0.5 >= local.redis_gib
  ]
}
