output "role_arn" {
  description = "The role's ARN, for the service account's annotation eks.amazonaws.com/role-arn."
  value       = aws_iam_role.this.arn
}
