variable "cidr" {
  description = "The network of the VPC, from /16 to /18."
  type        = string

  validation {
    condition     = can(cidrhost(var.cidr, 0)) && can(regex("/1[678]$", var.cidr))
    error_message = "The network is an IPv4 network from /16 to /18."
  }
  validation {
    condition     = can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", var.cidr))
    error_message = "The network is private (RFC 1918)."
  }
}

variable "zones" {
  description = "The three availability zones."
  type        = list(string)

  validation {
    condition     = length(var.zones) == 3 && length(distinct(var.zones)) == 3
    error_message = "There are three different zones: PostgreSQL, Redis and NATS survive the loss of one."
  }
}
