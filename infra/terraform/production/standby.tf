# The second region: the smallest cluster that souk starts in, replicas of PostgreSQL, copies of buckets and secrets, and an empty
# Redis. JetStream is rebuilt from the outboxes, carts come back from PostgreSQL, and users sign in again.
module "standby_names" {
  source = "../values/names"

  environment     = local.environment
  region          = var.standby_region
  account_id      = var.account_id
  repository      = var.repository
  database_groups = keys(local.groups)
}

data "aws_availability_zones" "standby" {
  provider = aws.standby
  state    = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

module "standby_alarms" {
  source    = "../modules/alarms"
  providers = { aws = aws.standby }

  name   = "${module.names.prefix}-standby"
  region = var.standby_region
  emails = var.alarm_emails
}

module "standby_network" {
  source    = "../modules/network"
  providers = { aws = aws.standby }

  name             = "${module.names.prefix}-standby"
  region           = var.standby_region
  cidr             = "10.30.0.0/16" # another one than the first region's, so that both can be peered
  zones            = slice(data.aws_availability_zones.standby.names, 0, 3)
  nat_in_each_zone = false
  logs_key_arn     = module.standby_alarms.key_arn
}

module "standby_kubernetes" {
  source    = "../modules/kubernetes"
  providers = { aws = aws.standby }

  name               = "${module.names.prefix}-sb"
  region             = var.standby_region
  kubernetes_version = var.kubernetes_version
  vpc_id             = module.standby_network.vpc_id
  private_subnet_ids = module.standby_network.private_subnet_ids
  public_subnet_ids  = module.standby_network.public_subnet_ids
  # The autoscaler adds nodes when souk is scaled up there.
  nodes           = merge(module.sizes.nodes, { min = 3, desired = 3 })
  api_networks    = var.api_networks
  admin_role_arns = var.admin_role_arns
  accounts = {
    secrets = {
      namespace = "external-secrets"
      account   = "external-secrets"
      policies  = { read = data.aws_iam_policy_document.standby_secrets.json }
    }
    certificates = {
      namespace = "cert-manager"
      account   = "cert-manager"
      policies  = { dns = data.aws_iam_policy_document.certificates.json }
    }
  }
}

# Copies of secrets have the same names in the second region, and its key.
data "aws_iam_policy_document" "standby_secrets" {
  statement {
    actions = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [
      "arn:aws:secretsmanager:${var.standby_region}:${var.account_id}:secret:souk/${local.environment}/*",
    ]
  }

  statement {
    actions   = ["kms:Decrypt"]
    resources = [module.replica.key_arn]
  }
}

module "replica" {
  source    = "../modules/replica"
  providers = { aws = aws.standby }

  name                     = "${module.names.prefix}-standby"
  databases                = module.sizes.databases
  source_arns              = module.database.arns
  engine_version           = var.postgres_version
  vpc_id                   = module.standby_network.vpc_id
  subnet_ids               = module.standby_network.data_subnet_ids
  client_security_group_id = module.standby_kubernetes.node_security_group_id
  lag_seconds              = module.sizes.alarms.database["checkout"].lag_seconds
  alarm_topic_arn          = module.standby_alarms.topic_arn
}

module "standby_redis" {
  source    = "../modules/redis"
  providers = { aws = aws.standby }

  name                     = "${module.names.prefix}-standby"
  region                   = var.standby_region
  vpc_id                   = module.standby_network.vpc_id
  subnet_ids               = module.standby_network.data_subnet_ids
  client_security_group_id = module.standby_kubernetes.node_security_group_id
  node_type                = module.sizes.redis.type
  nodes                    = 1
  alarms                   = module.sizes.alarms.redis
  alarm_topic_arn          = module.standby_alarms.topic_arn
}

module "standby_storage" {
  source    = "../modules/storage"
  providers = { aws = aws.standby }

  name    = "${module.names.prefix}-standby"
  buckets = module.standby_names.buckets
}

module "standby_chart" {
  source = "../values/chart"

  groups             = local.groups
  database_addresses = module.replica.addresses
  redis_address      = module.standby_redis.address
  domain             = var.domain
  secrets_path       = "souk/${local.environment}"
  vpc_cidr           = module.standby_network.cidr
  cloudfront_cidrs   = module.edge.cloudfront_cidrs
  data_cidrs         = module.standby_network.data_cidrs
}
