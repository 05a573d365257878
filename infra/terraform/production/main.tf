# Production in the first region. The second one is in standby.tf.
locals {
  environment = "production"
  # What a checkout writes is in one instance: it is restored to one moment, so that orders, payments and stock fit
  # together. The rest has an instance of its own, so that mails and reviews take no processors from checkouts.
  groups = {
    checkout = ["cart", "order", "payment", "product", "voucher"]
    people   = ["address", "audit", "comment", "keyring", "notification", "security", "settings", "shop", "user", "webhook"]
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

  orders_per_day  = var.orders_per_day
  groups          = local.groups
  max_replicas    = 6                                       # as values.yaml
  max_replicas_of = { order = 12, product = 12, cart = 12 } # as values-prod.yaml
  node_type       = "m7g.xlarge"
  pods_memory_gib = 22
}

module "alarms" {
  source = "../modules/alarms"

  name   = module.names.prefix
  region = var.region
  emails = var.alarm_emails
}

module "network" {
  source = "../modules/network"

  name         = module.names.prefix
  region       = var.region
  cidr         = "10.20.0.0/16"
  zones        = slice(data.aws_availability_zones.this.names, 0, 3)
  logs_key_arn = module.alarms.key_arn
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
}

module "redis" {
  source = "../modules/redis"

  name                     = module.names.prefix
  region                   = var.region
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.data_subnet_ids
  client_security_group_id = module.kubernetes.node_security_group_id
  node_type                = module.sizes.redis.type
  alarms                   = module.sizes.alarms.redis
  alarm_topic_arn          = module.alarms.topic_arn
}

module "storage" {
  source = "../modules/storage"

  name              = module.names.prefix
  buckets           = module.names.buckets
  distribution_arns = [module.edge.distribution_arn]
  replica = {
    bucket_arns = module.standby_storage.bucket_arns
    key_arn     = module.standby_storage.key_arn
  }
}

module "secrets" {
  source = "../modules/secrets"

  name = module.names.prefix
  secrets = {
    for name, description in local.secrets : name => { name = module.names.secrets[name], description = description }
  }
  replica = {
    region  = var.standby_region
    key_arn = module.replica.key_arn
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
  origins         = { primary = module.kubernetes.ingress, secondary = module.standby_kubernetes.ingress }
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
