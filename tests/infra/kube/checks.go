package kube

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// objects returns the documents of one Go type by their component.
func objects[T any](documents []Document) map[string]T {
	out := map[string]T{}
	for _, d := range documents {
		if o, ok := d.typed.(T); ok && d.mistake == nil && d.Component() != "" {
			out[d.Component()] = o
		}
	}
	return out
}

// config returns the configuration file of the ConfigMap that all services share.
func config(documents []Document) (map[string]any, error) {
	maps := objects[*corev1.ConfigMap](documents)
	shared, ok := maps["config"]
	if !ok {
		return nil, fmt.Errorf("there is no ConfigMap of the component config")
	}
	var out map[string]any
	return out, yaml.Unmarshal([]byte(shared.Data["souk.yaml"]), &out)
}

// Complete returns the services that lack one of the objects that each needs. An HPA is wanted if scaled is set.
func Complete(documents []Document, services []Service, scaled bool) []string {
	var problems []string
	have := map[string]bool{}
	for _, d := range documents {
		have[d.Kind()+" "+d.Component()] = true
	}
	kinds := []string{"Deployment", "Service", "ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"}
	if scaled {
		kinds = append(kinds, "HorizontalPodAutoscaler")
	}
	for _, s := range services {
		for _, kind := range kinds {
			if !have[kind+" "+s.Name] {
				problems = append(problems, fmt.Sprintf("%s has no %s", s.Name, kind))
			}
		}
	}
	if !have["NetworkPolicy default-deny"] {
		problems = append(problems, "there is no NetworkPolicy that denies by default")
	}
	return problems
}

// Selectors returns Services, HPAs, PDBs and NetworkPolicies that select no Deployment.
func Selectors(documents []Document) []string {
	var problems []string
	deployments := objects[*appsv1.Deployment](documents)
	selects := func(kind, name string, selector map[string]string) {
		d, ok := deployments[name]
		if !ok {
			problems = append(problems, fmt.Sprintf("%s %s: there is no such Deployment", kind, name))
			return
		}
		for key, value := range selector {
			if d.Spec.Template.Labels[key] != value {
				problems = append(problems, fmt.Sprintf("%s %s: pods have no label %s=%s", kind, name, key, value))
			}
		}
	}
	for name, s := range objects[*corev1.Service](documents) {
		selects("Service", name, s.Spec.Selector)
	}
	for name, p := range objects[*policyv1.PodDisruptionBudget](documents) {
		selects("PodDisruptionBudget", name, p.Spec.Selector.MatchLabels)
	}
	for name, d := range deployments {
		selects("Deployment", name, d.Spec.Selector.MatchLabels)
	}
	for name, h := range objects[*autoscalingv2.HorizontalPodAutoscaler](documents) {
		if d := deployments[name]; d == nil || d.Name != h.Spec.ScaleTargetRef.Name {
			problems = append(problems, fmt.Sprintf("HorizontalPodAutoscaler %s scales no Deployment", name))
		} else if d.Spec.Replicas != nil {
			problems = append(problems, fmt.Sprintf("Deployment %s sets replicas, and so does its autoscaler", name))
		}
	}
	slices.Sort(problems)
	return problems
}

