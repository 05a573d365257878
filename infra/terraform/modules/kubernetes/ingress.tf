# The load balancer passes TLS through to the ingress controller, which listens on a port of the nodes. Only CloudFront reaches it.
data "aws_ec2_managed_prefix_list" "cloudfront" {
  name = "com.amazonaws.global.cloudfront.origin-facing"
}

resource "aws_security_group" "ingress" {
  name        = "${var.name}-ingress"
  description = "The load balancer of the ingress controller"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "cloudfront" {
  security_group_id = aws_security_group.ingress.id
  description       = "HTTPS from CloudFront"
  prefix_list_id    = data.aws_ec2_managed_prefix_list.cloudfront.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

# Route 53's health checkers have the addresses of this list.
data "aws_ec2_managed_prefix_list" "health" {
  name = "com.amazonaws.${var.region}.route53-healthchecks"
}

resource "aws_vpc_security_group_ingress_rule" "health" {
  security_group_id = aws_security_group.ingress.id
  description       = "Health checks of Route 53"
  prefix_list_id    = data.aws_ec2_managed_prefix_list.health.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "nodes" {
  security_group_id            = aws_security_group.ingress.id
  description                  = "To the ingress controller"
  referenced_security_group_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.ingress_port
  to_port                      = var.ingress_port
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  security_group_id            = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  description                  = "From the load balancer"
  referenced_security_group_id = aws_security_group.ingress.id
  ip_protocol                  = "tcp"
  from_port                    = var.ingress_port
  to_port                      = var.ingress_port
}

resource "aws_lb" "this" {
  name                             = "${var.name}-ingress"
  load_balancer_type               = "network"
  internal                         = false
  subnets                          = var.public_subnet_ids
  security_groups                  = [aws_security_group.ingress.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.protected
}

resource "aws_lb_target_group" "this" {
  name_prefix = "souk-"
  vpc_id      = var.vpc_id
  protocol    = "TCP"
  port        = var.ingress_port
  target_type = "instance"
  # What is in flight when a node goes; the lame duck's time of gateways is the ingress controller's matter.
  deregistration_delay   = 30
  connection_termination = true

  health_check {
    protocol            = "TCP"
    interval            = 10
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "TCP"
  port              = 443

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_autoscaling_attachment" "this" {
  autoscaling_group_name = aws_eks_node_group.this.resources[0].autoscaling_groups[0].name
  lb_target_group_arn    = aws_lb_target_group.this.arn
}
