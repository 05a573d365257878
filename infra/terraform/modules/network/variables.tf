variable "name" {
  description = "What the names of all resources begin with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "The name has at most 31 small letters, digits and hyphens."
  }
}

variable "region" {
  description = "The region, for the names of endpoints."
  type        = string
}

variable "cidr" {
  description = "The network of the VPC, from /16 to /18: see values/subnets."
  type        = string
}

variable "zones" {
  description = "The three availability zones."
  type        = list(string)
}

variable "nat_in_each_zone" {
  description = "A NAT gateway in each zone, so that the loss of a zone cuts no other off; false: one for all."
  type        = bool
  default     = true
}

variable "endpoints" {
  description = "Services of AWS with a private endpoint in each zone."
  type        = set(string)
  default     = ["sts", "secretsmanager", "kms", "logs"]
}

variable "flow_log_days" {
  description = "How long refused connections are kept in the log, in days."
  type        = number
  default     = 30

  validation {
    condition     = contains([7, 14, 30, 60, 90], var.flow_log_days)
    error_message = "One of 7, 14, 30, 60 and 90."
  }
}

variable "logs_key_arn" {
  description = "The KMS key of log groups."
  type        = string
}
