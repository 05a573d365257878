variables {
  cidr  = "10.20.0.0/16"
  zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
}

run "a_network_of_65536" {
  command = plan

  assert {
    condition = output.private == tomap({
      eu-central-1a = "10.20.0.0/19", eu-central-1b = "10.20.32.0/19", eu-central-1c = "10.20.64.0/19"
    })
    error_message = "private: ${jsonencode(output.private)}"
  }
  assert {
    condition = output.public == tomap({
      eu-central-1a = "10.20.96.0/22", eu-central-1b = "10.20.100.0/22", eu-central-1c = "10.20.104.0/22"
    })
    error_message = "public: ${jsonencode(output.public)}"
  }
  assert {
    condition = output.data == tomap({
      eu-central-1a = "10.20.108.0/24", eu-central-1b = "10.20.109.0/24", eu-central-1c = "10.20.110.0/24"
    })
    error_message = "data: ${jsonencode(output.data)}"
  }
}

run "the_smallest_network" {
  command = plan

  variables {
    cidr = "10.20.64.0/18"
  }

  assert {
    condition     = output.data["eu-central-1c"] == "10.20.91.128/26"
    error_message = "data: ${jsonencode(output.data)}"
  }
}

run "two_zones_are_refused" {
  command = plan

  variables {
    zones = ["eu-central-1a", "eu-central-1b"]
  }

  expect_failures = [var.zones]
}

run "the_same_zone_twice_is_refused" {
  command = plan

  variables {
    zones = ["eu-central-1a", "eu-central-1b", "eu-central-1b"]
  }

  expect_failures = [var.zones]
}

run "a_small_network_is_refused" {
  command = plan

  variables {
    cidr = "10.20.0.0/20"
  }

  expect_failures = [var.cidr]
}

run "a_public_network_is_refused" {
  command = plan

  variables {
    cidr = "8.8.0.0/16"
  }

  expect_failures = [var.cidr]
}
