variable "account_id" {
  description = "The AWS account's ID, 12 digits."
  type        = string
}

variable "repository" {
  description = "The repository at GitHub, owner/name, whose workflows deploy."
  type        = string
}

variable "region" {
  description = "The region."
  type        = string
  default     = "eu-central-1"
}

variable "domain" {
  description = "The address of the marketplace, without https://."
  type        = string
}

variable "zone_id" {
  description = "The public zone of Route 53 that has the domain."
  type        = string
}

variable "alarm_emails" {
  description = "Addresses that get alarms."
  type        = list(string)
}

variable "admin_role_arns" {
  description = "IAM roles of operators, who administer the cluster, by a name."
  type        = map(string)
}

variable "api_networks" {
  description = "Networks that reach the cluster's API from outside; none: it is private, and workflows need a runner in the VPC."
  type        = list(string)
  default     = []
}

variable "github_provider_arn" {
  description = "GitHub's OpenID provider: the root state made it."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes' version."
  type        = string
  default     = "1.34"
}

variable "postgres_version" {
  description = "PostgreSQL's version."
  type        = string
  default     = "17"
}

variable "standby_region" {
  description = "The second region, which takes over."
  type        = string
  default     = "eu-west-1"

  validation {
    condition     = var.standby_region != var.region
    error_message = "The second region is another one."
  }
}

variable "orders_per_day" {
  description = "Orders of a day that production is sized for."
  type        = number
  default     = 200000
}
