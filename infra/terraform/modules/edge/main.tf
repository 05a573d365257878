# What faces the internet: CloudFront with a certificate and a firewall, in front of the clusters' load balancers.
# Route 53 answers for the origin's name with the first region, and with the second while the first is not healthy.
data "aws_route53_zone" "this" {
  zone_id = var.zone_id
}

locals {
  origin = "origin.${var.domain}"
}

resource "aws_acm_certificate" "this" {
  provider = aws.us_east_1

  domain_name       = var.domain
  validation_method = "DNS"
  key_algorithm     = "EC_prime256v1"

  lifecycle {
    create_before_destroy = true

    precondition {
      condition     = var.domain == data.aws_route53_zone.this.name || endswith(var.domain, ".${data.aws_route53_zone.this.name}")
      error_message = "The domain is not in the zone."
    }
  }
}

resource "aws_route53_record" "validation" {
  for_each = {
    for option in aws_acm_certificate.this.domain_validation_options : option.domain_name => {
      name  = option.resource_record_name
      type  = option.resource_record_type
      value = option.resource_record_value
    }
  }

  zone_id = var.zone_id
  name    = each.value.name
  type    = each.value.type
  records = [each.value.value]
  ttl     = 300
}

resource "aws_acm_certificate_validation" "this" {
  provider = aws.us_east_1

  certificate_arn         = aws_acm_certificate.this.arn
  validation_record_fqdns = [for record in aws_route53_record.validation : record.fqdn]
}

# The addresses from which CloudFront asks origins: the gateway trusts what they say of the viewer.
data "aws_ip_ranges" "cloudfront" {
  regions  = ["global"]
  services = ["cloudfront_origin_facing"]
}

# souk says what may be cached (ETag, Cache-Control); CloudFront keeps to it.
data "aws_cloudfront_cache_policy" "origin" {
  name = "Managed-UseOriginCacheControlHeaders-QueryStrings"
}

data "aws_cloudfront_cache_policy" "media" {
  name = "Managed-CachingOptimized"
}

data "aws_cloudfront_origin_request_policy" "viewer" {
  name = "Managed-AllViewer"
}

data "aws_cloudfront_response_headers_policy" "security" {
  name = "Managed-SecurityHeadersPolicy"
}

resource "aws_cloudfront_origin_access_control" "media" {
  name                              = "${var.name}-media"
  description                       = "CloudFront signs its requests for the bucket"
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

resource "aws_cloudfront_distribution" "this" {
  enabled         = true
  comment         = var.name
  aliases         = [var.domain]
  http_version    = "http2and3"
  is_ipv6_enabled = true
  price_class     = var.price_class
  web_acl_id      = aws_wafv2_web_acl.this.arn

  origin {
    origin_id   = "souk"
    domain_name = local.origin

    custom_origin_config {
      http_port                = 80
      https_port               = 443
      origin_protocol_policy   = "https-only"
      origin_ssl_protocols     = ["TLSv1.2"]
      origin_read_timeout      = 60 # more than gateway.timeout
      origin_keepalive_timeout = 60
    }
  }

  origin {
    origin_id                = "media"
    domain_name              = var.media_domain
    origin_access_control_id = aws_cloudfront_origin_access_control.media.id
  }

  default_cache_behavior {
    target_origin_id         = "souk"
    viewer_protocol_policy   = "redirect-to-https"
    allowed_methods          = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"]
    cached_methods           = ["GET", "HEAD"]
    compress                 = false # souk compresses
    cache_policy_id          = data.aws_cloudfront_cache_policy.origin.id
    origin_request_policy_id = data.aws_cloudfront_origin_request_policy.viewer.id
  }

  ordered_cache_behavior {
    path_pattern               = "/media/*"
    target_origin_id           = "media"
    viewer_protocol_policy     = "redirect-to-https"
    allowed_methods            = ["GET", "HEAD"]
    cached_methods             = ["GET", "HEAD"]
    compress                   = true
    cache_policy_id            = data.aws_cloudfront_cache_policy.media.id
    response_headers_policy_id = data.aws_cloudfront_response_headers_policy.security.id
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    acm_certificate_arn      = aws_acm_certificate_validation.this.certificate_arn
    ssl_support_method       = "sni-only"
    minimum_protocol_version = "TLSv1.2_2021"
  }
}

resource "aws_route53_record" "site" {
  for_each = toset(["A", "AAAA"])

  zone_id = var.zone_id
  name    = var.domain
  type    = each.key

  alias {
    name                   = aws_cloudfront_distribution.this.domain_name
    zone_id                = aws_cloudfront_distribution.this.hosted_zone_id
    evaluate_target_health = false
  }
}

# The health check asks the load balancer by its own name, and the gateway by the origin's (SNI and Host).
resource "aws_route53_health_check" "origin" {
  for_each = var.origins

  type              = "HTTPS"
  fqdn              = local.origins_by_name[each.key]
  port              = 443
  resource_path     = "/health/ready"
  enable_sni        = true
  request_interval  = 10
  failure_threshold = 3
  measure_latency   = true
  tags              = { Name = "${var.name}-${each.key}" }
}

locals {
  origins_by_name = { for role in keys(var.origins) : role => "${role}.${local.origin}" }
}

# primary.origin.… and secondary.origin.…: where each region is asked whether it is healthy.
resource "aws_route53_record" "region" {
  for_each = var.origins

  zone_id = var.zone_id
  name    = local.origins_by_name[each.key]
  type    = "A"

  alias {
    name                   = each.value.name
    zone_id                = each.value.zone_id
    evaluate_target_health = true
  }
}

resource "aws_route53_record" "origin" {
  for_each = var.origins

  zone_id         = var.zone_id
  name            = local.origin
  type            = "A"
  set_identifier  = each.key
  health_check_id = aws_route53_health_check.origin[each.key].id

  failover_routing_policy {
    type = upper(each.key)
  }

  alias {
    name                   = each.value.name
    zone_id                = each.value.zone_id
    evaluate_target_health = true
  }
}

# Metrics of health checks are in us-east-1.
resource "aws_cloudwatch_metric_alarm" "origin" {
  for_each = aws_route53_health_check.origin
  provider = aws.us_east_1

  alarm_name          = "${var.name}-origin-${each.key}"
  alarm_description   = "Route 53 finds the ${each.key} region not healthy"
  namespace           = "AWS/Route53"
  metric_name         = "HealthCheckStatus"
  statistic           = "Minimum"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  period              = 60
  evaluation_periods  = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [var.alarm_topic_arn]
  ok_actions          = [var.alarm_topic_arn]
  dimensions          = { HealthCheckId = each.value.id }
}
