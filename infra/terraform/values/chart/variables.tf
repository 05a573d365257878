variable "groups" {
  description = "The services that share a PostgreSQL instance, by group."
  type        = map(list(string))
}

variable "database_addresses" {
  description = "host:port of each group's instance."
  type        = map(string)

  validation {
    condition     = alltrue([for address in values(var.database_addresses) : can(regex("^[a-z0-9.-]+:[0-9]+$", address))])
    error_message = "An address is host:port."
  }
}

variable "redis_address" {
  description = "host:port of Redis."
  type        = string
}

variable "domain" {
  description = "The address of the marketplace, without https://."
  type        = string
}

variable "secrets_path" {
  description = "What the names of secrets begin with in Secrets Manager, without the last slash."
  type        = string

  validation {
    condition     = !endswith(var.secrets_path, "/")
    error_message = "Without the last slash."
  }
}

variable "vpc_cidr" {
  description = "The network whose X-Forwarded-For is trusted: the ingress controller is in it."
  type        = string
}

variable "cloudfront_cidrs" {
  description = "Networks of CloudFront, which is in front of it: its X-Forwarded-For is trusted, too."
  type        = list(string)

  validation {
    condition     = length(var.cloudfront_cidrs) > 0
    error_message = "Without CloudFront's networks all visitors would have its addresses, and share their limits."
  }
}

variable "data_cidrs" {
  description = "Networks of the databases and of Redis."
  type        = list(string)
}