// Ports returns probes and Services that lead to a port that no container has, and containers whose port is not the one
// of the configuration.
func Ports(documents []Document) ([]string, error) {
	settings, err := config(documents)
	if err != nil {
		return nil, err
	}
	var problems []string
	deployments := objects[*appsv1.Deployment](documents)
	for name, d := range deployments {
		c := d.Spec.Template.Spec.Containers[0]
		ports := map[string]int32{}
		for _, p := range c.Ports {
			ports[p.Name] = p.ContainerPort
		}
		for what, probe := range map[string]*corev1.Probe{
			"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe,
		} {
			if name == verify && what != "liveness" {
				continue
			}
			if probe == nil || probe.HTTPGet == nil || ports[probe.HTTPGet.Port.StrVal] == 0 {
				problems = append(problems, fmt.Sprintf("Deployment %s: its %s probe leads to no port", name, what))
			} else if want := map[string]string{"readiness": "/health/ready"}[what]; probe.HTTPGet.Path !=
				cmp.Or(want, "/health/live") {
				problems = append(problems, fmt.Sprintf("Deployment %s: its %s probe asks %s", name, what,
					probe.HTTPGet.Path))
			}
		}
		for port, setting := range map[string]string{
			"admin": text(settings, "admin", "addr"), "http": text(settings, "gateway", "addr"),
		} {
			if ports[port] != 0 && setting != fmt.Sprintf(":%d", ports[port]) {
				problems = append(problems, fmt.Sprintf("Deployment %s: the port %s is %d, souk listens on %s", name,
					port, ports[port], setting))
			}
		}
	}
	for name, s := range objects[*corev1.Service](documents) {
		for _, p := range s.Spec.Ports {
			if d := deployments[name]; d == nil || !hasPort(d, p.TargetPort) {
				problems = append(problems,
					fmt.Sprintf("Service %s: no container has the port %s", name, p.TargetPort.StrVal))
			}
		}
	}
	slices.Sort(problems)
	return problems, nil
}

func hasPort(d *appsv1.Deployment, port intstr.IntOrString) bool {
	return slices.ContainsFunc(d.Spec.Template.Spec.Containers[0].Ports, func(p corev1.ContainerPort) bool {
		return p.Name == port.StrVal
	})
}

// verify is the component that checks the databases of all services. It serves nothing but metrics.
const verify = "verify"

// How long a process takes to stop, at most: see apps/gateway/server.go and pkg/module/process.go. TestStopTimes compares
// these with the source.
const (
	lastRequests  = time.Second
	closeTimeout  = 5 * time.Second
	drainTimeout  = 20 * time.Second // of a service
	flushTimeout  = 2 * time.Second  // of spans, and of the connection to NATS
	stopAllowance = 2 * flushTimeout
)

// StopTimes returns Deployments whose pods are killed before souk has had its time to stop.
func StopTimes(documents []Document) ([]string, error) {
	settings, err := config(documents)
	if err != nil {
		return nil, err
	}
	var problems []string
	for name, d := range objects[*appsv1.Deployment](documents) {
		if name == verify {
			continue // it has no requests in flight
		}
		needs := drainTimeout + stopAllowance
		if name == "gateway" {
			lameDuck, err := time.ParseDuration(text(settings, "gateway", "lame_duck"))
			if err != nil {
				return nil, err
			}
			drain, err := time.ParseDuration(text(settings, "gateway", "drain_timeout"))
			if err != nil {
				return nil, err
			}
			needs = lameDuck + lastRequests + drain + closeTimeout + stopAllowance
			if ready := d.Spec.Template.Spec.Containers[0].ReadinessProbe; ready != nil &&
				time.Duration(ready.PeriodSeconds)*time.Second > lameDuck {
				problems = append(problems, "Deployment gateway: its readiness is asked less often than lame_duck")
			}
			if strategy := d.Spec.Strategy.RollingUpdate; strategy == nil || strategy.MaxUnavailable.String() != "0" {
				problems = append(problems, "Deployment gateway: maxUnavailable is not 0")
			}
		}
		if has := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; has < needs {
			problems = append(
				problems,
				fmt.Sprintf("Deployment %s: it has %s to stop, and may need %s", name, has, needs),
			)
		}
	}
	slices.Sort(problems)
	return problems, nil
}

