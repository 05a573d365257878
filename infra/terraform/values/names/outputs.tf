output "prefix" {
  description = "What the names of resources begin with, such as souk-staging."
  value       = local.prefix
}

output "tags" {
  description = "The tags of all resources."
  value       = local.tags
}

output "buckets" {
  description = "The names of the buckets: backups and media."
  value       = local.buckets

  precondition {
    condition     = alltrue([for name in values(local.buckets) : length(name) <= 63])
    error_message = "A bucket's name has at most 63 characters."
  }
}

output "databases" {
  description = "The identifiers of the PostgreSQL instances, by group."
  value       = local.databases
}

output "secrets" {
  description = "The full names of the secrets."
  value       = local.secrets
}
