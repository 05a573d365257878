variable "name" {
  description = "The name of Redis and of all that belongs to it."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,29}$", var.name)) && !endswith(var.name, "-")
    error_message = "The name has at most 30 small letters, digits and hyphens."
  }
}

variable "region" {
  description = "The region."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets without a route to the internet."
  type        = list(string)
}

variable "client_security_group_id" {
  description = "The security group of the nodes, which alone connect."
  type        = string
}

variable "node_type" {
  description = "The node type: values/sizes computes it."
  type        = string

  validation {
    condition     = startswith(var.node_type, "cache.")
    error_message = "A node type of ElastiCache, such as cache.m7g.large."
  }
}

variable "nodes" {
  description = "A primary and its replicas. Three survive the loss of a zone, and still have a replica."
  type        = number
  default     = 3

  validation {
    condition     = var.nodes >= 1 && var.nodes <= 6
    error_message = "From 1 to 6."
  }
}

variable "snapshot_days" {
  description = "Days that daily snapshots are kept."
  type        = number
  default     = 7

  validation {
    condition     = var.snapshot_days >= 1 && var.snapshot_days <= 35
    error_message = "From 1 to 35."
  }
}

variable "alarms" {
  description = "Thresholds: values/sizes has them."
  type = object({
    memory_percent = number
    cpu_percent    = number
    lag_seconds    = number
  })
}

variable "alarm_topic_arn" {
  description = "The SNS topic that gets alarms."
  type        = string
}
