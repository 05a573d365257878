variable "name" {
  description = "The cluster's name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,23}$", var.name))
    error_message = "The name has at most 24 small letters, digits and hyphens: a load balancer's name is built from it."
  }
}

variable "region" {
  description = "The region."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes' version, such as 1.34."
  type        = string

  validation {
    condition     = can(regex("^1\\.[0-9]{2}$", var.kubernetes_version))
    error_message = "A minor version, such as 1.34."
  }
}

variable "addon_versions" {
  description = "Versions of the four addons, as aws eks describe-addon-versions lists them; null: AWS's default."
  type        = map(string)
  default = {
    vpc-cni            = null
    kube-proxy         = null
    coredns            = null
    aws-ebs-csi-driver = null
  }

  validation {
    condition = length(setsubtract(
      ["vpc-cni", "kube-proxy", "coredns", "aws-ebs-csi-driver"], keys(var.addon_versions),
    )) == 0
    error_message = "All four addons are named."
  }
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets of the nodes."
  type        = list(string)
}

variable "public_subnet_ids" {
  description = "Subnets of the load balancer."
  type        = list(string)
}

variable "nodes" {
  description = "The nodes: values/sizes computes them."
  type = object({
    type    = string
    min     = number
    desired = number
    max     = number
  })

  validation {
    condition     = var.nodes.min >= 3 && var.nodes.min <= var.nodes.desired && var.nodes.desired <= var.nodes.max
    error_message = "At least three nodes, one a zone, and min ≤ desired ≤ max."
  }
}

variable "node_disk_gib" {
  description = "The disk of a node, in GiB: images and logs."
  type        = number
  default     = 50

  validation {
    condition     = var.node_disk_gib >= 20
    error_message = "At least 20 GiB."
  }
}

variable "api_networks" {
  description = "Networks that reach the cluster's API from outside; none: it is private."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for network in var.api_networks : can(cidrhost(network, 0)) && !endswith(network, "/0")])
    error_message = "Networks in CIDR form, and never all addresses."
  }
}

variable "admin_role_arns" {
  description = "IAM roles of operators, who administer the cluster, by a name."
  type        = map(string)

  validation {
    condition     = length(var.admin_role_arns) > 0
    error_message = "Without a role the cluster cannot be reached."
  }
}

variable "accounts" {
  description = "Service accounts that get a role in AWS, by the role's short name."
  type = map(object({
    namespace   = string
    account     = string
    policy_arns = optional(list(string), [])
    policies    = optional(map(string), {})
  }))
  default = {}
}

variable "ingress_port" {
  description = "The node port of the ingress controller's TLS listener."
  type        = number
  default     = 30443

  validation {
    condition     = var.ingress_port >= 30000 && var.ingress_port <= 32767
    error_message = "A node port, from 30000 to 32767."
  }
}

variable "protected" {
  description = "Whether the cluster and its load balancer are protected against deletion."
  type        = bool
  default     = true
}
