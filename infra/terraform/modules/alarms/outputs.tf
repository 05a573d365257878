output "topic_arn" {
  description = "The topic's ARN."
  value       = aws_sns_topic.this.arn
}

output "key_arn" {
  description = "The KMS key of the topic, and of log groups that belong to no other module."
  value       = module.key.arn
}
