# The data of another region's databases, in a second region: a read replica of each instance, which takes over, and
# backups to any second, from which an earlier moment is restored if the first region's data was damaged.
module "key" {
  source = "../key"

  name        = "${var.name}/replica"
  description = "Replicas of ${var.name}: databases and secrets"
  services    = ["rds.amazonaws.com"]
}

resource "aws_db_subnet_group" "this" {
  name       = "${var.name}-replica"
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-replica"
  description = "PostgreSQL's replicas"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  security_group_id            = aws_security_group.this.id
  description                  = "From the cluster"
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432
}

# A replica has at least as many connections as its source, or it does not start.
resource "aws_db_parameter_group" "this" {
  for_each = var.databases

  name_prefix = "${var.name}-${each.key}-"
  family      = "postgres${split(".", var.engine_version)[0]}"

  parameter {
    name         = "max_connections"
    value        = tostring(each.value.max_connections)
    apply_method = "pending-reboot"
  }

  parameter {
    name         = "rds.force_ssl"
    value        = "1"
    apply_method = "immediate"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  for_each = var.databases

  identifier          = "${var.name}-${each.key}"
  replicate_source_db = var.source_arns[each.key]
  instance_class      = each.value.class

  max_allocated_storage = each.value.storage_gib_at_most
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = module.key.arn

  multi_az               = false # RDS makes a standby when the replica is promoted: modify-db-instance --multi-az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this[each.key].name

  backup_retention_period    = var.backup_days # a promoted replica has backups at once
  copy_tags_to_snapshot      = true
  auto_minor_version_upgrade = true
  apply_immediately          = false
  deletion_protection        = true
  skip_final_snapshot        = false
  final_snapshot_identifier  = "${var.name}-${each.key}-replica-final"

  performance_insights_enabled    = true
  performance_insights_kms_key_id = module.key.arn
  enabled_cloudwatch_logs_exports = ["postgresql"]

  lifecycle {
    ignore_changes = [replicate_source_db] # a promoted replica is no longer one
  }
}

resource "aws_db_instance_automated_backups_replication" "this" {
  for_each = var.databases

  source_db_instance_arn = var.source_arns[each.key]
  retention_period       = var.backup_days
  kms_key_id             = module.key.arn
}

resource "aws_cloudwatch_metric_alarm" "lag" {
  for_each = var.databases

  alarm_name          = "${var.name}-replica-${each.key}-lag"
  alarm_description   = "The replica is more than the RPO behind"
  namespace           = "AWS/RDS"
  metric_name         = "ReplicaLag"
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.lag_seconds
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
  dimensions          = { DBInstanceIdentifier = aws_db_instance.this[each.key].identifier }
}