// Memory returns containers whose GOMEMLIMIT is not somewhat below their memory limit.
func Memory(documents []Document) []string {
	var problems []string
	for name, d := range objects[*appsv1.Deployment](documents) {
		c := d.Spec.Template.Spec.Containers[0]
		limit := c.Resources.Limits.Memory().Value()
		i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
		if i < 0 {
			problems = append(problems, fmt.Sprintf("Deployment %s has no GOMEMLIMIT", name))
			continue
		}
		soft, err := resource.ParseQuantity(strings.TrimSuffix(c.Env[i].Value, "B"))
		if share := float64(soft.Value()) / float64(limit); err != nil || share < 0.8 || share > 0.95 {
			problems = append(problems,
				fmt.Sprintf("Deployment %s: GOMEMLIMIT is %s of %s", name, c.Env[i].Value, c.Resources.Limits.Memory()))
		}
	}
	slices.Sort(problems)
	return problems
}

// Secrets returns variables that get a secret of another service, and SOUK_ variables that are no setting.
func Secrets(documents []Document, services []Service, documented func(variable string) bool) []string {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	for name, d := range objects[*appsv1.Deployment](documents) {
		c := d.Spec.Template.Spec.Containers[0]
		for _, e := range c.Env {
			if strings.HasPrefix(e.Name, "SOUK_") && !documented(e.Name) {
				add("Deployment %s: docs/configuration.md has no setting for %s", name, e.Name)
			}
			if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
				continue
			}
			for _, s := range services {
				if s.Name != name && name != verify && e.ValueFrom.SecretKeyRef.Name == "souk-postgres-"+s.Name {
					add("Deployment %s gets the password of %s", name, s.Name)
				}
			}
		}
		if *d.Spec.Template.Spec.AutomountServiceAccountToken {
			add("Deployment %s: its pods have a token of the API server", name)
		}
	}
	slices.Sort(problems)
	return problems
}

// Network returns NetworkPolicies that allow a service more, or less, than it needs.
func Network(documents []Document, services []Service) []string {
	var problems []string
	policies := objects[*networkingv1.NetworkPolicy](documents)
	for _, s := range services {
		p, ok := policies[s.Name]
		if !ok {
			continue // Complete reports it
		}
		allowed := map[string]bool{}
		for _, rule := range p.Spec.Egress {
			public := false
			for _, peer := range rule.To {
				if peer.IPBlock == nil || !strings.HasSuffix(peer.IPBlock.CIDR, "/0") {
					continue // one address, or a network, that values name
				}
				public = true
				problems = append(problems, private(s.Name, peer.IPBlock)...)
			}
			for _, port := range rule.Ports {
				allowed[fmt.Sprintf("%d", port.Port.IntVal)] = true
			}
			if len(rule.To) == 0 || len(rule.Ports) == 0 {
				problems = append(problems, fmt.Sprintf("NetworkPolicy %s: a rule is open to all", s.Name))
			}
			if public {
				allowed["public"] = true
			}
		}
		for what, need := range map[string]bool{
			"4222": true, "53": true, "5432": s.Database, "6379": s.Redis, "public": s.Reaches != "",
		} {
			if allowed[what] != need {
				problems = append(
					problems,
					fmt.Sprintf("NetworkPolicy %s: egress to %s: %t, needs it: %t", s.Name, what,
						allowed[what], need),
				)
			}
		}
		from := map[string]bool{}
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				from[port.Port.StrVal] = len(rule.From) > 0
			}
		}
		if !from["admin"] || from["http"] != s.HTTP {
			problems = append(problems, fmt.Sprintf("NetworkPolicy %s: ingress %v", s.Name, from))
		}
	}
	slices.Sort(problems)
	return problems
}

// private returns a problem if a block of public addresses has private ones in it.
func private(name string, block *networkingv1.IPBlock) []string {
	must := []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10"}
	if strings.Contains(block.CIDR, ":") {
		must = []string{"fc00::/7", "fe80::/10", "::/8"}
	}
	var problems []string
	for _, network := range must {
		if !slices.Contains(block.Except, network) {
			problems = append(problems, fmt.Sprintf("NetworkPolicy %s: %s allows %s", name, block.CIDR, network))
		}
	}
	return problems
}
