# Values of the Helm chart (infra/helm/souk) that come from AWS: addresses, networks, roles. No secrets. No provider:
# tested by `tofu test`.
terraform {
  required_version = ">= 1.10"
}

locals {
  # Each service's database is in its group's instance.
  urls = merge([
    for group, services in var.groups : {
      for service in services :
      service => "postgres://{service}:{password}@${lookup(var.database_addresses, group, "")}/{service}?sslmode=require"
    }
  ]...)

  # What CloudFront and Route 53's health checks ask the ingress for: CloudFront passes the viewer's Host on.
  hosts = concat([var.domain, "origin.${var.domain}"], [for role in ["primary", "secondary"] : "${role}.origin.${var.domain}"])

  values = {
    config = {
      # Without the pooler and the replicas of CloudNativePG, which values-staging.yaml and values-prod.yaml have.
      postgres = { url = null, urls = local.urls, pooled = false, replicas = null }
      redis    = { addr = var.redis_address, username = "souk", tls = true }
      gateway  = { public_url = "https://${var.domain}", trusted_proxies = concat([var.vpc_cidr], var.cloudfront_cidrs) }
    }
    migrations = { postgresUrl = "" }
    ingress    = { enabled = true, hosts = local.hosts }
    httpRoute  = { enabled = false }
    # CloudFront accepts no certificate of Let's Encrypt's staging.
    certificate = { enabled = true, issuer = "letsencrypt", hosts = local.hosts }
    secrets     = { source = "external", external = { path = var.secrets_path } }
    # It belongs to the whole cluster, where workflows have no rights: infra/ci/deployer.yaml has it.
    priorityClass = { create = false }
    networkPolicy = {
      postgres = [for cidr in var.data_cidrs : { ipBlock = { cidr = cidr } }]
      redis    = [for cidr in var.data_cidrs : { ipBlock = { cidr = cidr } }]
    }
  }
}
