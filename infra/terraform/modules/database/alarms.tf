locals {
  alarms = merge([
    for group, database in var.databases : {
      "${group}-cpu" = {
        group     = group, metric = "CPUUtilization", statistic = "Average", compare = "GreaterThanThreshold", minutes = 10,
        threshold = var.alarms[group].cpu_percent, says = "PostgreSQL's processors are busy"
      }
      "${group}-connections" = {
        group     = group, metric = "DatabaseConnections", statistic = "Maximum", compare = "GreaterThanThreshold", minutes = 5,
        threshold = var.alarms[group].connections, says = "Four fifths of the connections are in use"
      }
      "${group}-storage" = {
        group     = group, metric = "FreeStorageSpace", statistic = "Minimum", compare = "LessThanThreshold", minutes = 5,
        threshold = var.alarms[group].free_bytes, says = "A fifth of the disk space is left"
      }
      "${group}-read" = {
        group     = group, metric = "ReadLatency", statistic = "Average", compare = "GreaterThanThreshold", minutes = 10,
        threshold = var.alarms[group].read_seconds, says = "Reads from disk are slow"
      }
      "${group}-write" = {
        group     = group, metric = "WriteLatency", statistic = "Average", compare = "GreaterThanThreshold", minutes = 10,
        threshold = var.alarms[group].write_seconds, says = "Writes to disk are slow"
      }
    }
  ]...)
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-database-${each.key}"
  alarm_description   = each.value.says
  namespace           = "AWS/RDS"
  metric_name         = each.value.metric
  statistic           = each.value.statistic
  comparison_operator = each.value.compare
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = each.value.minutes
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
  dimensions          = { DBInstanceIdentifier = aws_db_instance.this[each.value.group].identifier }
}
