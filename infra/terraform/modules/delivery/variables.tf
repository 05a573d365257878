variable "name" {
  description = "What the role's name begins with."
  type        = string
}

variable "repository" {
  description = "The repository, owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.repository))
    error_message = "The repository is owner/name, without wildcards."
  }
}

variable "environment" {
  description = "The environment of GitHub whose jobs may deploy."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "staging or production."
  }
}

variable "github_provider_arn" {
  description = "GitHub's OpenID provider in IAM, one for each account (infra/terraform/state)."
  type        = string
}

variable "cluster_name" {
  description = "The cluster's name."
  type        = string
}

variable "cluster_arn" {
  description = "The cluster's ARN."
  type        = string
}

variable "namespace" {
  description = "The namespace that is deployed to."
  type        = string
  default     = "souk"

  validation {
    condition     = can(regex("^[a-z0-9-]+$", var.namespace))
    error_message = "One namespace."
  }
}
