output "addresses" {
  description = "host:port by group. They take reads until a replica is promoted."
  value       = { for group, instance in aws_db_instance.this : group => instance.endpoint }
}

output "key_arn" {
  description = "The second region's KMS key of databases and secrets."
  value       = module.key.arn
}
