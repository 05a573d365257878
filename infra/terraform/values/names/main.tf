# Names and tags of one environment in one region. No provider: tested by `tofu test`.
terraform {
  required_version = ">= 1.10"
}

locals {
  prefix = "${var.project}-${var.environment}"

  tags = {
    Project     = var.project
    Environment = var.environment
    ManagedBy   = "terraform"
    Repository  = var.repository
  }

  # A bucket's name is unique in the world. The account makes it so.
  buckets = {
    for name in ["backups", "media"] : name => "${local.prefix}-${name}-${var.account_id}-${var.region}"
  }

  databases = { for group in var.database_groups : group => "${local.prefix}-${group}" }

  secrets = { for name in var.secret_names : name => "${var.project}/${var.environment}/${name}" }
}
