output "address" {
  description = "host:port of the primary, for redis.addr; with redis.tls and redis.username souk."
  value       = "${aws_elasticache_replication_group.this.primary_endpoint_address}:6379"
}

output "user_id" {
  description = "The user whose password rotate-redis.sh sets."
  value       = aws_elasticache_user.souk.user_id
}
