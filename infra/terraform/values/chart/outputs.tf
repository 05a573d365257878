output "yaml" {
  description = "The values as YAML, for helm upgrade --values."
  value       = yamlencode(local.values)

  precondition {
    condition     = length(setsubtract(keys(var.groups), keys(var.database_addresses))) == 0
    error_message = "Each group has an instance."
  }
}
