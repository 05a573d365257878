# PostgreSQL on RDS: an instance for each group of services, in two zones, with backups to any second. A service has a
# database and a role of its own in its group's instance (infra/terraform/databases.sh).
module "key" {
  source = "../key"

  name        = "${var.name}/database"
  description = "PostgreSQL of ${var.name}, its master passwords and logs"
  services    = ["rds.amazonaws.com"]
  logs_region = var.region
}

data "aws_partition" "this" {}

resource "aws_db_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

resource "aws_security_group" "this" {
  name        = "${var.name}-database"
  description = "PostgreSQL"
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

resource "aws_db_parameter_group" "this" {
  for_each = var.databases

  name_prefix = "${var.name}-${each.key}-"
  family      = "postgres${split(".", var.engine_version)[0]}"

  dynamic "parameter" {
    for_each = merge(var.parameters, { max_connections = tostring(each.value.max_connections) })

    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = contains(local.static, parameter.key) ? "pending-reboot" : "immediate"
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

locals {
  # Parameters that need a restart.
  static = ["max_connections", "shared_preload_libraries", "rds.logical_replication", "track_activity_query_size"]
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = var.databases

  name              = "/aws/rds/instance/${var.name}-${each.key}/postgresql"
  retention_in_days = 90
  kms_key_id        = module.key.arn
}

data "aws_iam_policy_document" "monitoring_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "monitoring" {
  name               = "${var.name}-database-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring_trust.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  for_each = var.databases

  identifier     = "${var.name}-${each.key}"
  engine         = "postgres"
  engine_version = var.engine_version
  instance_class = each.value.class

  # RDS makes the master's password, keeps it in Secrets Manager and rotates it: it is in no state file.
  username                      = "souk_master"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = module.key.arn

  allocated_storage     = each.value.storage_gib
  max_allocated_storage = each.value.storage_gib_at_most
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = module.key.arn

  multi_az               = var.multi_az
  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.this.id]
  publicly_accessible    = false
  network_type           = "IPV4"
  ca_cert_identifier     = "rds-ca-rsa2048-g1"
  parameter_group_name   = aws_db_parameter_group.this[each.key].name

  # Point-in-time recovery: RDS ships the log to S3 every five minutes. The standby in the other zone has all of it.
  backup_retention_period  = var.backup_days
  backup_window            = "01:00-02:00"
  copy_tags_to_snapshot    = true
  delete_automated_backups = false

  maintenance_window          = "tue:02:30-tue:03:30"
  auto_minor_version_upgrade  = true
  allow_major_version_upgrade = false
  apply_immediately           = false

  deletion_protection       = var.protected
  skip_final_snapshot       = !var.protected
  final_snapshot_identifier = var.protected ? "${var.name}-${each.key}-final" : null

  performance_insights_enabled          = true
  performance_insights_kms_key_id       = module.key.arn
  performance_insights_retention_period = 7
  monitoring_interval                   = 30
  monitoring_role_arn                   = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports       = ["postgresql"]

  depends_on = [aws_cloudwatch_log_group.this]
}
