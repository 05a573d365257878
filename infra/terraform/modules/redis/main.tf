# Redis on ElastiCache, one shard over three zones. It never evicts: it holds sessions, carts and answers to
# Idempotency-Keys. souk has one Redis (docs/configuration.md), and its caches are in processes, so there is no second
# one that evicts.
module "key" {
  source = "../key"

  name        = "${var.name}/redis"
  description = "Redis of ${var.name} and its logs"
  services    = ["elasticache.amazonaws.com"]
  logs_region = var.region
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-redis"
  description = "Redis"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  security_group_id            = aws_security_group.this.id
  description                  = "From the cluster"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_elasticache_parameter_group" "this" {
  name   = var.name
  family = "redis7"

  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }

  parameter {
    name  = "reserved-memory-percent"
    value = "25"
  }
}

# The default user may do nothing.
resource "aws_elasticache_user" "default" {
  user_id       = "${var.name}-default"
  user_name     = "default"
  engine        = "redis"
  access_string = "off -@all"

  authentication_mode {
    type = "no-password-required"
  }
}

# Its first password is in the state, since the provider knows no other way. It opens nothing for long: rotate-redis.sh
# sets another one, which goes only to Secrets Manager, and Terraform leaves that alone.
resource "random_password" "first" {
  length  = 48
  special = false
}

resource "aws_elasticache_user" "souk" {
  user_id       = "${var.name}-souk"
  user_name     = "souk"
  engine        = "redis"
  access_string = "on ~* &* +@all -@admin"

  authentication_mode {
    type      = "password"
    passwords = [random_password.first.result]
  }

  lifecycle {
    ignore_changes = [authentication_mode]
  }
}

resource "aws_elasticache_user_group" "this" {
  engine        = "redis"
  user_group_id = var.name
  user_ids      = [aws_elasticache_user.default.user_id, aws_elasticache_user.souk.user_id]
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/elasticache/${var.name}"
  retention_in_days = 30
  kms_key_id        = module.key.arn
}

resource "aws_elasticache_replication_group" "this" {
  replication_group_id = var.name
  description          = "Sessions, carts and answers to Idempotency-Keys of ${var.name}"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = var.node_type
  port                 = 6379
  parameter_group_name = aws_elasticache_parameter_group.this.name

  num_cache_clusters         = var.nodes
  automatic_failover_enabled = var.nodes > 1
  multi_az_enabled           = var.nodes > 1
  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]

  at_rest_encryption_enabled = true
  kms_key_id                 = module.key.arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  user_group_ids             = [aws_elasticache_user_group.this.user_group_id]

  snapshot_retention_limit   = var.snapshot_days
  snapshot_window            = "00:00-01:00"
  maintenance_window         = "tue:03:30-tue:04:30"
  auto_minor_version_upgrade = true
  apply_immediately          = false
  final_snapshot_identifier  = "${var.name}-final"

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.this.name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
}

locals {
  members = { for n in range(var.nodes) : n => "${var.name}-${format("%03d", n + 1)}" }
  alarms = merge([
    for n, id in local.members : {
      "${n}-memory" = {
        id        = id
        metric    = "DatabaseMemoryUsagePercentage"
        threshold = var.alarms.memory_percent
        says      = "Half of the memory is in use"
      }
      "${n}-cpu" = {
        id        = id
        metric    = "EngineCPUUtilization"
        threshold = var.alarms.cpu_percent
        says      = "The processor of commands is busy"
      }
      "${n}-lag" = {
        id        = id
        metric    = "ReplicationLag"
        threshold = var.alarms.lag_seconds
        says      = "A replica is behind"
      }
      "${n}-evictions" = {
        id        = id
        metric    = "Evictions"
        threshold = 0
        says      = "Redis evicts, so sessions and carts get lost"
      }
    }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-redis-${each.key}"
  alarm_description   = each.value.says
  namespace           = "AWS/ElastiCache"
  metric_name         = each.value.metric
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = 5
  # The primary has no ReplicationLag.
  treat_missing_data = endswith(each.key, "-lag") ? "notBreaching" : "breaching"
  alarm_actions      = [var.alarm_topic_arn]
  ok_actions         = [var.alarm_topic_arn]
  dimensions         = { CacheClusterId = each.value.id }

  depends_on = [aws_elasticache_replication_group.this]
}
