# Staging: production's parts in small, in one region. One PostgreSQL for all services, no standbys, one NAT gateway.
locals {
  environment = "staging"
  groups = {
    all = [
      "address", "audit", "cart", "comment", "keyring", "notification", "order", "payment", "product", "security", "settings", "shop",
      "user", "voucher", "webhook",
    ]
  }
  # What the chart's ExternalSecrets read: infra/helm/souk/values.yaml, secrets.settings.
  secrets = merge(
    { for service in flatten(values(local.groups)) : "souk-postgres-${service}" => "password: ${service}'s password of PostgreSQL" },
    {
      souk-identity     = "seed: identity.seed, from which the services' keys are derived"
      souk-auth         = "key: auth.key; client-secret: auth.client_secret"
      souk-keyring      = "key: keyring.key, which wraps the keys of personal data"
      souk-redis        = "password: redis.password"
      souk-payment      = "webhook-secret: the secret of the payment provider's webhooks"
      souk-notification = "smtp-password: notification.password"
    },
  )
}

data "aws_availability_zones" "this" {
  state = "available"

  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

module "names" {
  source = "../values/names"

  environment     = local.environment
  region          = var.region
  account_id      = var.account_id
  repository      = var.repository
  database_groups = keys(local.groups)
  secret_names    = keys(local.secrets)
}

module "sizes" {
  source = "../values/sizes"

  orders_per_day  = 2000
  groups          = local.groups
  max_replicas    = 3 # as values-staging.yaml
  node_type       = "t4g.large"
  pods_memory_gib = 14
  burstable       = true
  sessions        = 1000
}

module "alarms" {
  source = "../modules/alarms"

  name   = module.names.prefix
  region = var.region
  emails = var.alarm_emails
}

module "network" {
  source = "../modules/network"

  name             = module.names.prefix
  region           = var.region
  cidr             = "10.10.0.0/16"
  zones            = slice(data.aws_availability_zones.this.names, 0, 3)
  nat_in_each_zone = false
  endpoints        = []
  logs_key_arn     = module.alarms.key_arn
}

module "kubernetes" {
  source = "../modules/kubernetes"

  name               = module.names.prefix
  region             = var.region
  kubernetes_version = var.kubernetes_version
  vpc_id             = module.network.vpc_id
  private_subnet_ids = module.network.private_subnet_ids
  public_subnet_ids  = module.network.public_subnet_ids
  nodes              = module.sizes.nodes
  api_networks       = var.api_networks
  admin_role_arns    = var.admin_role_arns
  protected          = false
  accounts = {
    secrets = {
      namespace = "external-secrets"
      account   = "external-secrets"
      policies  = { read = module.secrets.read_policy }
    }
    certificates = {
      namespace = "cert-manager"
      account   = "cert-manager"
      policies  = { dns = data.aws_iam_policy_document.certificates.json }
    }
    backup = {
      namespace = "souk"
      account   = "souk-backup"
      policies  = { write = module.storage.backup_policy }
    }
  }
}

# cert-manager proves by DNS that the domain is ours: Let's Encrypt does not get through to the load balancer.
data "aws_iam_policy_document" "certificates" {
  statement {
    actions   = ["route53:ChangeResourceRecordSets", "route53:ListResourceRecordSets"]
    resources = ["arn:aws:route53:::hostedzone/${var.zone_id}"]
  }

  statement {
    actions   = ["route53:GetChange"]
    resources = ["arn:aws:route53:::change/*"]
  }

  statement {
    actions   = ["route53:ListHostedZonesByName"]
    resources = ["*"]
  }
}

module "database" {
  source = "../modules/database"

  name                     = module.names.prefix
  region                   = var.region
  engine_version           = var.postgres_version
  databases                = module.sizes.databases
  alarms                   = module.sizes.alarms.database
  alarm_topic_arn          = module.alarms.topic_arn
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.data_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  multi_az                 = false
  backup_days              = 7
  protected                = false
}

module "redis" {
  source = "../modules/redis"

  name                     = module.names.prefix
  region                   = var.region
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.data_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  node_type                = module.sizes.redis.type
  nodes                    = 1
  snapshot_days            = 1
  alarms                   = module.sizes.alarms.redis
  alarm_topic_arn          = module.alarms.topic_arn
}

module "storage" {
  source = "../modules/storage"

  name              = module.names.prefix
  buckets           = module.names.buckets
  lock_days         = 7
  backup_days       = 31
  distribution_arns = [module.edge.distribution_arn]
}

module "secrets" {
  source = "../modules/secrets"

  name = module.names.prefix
  secrets = {
    for name, description in local.secrets : name => { name = module.names.secrets[name], description = description }
  }
}

module "edge_alarms" {
  source    = "../modules/alarms"
  providers = { aws = aws.us_east_1 }

  name   = "${module.names.prefix}-edge"
  region = "us-east-1"
  emails = var.alarm_emails
}

module "edge" {
  source    = "../modules/edge"
  providers = { aws = aws, aws.us_east_1 = aws.us_east_1 }

  name            = module.names.prefix
  domain          = var.domain
  zone_id         = var.zone_id
  origins         = { primary = module.kubernetes.ingress }
  media_domain    = module.storage.media_domain
  logs_key_arn    = module.edge_alarms.key_arn
  alarm_topic_arn = module.edge_alarms.topic_arn
}

module "delivery" {
  source = "../modules/delivery"

  name                = module.names.prefix
  repository          = var.repository
  environment         = local.environment
  github_provider_arn = var.github_provider_arn
  cluster_name        = module.kubernetes.name
  cluster_arn         = module.kubernetes.arn
}

module "chart" {
  source = "../values/chart"

  groups             = local.groups
  database_addresses = module.database.addresses
  redis_address      = module.redis.address
  domain             = var.domain
  secrets_path       = "souk/${local.environment}"
  vpc_cidr           = module.network.cidr
  cloudfront_cidrs   = module.edge.cloudfront_cidrs
  data_cidrs         = module.network.data_cidrs
}
