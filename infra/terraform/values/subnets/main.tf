# The subnets of a VPC over three zones. No provider: tested by `tofu test`.
#
# Of a /16: three /19 for pods and nodes (8,190 addresses each, since each pod has an address of the VPC), three /22 for load
# balancers and NAT gateways, three /24 for databases, which have no route to the internet. More than a third stays free.
terraform {
  required_version = ">= 1.10"
}

locals {
  blocks = cidrsubnets(var.cidr, 3, 3, 3, 6, 6, 6, 8, 8, 8)

  private = zipmap(var.zones, slice(local.blocks, 0, 3))
  public  = zipmap(var.zones, slice(local.blocks, 3, 6))
  data    = zipmap(var.zones, slice(local.blocks, 6, 9))
}
