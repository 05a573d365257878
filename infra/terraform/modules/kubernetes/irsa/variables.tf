variable "name" {
  description = "The role's name."
  type        = string

  validation {
    condition     = length(var.name) <= 64
    error_message = "A role's name has at most 64 characters."
  }
}

variable "provider_arn" {
  description = "The cluster's OpenID provider in IAM."
  type        = string
}

variable "issuer" {
  description = "The URL of the cluster's OpenID provider."
  type        = string

  validation {
    condition     = startswith(var.issuer, "https://")
    error_message = "The issuer is an https URL."
  }
}

variable "namespace" {
  description = "The service account's namespace."
  type        = string
}

variable "account" {
  description = "The service account's name. There are no wildcards."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9-]+$", var.account))
    error_message = "The name has small letters, digits and hyphens."
  }
}

variable "policy_arns" {
  description = "Policies of AWS that the role gets."
  type        = list(string)
  default     = []
}

variable "policies" {
  description = "Policies of its own, as JSON, by name."
  type        = map(string)
  default     = {}
}
