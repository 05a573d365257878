variable "name" {
  description = "What the names of all resources begin with."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "The name has at most 31 small letters, digits and hyphens."
  }
}

variable "region" {
  description = "The region."
  type        = string
}

variable "engine_version" {
  description = "PostgreSQL's version: a major version, or with a minor one. souk needs 15 or newer."
  type        = string
  default     = "17"

  validation {
    condition     = can(regex("^1[5-8](\\.[0-9]+)?$", var.engine_version))
    error_message = "15, 16, 17 or 18, with or without a minor version."
  }
}

variable "databases" {
  description = "The instances, by group: values/sizes computes them."
  type = map(object({
    class               = string
    max_connections     = number
    storage_gib         = number
    storage_gib_at_most = number
  }))

  validation {
    condition     = alltrue([for d in values(var.databases) : d.storage_gib >= 20 && d.storage_gib_at_most > d.storage_gib])
    error_message = "At least 20 GiB, and room to grow."
  }
}

variable "alarms" {
  description = "Thresholds by group: values/sizes computes them."
  type = map(object({
    connections   = number
    free_bytes    = number
    cpu_percent   = number
    lag_seconds   = number
    read_seconds  = number
    write_seconds = number
  }))
}

variable "alarm_topic_arn" {
  description = "The SNS topic that gets alarms."
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

variable "multi_az" {
  description = "A standby in another zone, written synchronously."
  type        = bool
  default     = true
}

variable "backup_days" {
  description = "Days to which the instances can be restored, to the second."
  type        = number
  default     = 35

  validation {
    condition     = var.backup_days >= 7 && var.backup_days <= 35
    error_message = "From 7 to 35 days. Outboxes are kept for 7 days, so that JetStream is rebuilt from them."
  }
}

variable "parameters" {
  description = "Parameters of PostgreSQL, besides max_connections."
  type        = map(string)
  default = {
    "rds.force_ssl"                       = "1"
    "password_encryption"                 = "scram-sha-256"
    "shared_preload_libraries"            = "pg_stat_statements"
    "log_min_duration_statement"          = "250"   # ms
    "idle_in_transaction_session_timeout" = "60000" # ms
    "log_lock_waits"                      = "1"
    "log_connections"                     = "1"
    "random_page_cost"                    = "1.1" # gp3 is no spinning disk
  }

  validation {
    condition     = lookup(var.parameters, "rds.force_ssl", "") == "1"
    error_message = "Connections without TLS are refused: rds.force_ssl is 1."
  }
}

variable "protected" {
  description = "Whether the instances are protected against deletion, and leave a snapshot."
  type        = bool
  default     = true
}
