output "backend" {
  description = "The lines of backend.hcl for the other roots."
  value       = <<-HCL
    bucket     = "${aws_s3_bucket.this.id}"
    region     = "${var.region}"
    kms_key_id = "${module.key.arn}"
  HCL
}

output "github_provider_arn" {
  description = "GitHub's OpenID provider, for the variable github_provider_arn of the other roots."
  value       = aws_iam_openid_connect_provider.github.arn
}
