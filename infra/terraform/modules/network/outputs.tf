output "vpc_id" {
  description = "The VPC's ID."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The VPC's network."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "Subnets of nodes and pods."
  value       = [for subnet in aws_subnet.private : subnet.id]
}

output "public_subnet_ids" {
  description = "Subnets of load balancers."
  value       = [for subnet in aws_subnet.public : subnet.id]
}

output "data_subnet_ids" {
  description = "Subnets of databases."
  value       = [for subnet in aws_subnet.data : subnet.id]
}

output "nat_addresses" {
  description = "Public addresses from which the cluster's requests come: for allow lists of payment providers and mail servers."
  value       = [for address in aws_eip.nat : address.public_ip]
}

output "data_cidrs" {
  description = "Networks of the databases, for NetworkPolicies."
  value       = values(module.subnets.data)
}
