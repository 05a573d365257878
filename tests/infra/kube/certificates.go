package kube

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const tlsMount = "/etc/souk-tls"

// Certificates returns pods that lack their certificate, if some pod has one: its volume, where souk looks for it, and
// the Certificate that fills it with the name of the pod's service.
func Certificates(documents []Document) []string {
	issued := map[string]Document{} // by Secret
	for _, d := range documents {
		if secret := text(
			d.Object,
			"spec",
			"secretName",
		); d.Kind() == "Certificate" &&
			strings.HasSuffix(secret, "-tls") {
			issued[secret] = d
		}
	}
	var pods, problems []string
	for _, d := range documents {
		_, pod := podOf(d.typed)
		if pod == nil {
			continue
		}
		if problem := certificate(d, pod, issued); problem != "" {
			problems = append(problems, fmt.Sprintf("%s: %s", d, problem))
			continue
		}
		pods = append(pods, d.Name())
	}
	if len(pods) == 0 { // without mutual TLS
		return nil
	}
	slices.Sort(problems)
	return problems
}

func certificate(d Document, pod *corev1.PodSpec, issued map[string]Document) string {
	i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == "tls" && v.Secret != nil })
	if i < 0 {
		return "it has no certificate"
	}
	secret := pod.Volumes[i].Secret.SecretName
	c, ok := issued[secret]
	if !ok {
		return "there is no Certificate for the Secret " + secret
	}
	service := d.Component()
	if service == verify || service == "migrate" {
		service = "operator"
	}
	if name := text(c.Object, "spec", "commonName"); name != service {
		return fmt.Sprintf("its certificate is for %s, not for %s", name, service)
	}
	if uris := fmt.Sprint(at(c.Object, "spec", "uris")); !strings.HasSuffix(uris, "/service/"+service+"]") {
		return fmt.Sprintf("its certificate has the names %s", uris)
	}
	for _, container := range pod.Containers {
		mounted := slices.ContainsFunc(container.VolumeMounts, func(m corev1.VolumeMount) bool {
			return m.Name == "tls" && m.MountPath == tlsMount
		})
		if !mounted {
			return "its container does not mount the certificate"
		}
		named := slices.ContainsFunc(container.Env, func(v corev1.EnvVar) bool {
			return v.Name == "SOUK_NATS_TLS_CERT_FILE" && v.Value == tlsMount+"/tls.crt"
		})
		if !named && d.Component() != "migrate" { // it uses PostgreSQL only
			return "souk is not told where the certificate is"
		}
	}
	return ""
}
