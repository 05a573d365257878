package kube

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// Jobs returns a problem if a PodMonitor does not give its pods the jobs that alerts and dashboards select. The
// Prometheus Operator would name the job after the PodMonitor.
func Jobs(documents []Document) []string {
	want := map[string]string{"admin": "souk", "metrics": "souk-verify"}
	var problems []string
	for _, d := range documents {
		if d.Kind() != "PodMonitor" ||
			text(d.Object, "spec", "selector", "matchLabels", "app.kubernetes.io/name") != "souk" {
			continue
		}
		endpoints, _ := at(d.Object, "spec", "podMetricsEndpoints").([]any)
		for _, endpoint := range endpoints {
			port, job := text(endpoint, "port"), ""
			relabelings, _ := at(endpoint, "relabelings").([]any)
			for _, r := range relabelings {
				if text(r, "targetLabel") == "job" {
					job = text(r, "replacement")
				}
			}
			if job != want[port] {
				problems = append(
					problems,
					fmt.Sprintf("%s: the job of port %s is %q, not %q", d, port, job, want[port]),
				)
			}
		}
	}
	return problems
}

// Entrances returns a problem if the gateway's NetworkPolicy keeps the Gateway of an HTTPRoute out.
func Entrances(documents []Document) []string {
	var problems []string
	policy := objects[*networkingv1.NetworkPolicy](documents)["gateway"]
	for _, d := range documents {
		if d.Kind() != "HTTPRoute" || policy == nil {
			continue
		}
		parents, _ := at(d.Object, "spec", "parentRefs").([]any)
		for _, parent := range parents {
			namespace := text(parent, "namespace")
			if !slices.ContainsFunc(policy.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
				return rule.Ports[0].Port.StrVal == "http" &&
					slices.ContainsFunc(rule.From, func(peer networkingv1.NetworkPolicyPeer) bool {
						return peer.NamespaceSelector != nil &&
							peer.NamespaceSelector.MatchLabels[corev1.LabelMetadataName] == namespace
					})
			}) {
				problems = append(problems, fmt.Sprintf("%s: the gateway's NetworkPolicy keeps out %s", d, namespace))
			}
		}
	}
	return problems
}

// Spread returns Deployments whose pods cannot leave a drained node: by default the drained node counts as one without
// pods, so that a second pod on any other one is refused.
func Spread(documents []Document) []string {
	var problems []string
	for name, d := range objects[*appsv1.Deployment](documents) {
		for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
			honors := c.NodeTaintsPolicy != nil && *c.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
			if c.WhenUnsatisfiable == corev1.DoNotSchedule && !honors {
				problems = append(problems, fmt.Sprintf(
					"Deployment %s: %s: DoNotSchedule without nodeTaintsPolicy: Honor", name, c.TopologyKey,
				))
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// Direct returns a problem if souk verify asks a pooler in transaction mode, which ends statements after 30 s.
func Direct(documents []Document) []string {
	d, ok := objects[*appsv1.Deployment](documents)[verify]
	if !ok {
		return nil
	}
	settings, err := config(documents)
	if err != nil {
		return []string{err.Error()}
	}
	if pooled, _ := at(settings, "postgres", "pooled").(bool); !pooled {
		return nil
	}
	env := map[string]string{}
	for _, v := range d.Spec.Template.Spec.Containers[0].Env {
		env[v.Name] = v.Value
	}
	if env["SOUK_POSTGRES_POOLED"] != "false" || env["SOUK_POSTGRES_URL"] == "" {
		return []string{"Deployment verify: it goes through the pooler"}
	}
	return nil
}
