package kube

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// valuesOnAWS puts an example of what infra/terraform/values/chart says over the values of an environment, as
// helm --values does.
func valuesOnAWS(root, environment string) (map[string]any, error) {
	values, err := Values(root, environment)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(root, "infra/terraform/values/chart/tests/values.yaml"))
	if err != nil {
		return nil, err
	}
	var own map[string]any
	if err := yaml.UnmarshalStrict(raw, &own); err != nil {
		return nil, err
	}
	return merge(values, own), nil
}

func merge(into, from map[string]any) map[string]any {
	for key, value := range from {
		inner, isMap := value.(map[string]any)
		if there, ok := into[key].(map[string]any); ok && isMap {
			into[key] = merge(there, inner)
			continue
		}
		into[key] = value
	}
	return into
}

// TestChartOnAWSHasNothingOfCloudNativePG: values of staging and production are for CloudNativePG and a Gateway, and
// what Terraform says comes over them.
func TestChartOnAWSHasNothingOfCloudNativePG(t *testing.T) {
	t.Parallel()
	h := setup(t)
	for _, environment := range []string{"staging on AWS", "prod on AWS"} {
		hosts := map[string]any{}
		for _, d := range h.rendered[environment] {
			require.NotContains(t, string(d.Raw), "souk-postgres-pooler", d)
			require.NotContains(t, string(d.Raw), "souk-postgres-ro", d)
			require.NotContains(t, string(d.Raw), "pooled: true", d)
			require.NotContains(t, string(d.Raw), "letsencrypt-staging", d)
			switch d.Kind() {
			case "HTTPRoute":
				require.Fail(t, "an HTTPRoute beside the Ingress")
			case "Ingress":
				rules, _ := at(d.Object, "spec", "rules").([]any)
				for _, rule := range rules {
					hosts[text(rule, "host")] = true
				}
			}
		}
		// CloudFront passes the viewer's Host on; Route 53 asks for the region's own name.
		require.Contains(t, hosts, "shop.example.com", environment)
		require.Contains(t, hosts, "primary.origin.shop.example.com", environment)
	}
}
