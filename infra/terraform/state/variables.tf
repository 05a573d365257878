variable "account_id" {
  description = "The AWS account's ID, 12 digits."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "The account's ID has 12 digits."
  }
}

variable "region" {
  description = "The region of the bucket."
  type        = string
  default     = "eu-central-1"
}
