variables {
  groups             = { checkout = ["order", "cart"], people = ["user"] }
  database_addresses = { checkout = "a.rds.amazonaws.com:5432", people = "b.rds.amazonaws.com:5432" }
  redis_address      = "c.cache.amazonaws.com:6379"
  domain             = "shop.example.com"
  secrets_path       = "souk/production"
  vpc_cidr           = "10.20.0.0/16"
  cloudfront_cidrs   = ["120.52.22.96/27"]
  data_cidrs         = ["10.20.108.0/24"]
}

run "each_service_reaches_its_group" {
  command = plan

  assert {
    condition = yamldecode(output.yaml).config.postgres.urls == {
      order = "postgres://{service}:{password}@a.rds.amazonaws.com:5432/{service}?sslmode=require"
      cart  = "postgres://{service}:{password}@a.rds.amazonaws.com:5432/{service}?sslmode=require"
      user  = "postgres://{service}:{password}@b.rds.amazonaws.com:5432/{service}?sslmode=require"
    }
    error_message = output.yaml
  }
  assert {
    condition     = yamldecode(output.yaml).config.redis.tls && yamldecode(output.yaml).secrets.external.path == "souk/production"
    error_message = output.yaml
  }
  assert {
    condition     = yamldecode(output.yaml).config.gateway.trusted_proxies[1] == "120.52.22.96/27"
    error_message = output.yaml
  }
  assert {
    condition     = yamldecode(output.yaml).networkPolicy.postgres[0].ipBlock.cidr == "10.20.108.0/24"
    error_message = output.yaml
  }
}

# tests/infra/kube renders the chart with this file over the values of staging and production.
run "the_chart_is_checked_with_these_values" {
  command = plan

  assert {
    condition     = yamldecode(output.yaml) == yamldecode(file("tests/values.yaml"))
    error_message = output.yaml
  }
}

run "a_group_without_an_instance_is_refused" {
  command = plan

  variables {
    groups = { checkout = ["order"], other = ["user"] }
  }

  expect_failures = [output.yaml]
}

run "an_address_without_a_port_is_refused" {
  command = plan

  variables {
    database_addresses = { checkout = "a.rds.amazonaws.com", people = "b.rds.amazonaws.com:5432" }
  }

  expect_failures = [var.database_addresses]
}

run "no_cloudfront_is_refused" {
  command = plan

  variables {
    cloudfront_cidrs = []
  }

  expect_failures = [var.cloudfront_cidrs]
}
