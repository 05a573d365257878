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

  values = {
    config = {
      postgres = { urls = local.urls }
      redis    = { addr = var.redis_address, username = "souk", tls = true }
      gateway  = { public_url = "https://${var.domain}", trusted_proxies = concat([var.vpc_cidr], var.cloudfront_cidrs) }
    }
    secrets = { source = "external", external = { path = var.secrets_path } }
    # It belongs to the whole cluster, where workflows have no rights: infra/ci/deployer.yaml has it.
    priorityClass = { create = false }
    networkPolicy = {
      postgres = [for cidr in var.data_cidrs : { ipBlock = { cidr = cidr } }]
      redis    = [for cidr in var.data_cidrs : { ipBlock = { cidr = cidr } }]
    }
  }
}
