variable "orders_per_day" {
  description = "Orders of a day."
  type        = number

  validation {
    condition     = var.orders_per_day > 0 && var.orders_per_day <= 10000000
    error_message = "From 1 to 10 million orders a day."
  }
}

variable "peak_factor" {
  description = "How many times the day's average the busiest minutes have."
  type        = number
  default     = 5

  validation {
    condition     = var.peak_factor >= 1 && var.peak_factor <= 50
    error_message = "From 1 to 50."
  }
}

variable "reads_per_order" {
  description = "Reads of the catalogue for each order."
  type        = number
  default     = 200

  validation {
    condition     = var.reads_per_order >= 0
    error_message = "It is not negative."
  }
}

variable "searches_per_order" {
  description = "Searches for each order."
  type        = number
  default     = 10

  validation {
    condition     = var.searches_per_order >= 0
    error_message = "It is not negative."
  }
}

variable "groups" {
  description = "The services that share a PostgreSQL instance, by the group's name."
  type        = map(list(string))

  validation {
    condition     = length(flatten(values(var.groups))) == length(distinct(flatten(values(var.groups))))
    error_message = "A service is in one group."
  }
  validation {
    condition     = contains(flatten(values(var.groups)), "order")
    error_message = "One group has the service order."
  }
}

variable "max_replicas" {
  description = "The most processes of a service: maxReplicas of the chart's autoscalers."
  type        = number

  validation {
    condition     = var.max_replicas >= 1 && var.max_replicas <= 50
    error_message = "From 1 to 50."
  }
}

variable "max_replicas_of" {
  description = "The same for services with another number."
  type        = map(number)
  default     = {}

  validation {
    condition     = alltrue([for replicas in values(var.max_replicas_of) : replicas >= 1 && replicas <= 50])
    error_message = "From 1 to 50."
  }
}

variable "max_conns" {
  description = "Connections of each service in a process: the setting postgres.max_conns."
  type        = number
  default     = 10

  validation {
    condition     = var.max_conns >= 2 && var.max_conns <= 100
    error_message = "From 2 to 100."
  }
}

variable "node_type" {
  description = "The instance type of the cluster's nodes."
  type        = string

  validation {
    condition     = contains(["t4g.large", "m7g.large", "m7g.xlarge", "m7g.2xlarge", "m7g.4xlarge"], var.node_type)
    error_message = "One of t4g.large, m7g.large, m7g.xlarge, m7g.2xlarge, m7g.4xlarge."
  }
}

variable "pods_memory_gib" {
  description = "Memory that all pods request together, in GiB: souk's, NATS's and the system's."
  type        = number

  validation {
    condition     = var.pods_memory_gib > 0
    error_message = "It is positive."
  }
}

variable "other_cores" {
  description = "Processors that other pods need: NATS, telemetry, the system."
  type        = number
  default     = 2

  validation {
    condition     = var.other_cores >= 0
    error_message = "It is not negative."
  }
}

variable "burstable" {
  description = "Whether PostgreSQL runs on burstable classes, which are for environments without a steady load."
  type        = bool
  default     = false
}

variable "bytes_per_order" {
  description = "Bytes that an order leaves on disk for storage_days in the databases of its group: docs/capacity.md."
  type        = number
  default     = 10000

  validation {
    condition     = var.bytes_per_order > 0
    error_message = "It is positive."
  }
}

variable "storage_days" {
  description = "Days of orders for which disk space is allocated at once. RDS grows it to four times that."
  type        = number
  default     = 90

  validation {
    condition     = var.storage_days >= 1
    error_message = "It is positive."
  }
}

variable "sessions" {
  description = "Sessions and carts in Redis at the same time."
  type        = number
  default     = 100000

  validation {
    condition     = var.sessions >= 0
    error_message = "It is not negative."
  }
}
