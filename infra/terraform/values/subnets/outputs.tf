output "private" {
  description = "Networks of nodes and pods, by zone."
  value       = local.private
}

output "public" {
  description = "Networks of load balancers and NAT gateways, by zone."
  value       = local.public
}

output "data" {
  description = "Networks of databases, by zone."
  value       = local.data
}
