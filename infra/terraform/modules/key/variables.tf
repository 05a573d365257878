variable "name" {
  description = "The alias, without alias/."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9/-]{0,99}$", var.name))
    error_message = "The name has small letters, digits, hyphens and slashes."
  }
}

variable "description" {
  description = "What the key encrypts."
  type        = string
}

variable "services" {
  description = "Services of AWS that use the key, such as cloudfront.amazonaws.com."
  type        = list(string)
  default     = []
}

variable "logs_region" {
  description = "The region whose CloudWatch Logs uses the key; null: none does."
  type        = string
  default     = null
}
