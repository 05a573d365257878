# Secrets Manager: the secrets exist here, their values don't. An operator or a script puts them
# (aws secretsmanager put-secret-value --secret-string file://…), so no state file has them.
module "key" {
  source = "../key"

  name        = "${var.name}/secrets"
  description = "Secrets of ${var.name}"
}

resource "aws_secretsmanager_secret" "this" {
  for_each = var.secrets

  name                    = each.value.name
  description             = each.value.description
  kms_key_id              = module.key.arn
  recovery_window_in_days = 30

  dynamic "replica" {
    for_each = var.replica == null ? [] : [var.replica]

    content {
      region     = replica.value.region
      kms_key_id = replica.value.key_arn
    }
  }
}

data "aws_iam_policy_document" "read" {
  statement {
    actions   = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = [for secret in aws_secretsmanager_secret.this : secret.arn]
  }

  statement {
    actions   = ["kms:Decrypt"]
    resources = [module.key.arn]
  }
}
