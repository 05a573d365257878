output "helm_values" {
  description = "Values of the chart, for the variable HELM_VALUES of the environment at GitHub. No secrets."
  value       = module.chart.yaml
}

output "deploy_role_arn" {
  description = "For the variable AWS_ROLE of the environment at GitHub."
  value       = module.delivery.role_arn
}

output "cluster_name" {
  description = "For the variable CLUSTER of the environment at GitHub."
  value       = module.kubernetes.name
}

output "service_account_roles" {
  description = "Roles of service accounts, for the annotation eks.amazonaws.com/role-arn."
  value       = module.kubernetes.role_arns
}

output "volume_key_arn" {
  description = "The KMS key of volumes, for the storage class."
  value       = module.kubernetes.volume_key_arn
}

output "origin" {
  description = "The origin's name, for the certificate and the hosts of the ingress; also with primary. and secondary. before it."
  value       = module.edge.origin
}

output "database_master_secrets" {
  description = "Secrets with the master passwords, by group, for databases.sh."
  value       = module.database.master_secret_arns
}

output "database_addresses" {
  description = "host:port of PostgreSQL, by group."
  value       = module.database.addresses
}

output "redis_user" {
  description = "The user whose password rotate-redis.sh sets."
  value       = module.redis.user_id
}

output "nat_addresses" {
  description = "Public addresses from which souk's requests come, for allow lists."
  value       = module.network.nat_addresses
}

output "standby" {
  description = "The second region: its cluster, PostgreSQL's replicas, and Redis."
  value = {
    cluster   = module.standby_kubernetes.name
    databases = module.replica.addresses
    redis     = module.standby_redis.address
  }
}

output "standby_helm_values" {
  description = "Values of the chart in the second region, for the day it takes over. No secrets."
  value       = module.standby_chart.yaml
}
