variable "name" {
  description = "What the names of all resources begin with."
  type        = string
}

variable "domain" {
  description = "The address of the marketplace: gateway.public_url without https://."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9-]+\\.)+[a-z]{2,}$", var.domain))
    error_message = "A domain, such as shop.example.com."
  }
}

variable "zone_id" {
  description = "The public zone of Route 53 that has the domain."
  type        = string
}

variable "origins" {
  description = "The load balancers: primary, and secondary if there is a second region."
  type = map(object({
    name    = string
    zone_id = string
  }))

  validation {
    condition     = contains(keys(var.origins), "primary") && length(setsubtract(keys(var.origins), ["primary", "secondary"])) == 0
    error_message = "The origins are primary, and perhaps secondary."
  }
}

variable "media_domain" {
  description = "The name in DNS of the bucket media."
  type        = string
}

variable "requests_per_minute" {
  description = "Requests of an address in a minute; more are refused with 429. gateway.address_rate is 200 a second."
  type        = number
  default     = 12000

  validation {
    condition     = var.requests_per_minute >= 100
    error_message = "At least 100."
  }
}

variable "price_class" {
  description = "Where CloudFront serves: PriceClass_100 (North America and Europe), _200 or _All."
  type        = string
  default     = "PriceClass_100"

  validation {
    condition     = contains(["PriceClass_100", "PriceClass_200", "PriceClass_All"], var.price_class)
    error_message = "PriceClass_100, PriceClass_200 or PriceClass_All."
  }
}

variable "logs_key_arn" {
  description = "The KMS key of log groups in us-east-1."
  type        = string
}

variable "alarm_topic_arn" {
  description = "The SNS topic in us-east-1 that gets alarms."
  type        = string
}
