variable "name" {
  description = "What the names of all resources but buckets begin with."
  type        = string
}

variable "buckets" {
  description = "The names of the buckets backups and media: values/names has them."
  type        = map(string)

  validation {
    condition     = length(setsubtract(["backups", "media"], keys(var.buckets))) == 0 && length(var.buckets) == 2
    error_message = "The buckets are backups and media."
  }
}

variable "lock_days" {
  description = "Days for which a backup can be neither deleted nor overwritten."
  type        = number
  default     = 35

  validation {
    condition     = var.lock_days >= 1 && var.lock_days <= 365
    error_message = "From 1 to 365."
  }
}

variable "backup_days" {
  description = "Days after which a backup is deleted."
  type        = number
  default     = 90

  validation {
    condition     = var.backup_days > 30
    error_message = "More than the 30 days after which backups move to cheaper storage."
  }
}

variable "distribution_arns" {
  description = "The CloudFront distribution that reads media."
  type        = list(string)
  default     = []
}

variable "replica" {
  description = "Buckets and their key in another region; null: none."
  type = object({
    bucket_arns = map(string)
    key_arn     = string
  })
  default = null
}
