variable "project" {
  description = "The name that all names begin with."
  type        = string
  default     = "souk"

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{1,9}$", var.project))
    error_message = "The project has 2 to 10 small letters and digits, and begins with a letter."
  }
}

variable "environment" {
  description = "The environment: staging or production."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "The environment is staging or production."
  }
}

variable "region" {
  description = "The AWS region, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "The region looks like eu-central-1."
  }
}

variable "account_id" {
  description = "The AWS account's ID, 12 digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "The account's ID has 12 digits."
  }
}

variable "repository" {
  description = "The repository that the resources come from, owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "The repository is owner/name."
  }
}

variable "database_groups" {
  description = "The groups of services that share a PostgreSQL instance."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for group in var.database_groups : can(regex("^[a-z][a-z0-9]{0,19}$", group))])
    error_message = "A group has at most 20 small letters and digits, and begins with a letter."
  }
}

variable "secret_names" {
  description = "The secrets of the environment, without its prefix."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for name in var.secret_names : can(regex("^[a-z][a-z0-9-]{0,63}$", name))])
    error_message = "A secret's name has small letters, digits and hyphens."
  }
}
