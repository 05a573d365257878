variable "name" {
  description = "What the names of all resources begin with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "The name has at most 31 small letters, digits and hyphens."
  }
}

variable "databases" {
  description = "The source's instances, by group."
  type = map(object({
    class               = string
    max_connections     = number
    storage_gib         = number
    storage_gib_at_most = number
  }))
}

variable "source_arns" {
  description = "The sources' ARNs, by group."
  type        = map(string)
}

variable "engine_version" {
  description = "The sources' version."
  type        = string
}

variable "vpc_id" {
  description = "The VPC of the second region."
  type        = string
}

variable "subnet_ids" {
  description = "Its subnets without a route to the internet."
  type        = list(string)
}

variable "client_security_group_id" {
  description = "The security group of its nodes, which alone connect."
  type        = string
}

variable "backup_days" {
  description = "Days to which the databases can be restored in the second region."
  type        = number
  default     = 14

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35
    error_message = "From 7 to 35."
  }
}

variable "lag_seconds" {
  description = "How far behind a replica may be, in seconds: the RPO."
  type        = number
  default     = 60

  validation {
    condition     = var.lag_seconds >= 1
    error_message = "It is positive."
  }
}

variable "alarm_topic_arn" {
  description = "The SNS topic of the second region that gets alarms."
  type        = string
}
