output "addresses" {
  description = "host:port by group, for postgres.urls."
  value       = { for group, instance in aws_db_instance.this : group => instance.endpoint }
}

output "arns" {
  description = "ARNs by group, for a replica in another region."
  value       = { for group, instance in aws_db_instance.this : group => instance.arn }
}

output "master_secret_arns" {
  description = "Secrets with the master's password, by group. RDS keeps and rotates them."
  value       = { for group, instance in aws_db_instance.this : group => instance.master_user_secret[0].secret_arn }
}
