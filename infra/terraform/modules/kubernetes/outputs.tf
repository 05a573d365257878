output "name" {
  description = "The cluster's name."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "The cluster's ARN."
  value       = aws_eks_cluster.this.arn
}

output "node_security_group_id" {
  description = "The security group of nodes and pods."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "role_arns" {
  description = "Roles of service accounts, by short name, for the annotation eks.amazonaws.com/role-arn."
  value       = { for name, role in module.irsa : name => role.role_arn }
}

output "ingress" {
  description = "The load balancer's name in DNS, and its zone for alias records."
  value       = { name = aws_lb.this.dns_name, zone_id = aws_lb.this.zone_id }
}

output "volume_key_arn" {
  description = "The KMS key of volumes, for the storage class (parameter kmsKeyId)."
  value       = module.key.arn
}
