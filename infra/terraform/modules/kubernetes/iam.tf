data "aws_iam_policy_document" "cluster_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["eks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "cluster" {
  name               = "${var.name}-cluster"
  assume_role_policy = data.aws_iam_policy_document.cluster_trust.json
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/AmazonEKSClusterPolicy"
}

data "aws_iam_policy_document" "node_trust" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "node" {
  name               = "${var.name}-node"
  assume_role_policy = data.aws_iam_policy_document.node_trust.json
}

# A node joins the cluster and pulls AWS's own images. Everything else belongs to a service account: irsa.
resource "aws_iam_role_policy_attachment" "node" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"])

  role       = aws_iam_role.node.name
  policy_arn = "arn:${data.aws_partition.this.partition}:iam::aws:policy/${each.key}"
}

resource "aws_iam_openid_connect_provider" "this" {
  url            = aws_eks_cluster.this.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

data "aws_iam_policy_document" "autoscaler" {
  statement {
    sid = "Read"
    actions = [
      "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
      "autoscaling:DescribeLaunchConfigurations", "autoscaling:DescribeScalingActivities", "autoscaling:DescribeTags",
      "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
      "ec2:GetInstanceTypesFromInstanceRequirements", "eks:DescribeNodegroup",
    ]
    resources = ["*"]
  }

  statement {
    sid       = "Scale"
    actions   = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    resources = ["*"]

    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.name}"
      values   = ["owned"]
    }
  }
}

data "aws_iam_policy_document" "ebs_key" {
  statement {
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = [module.key.arn]
  }

  statement {
    actions   = ["kms:CreateGrant"]
    resources = [module.key.arn]

    condition {
      test     = "Bool"
      variable = "kms:GrantIsForAWSResource"
      values   = ["true"]
    }
  }
}

locals {
  aws_policies = "arn:${data.aws_partition.this.partition}:iam::aws:policy"
  system_accounts = {
    vpc-cni = {
      namespace   = "kube-system"
      account     = "aws-node"
      policy_arns = ["${local.aws_policies}/AmazonEKS_CNI_Policy"]
      policies    = {}
    }
    ebs-csi = {
      namespace   = "kube-system"
      account     = "ebs-csi-controller-sa"
      policy_arns = ["${local.aws_policies}/service-role/AmazonEBSCSIDriverPolicy"]
      policies    = { key = data.aws_iam_policy_document.ebs_key.json }
    }
    autoscaler = {
      namespace   = "kube-system"
      account     = "cluster-autoscaler"
      policy_arns = []
      policies    = { scale = data.aws_iam_policy_document.autoscaler.json }
    }
  }
}

module "irsa" {
  source   = "./irsa"
  for_each = merge(local.system_accounts, var.accounts)

  name         = "${var.name}-${each.key}"
  provider_arn = aws_iam_openid_connect_provider.this.arn
  issuer       = aws_eks_cluster.this.identity[0].oidc[0].issuer
  namespace    = each.value.namespace
  account      = each.value.account
  policy_arns  = each.value.policy_arns
  policies     = each.value.policies
}
