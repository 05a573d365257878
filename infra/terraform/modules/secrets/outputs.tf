output "arns" {
  description = "The secrets' ARNs, by short name."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "read_policy" {
  description = "The policy of External Secrets, which reads exactly these secrets, as JSON."
  value       = data.aws_iam_policy_document.read.json
}
