package kube

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEachCheckFindsItsMistake breaks the documents of production, once for each check.
func TestEachCheckFindsItsMistake(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for name, tt := range map[string]struct {
		object   string // Kind name
		old, new string // what is replaced, once; old "": the document is left out
		want     string
	}{
		"unknown field": {
			"Deployment souk-order", "enableServiceLinks", "enableServiceLink", "unknown field",
		},
		"wrong type": {
			"HorizontalPodAutoscaler souk-order", "minReplicas: 3", "minReplicas: three", "minReplicas",
		},
		"unknown kind": {"Service souk-order", "kind: Service", "kind: Servise", `no kind "Servise"`},
		"custom resource": {
			"HTTPRoute souk-gateway", "hostnames:", "hostname:", "unknown field spec.hostname",
		},
		"custom resource's rule": {
			"Certificate souk-gateway", "secretName: souk-tls", "", "spec.secretName: Required value",
		},
		"Pod Security": {
			"Deployment souk-order", "runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot",
		},
		"Pod Security of the hook": {
			"Job souk-migrate", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true",
			"allowPrivilegeEscalation",
		},
		"root that can be written to": {
			"Deployment souk-cart", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false",
			"can write to its root",
		},
		"no PDB": {"PodDisruptionBudget souk-order", "", "", "order has no PodDisruptionBudget"},
		"no autoscaler": {
			"HorizontalPodAutoscaler souk-user", "", "", "user has no HorizontalPodAutoscaler",
		},
		"no NetworkPolicy": {"NetworkPolicy souk-user", "", "", "user has no NetworkPolicy"},
		"no default deny": {
			"NetworkPolicy souk-default-deny", "", "", "no NetworkPolicy that denies by default",
		},
		"selector": {
			"PodDisruptionBudget souk-order", "      app.kubernetes.io/name: souk",
			"      app.kubernetes.io/name: shop",
			"pods have no label app.kubernetes.io/name=shop",
		},
		"replicas and autoscaler": {
			"Deployment souk-order", "  revisionHistoryLimit:", "  replicas: 2\n  revisionHistoryLimit:",
			"sets replicas",
		},
		"probe of a port that is none": {
			"Deployment souk-order", "/health/ready, port: admin", "/health/ready, port: metrics",
			"readiness probe leads to no port",
		},
		"probe of a dependency": {
			"Deployment souk-order", "path: /health/live, port", "path: /health/ready, port",
			"probe asks /health/ready",
		},
		"port that souk does not listen on": {
			"Deployment souk-order", "containerPort: 9090", "containerPort: 9091", "souk listens on :9090",
		},
		"Service without a port": {
			"Service souk-gateway", "targetPort: http", "targetPort: https", "no container has the port https",
		},
		"too little time to stop": {
			"Deployment souk-gateway", "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 30",
			"may need 35s",
		},
		"gateway that is taken away": {
			"Deployment souk-gateway", "maxUnavailable: 0", "maxUnavailable: 1", "maxUnavailable is not 0",
		},
		"GOMEMLIMIT": {
			"Deployment souk-order", "value: 460MiB", "value: 600MiB", "GOMEMLIMIT is 600MiB",
		},
		"unknown variable": {
			"Deployment souk-order", "SOUK_IDENTITY_SEED", "SOUK_IDENTITY_SEEDS", "no setting for SOUK_IDENTITY_SEEDS",
		},
		"another service's secret": {
			"Deployment souk-order", "name: souk-postgres-order", "name: souk-postgres-cart",
			"gets the password of cart",
		},
		"token of the API server": {
			"Deployment souk-order", "automountServiceAccountToken: false", "automountServiceAccountToken: true",
			"token of the API server",
		},
		"egress that is not needed": {
			"NetworkPolicy souk-user", "port: 5432", "port: 6379", "egress to 6379: true, needs it: false",
		},
		"private addresses": {
			"NetworkPolicy souk-webhook", "- 10.0.0.0/8", "- 10.0.0.0/9", "allows 10.0.0.0/8",
		},
		"job of scraped pods": {
			"PodMonitor souk", "replacement: souk}", "replacement: shop}", `the job of port admin is "shop", not "souk"`,
		},
		"Gateway that is kept out": {
			"NetworkPolicy souk-gateway", "kubernetes.io/metadata.name: gateway-system",
			"kubernetes.io/metadata.name: gateway", "keeps out gateway-system",
		},
		"pods that cannot leave a drained node": {
			"Deployment souk-order", "nodeTaintsPolicy: Honor", "nodeTaintsPolicy: Ignore",
			"kubernetes.io/hostname: DoNotSchedule without nodeTaintsPolicy",
		},
		"verify by the pooler": {
			"Deployment souk-verify", "SOUK_POSTGRES_POOLED", "SOUK_POSTGRES_MAX_CONNS", "goes through the pooler",
		},
		"no certificate of a service": {
			"Certificate souk-order-tls", "", "", "there is no Certificate for the Secret souk-order-tls",
		},
		"certificate of another service": {
			"Certificate souk-order-tls", "commonName: order", "commonName: cart", "its certificate is for cart, not for order",
		},
		"certificate that is not mounted": {
			"Deployment souk-order", "mountPath: /etc/souk-tls", "mountPath: /etc/tls", "does not mount the certificate",
		},
		"ingress": {
			"NetworkPolicy souk-user", "port: admin", "port: http", "ingress map[http:true]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var documents []Document
			found := false
			for _, d := range h.rendered["prod"] {
				if d.String() != tt.object {
					documents = append(documents, d)
					continue
				}
				found = true
				if tt.old == "" && tt.new == "" {
					continue
				}
				require.Contains(t, string(d.Raw), tt.old)
				broken, err := Parse(d.Source, []byte(strings.Replace(string(d.Raw), tt.old, tt.new, 1)))
				require.NoError(t, err)
				documents = append(documents, broken...)
			}
			require.True(t, found, "there is no %s", tt.object)
			require.Contains(t, strings.Join(h.problems(t, documents, true), "\n"), tt.want)
		})
	}
}
