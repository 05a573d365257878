variables {
  environment = "staging"
  region      = "eu-central-1"
  account_id  = "123456789012"
  repository  = "example/souk"
}

run "names_of_an_environment" {
  command = plan

  variables {
    database_groups = ["checkout", "people"]
    secret_names    = ["identity-seed"]
  }

  assert {
    condition     = output.prefix == "souk-staging"
    error_message = "the prefix is ${output.prefix}"
  }
  assert {
    condition     = output.buckets.backups == "souk-staging-backups-123456789012-eu-central-1"
    error_message = "the bucket is ${output.buckets.backups}"
  }
  assert {
    condition     = output.databases == { checkout = "souk-staging-checkout", people = "souk-staging-people" }
    error_message = "the databases are ${jsonencode(output.databases)}"
  }
  assert {
    condition     = output.secrets["identity-seed"] == "souk/staging/identity-seed"
    error_message = "the secrets are ${jsonencode(output.secrets)}"
  }
  assert {
    condition     = output.tags.Environment == "staging" && output.tags.ManagedBy == "terraform"
    error_message = "the tags are ${jsonencode(output.tags)}"
  }
}

run "the_longest_names_fit" {
  command = plan

  variables {
    project     = "marketplac"
    environment = "production"
    region      = "ap-southeast-1"
  }

  assert {
    condition     = length(output.buckets.backups) <= 63
    error_message = "the bucket's name is too long: ${output.buckets.backups}"
  }
}

run "an_unknown_environment_is_refused" {
  command = plan

  variables {
    environment = "test"
  }

  expect_failures = [var.environment]
}

run "a_wrong_account_is_refused" {
  command = plan

  variables {
    account_id = "123"
  }

  expect_failures = [var.account_id]
}

run "a_group_with_a_hyphen_is_refused" {
  command = plan

  variables {
    database_groups = ["check-out"]
  }

  expect_failures = [var.database_groups]
}
