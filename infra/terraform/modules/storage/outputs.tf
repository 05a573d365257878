output "bucket_arns" {
  description = "The buckets' ARNs, by name."
  value       = { for name, bucket in aws_s3_bucket.this : name => bucket.arn }
}

output "media_domain" {
  description = "The name in DNS of the bucket media, for CloudFront."
  value       = aws_s3_bucket.this["media"].bucket_regional_domain_name
}

output "key_arn" {
  description = "The buckets' KMS key."
  value       = module.key.arn
}

output "backup_policy" {
  description = "The policy of a backup job, as JSON."
  value       = data.aws_iam_policy_document.backup.json
}
