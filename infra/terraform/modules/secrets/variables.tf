variable "name" {
  description = "What the key's name begins with."
  type        = string
}

variable "secrets" {
  description = "The secrets, by short name."
  type = map(object({
    name        = string
    description = string
  }))

  validation {
    condition     = alltrue([for secret in values(var.secrets) : length(secret.description) > 10])
    error_message = "Each secret's description says what it is for."
  }
}

variable "replica" {
  description = "The region and key of copies; null: none."
  type = object({
    region  = string
    key_arn = string
  })
  default = null
}
