output "peak" {
  description = "Requests per second at the peak, by kind."
  value       = local.peak
}

output "cores" {
  description = "Processors that souk and PostgreSQL need at the peak, half busy."
  value       = { souk = local.souk_cores, database = local.database_cores }
}

output "nodes" {
  description = "Nodes of the cluster: the instance type, and how many at least, at first and at most."
  value = {
    type    = var.node_type
    min     = local.nodes
    desired = local.nodes
    max     = local.nodes * 2
  }
}

output "databases" {
  description = "By group: the instance class, max_connections, and disk space in GiB, now and at most."
  value       = local.databases

  precondition {
    condition     = alltrue([for classes in values(local.fitting) : length(classes) > 0])
    error_message = "No class has the processors and connections of each group: divide the groups, or bound the replicas."
  }
}

output "redis" {
  description = "The node type of Redis, and how much data it is sized for, in GiB."
  value = {
    type     = local.redis_types[0]
    data_gib = local.redis_gib
  }

  precondition {
    condition     = length(local.redis_types) > 0
    error_message = "No node type has the memory: lower gateway.idempotency_ttl, or use a Redis Cluster."
  }
}

output "alarms" {
  description = "Thresholds of alarms. Those of the databases are by group."
  value = {
    database = {
      for group, database in local.databases : group => {
        connections   = floor(database.max_connections * 0.8)
        free_bytes    = floor(database.storage_gib * 1073741824 * 0.2)
        cpu_percent   = 80
        lag_seconds   = 60   # as the plan's RPO of a minute
        read_seconds  = 0.02 # of gp3, which answers within milliseconds
        write_seconds = 0.02
      }
    }
    redis = {
      memory_percent = 50 # Redis never evicts: docs/operations.md
      cpu_percent    = 60 # of the one processor that runs commands
      lag_seconds    = 5
    }
  }
}
