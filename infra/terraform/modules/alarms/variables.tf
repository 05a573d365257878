variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
}

variable "emails" {
  description = "Addresses that get alarms."
  type        = list(string)

  validation {
    condition     = length(var.emails) > 0 && alltrue([for email in var.emails : can(regex("^[^@ ]+@[^@ ]+$", email))])
    error_message = "At least one valid mail address."
  }
}
