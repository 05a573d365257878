output "distribution_arn" {
  description = "The distribution's ARN, for the policy of the bucket media."
  value       = aws_cloudfront_distribution.this.arn
}

output "origin" {
  description = "The origin's name: the ingress's certificate is for it, and for primary. and secondary. before it."
  value       = local.origin
}

output "cloudfront_cidrs" {
  description = "Networks of CloudFront, for gateway.trusted_proxies."
  value       = data.aws_ip_ranges.cloudfront.cidr_blocks
}
