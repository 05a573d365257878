{{/* Labels of an object. Takes root, name (the component). */}}
{{- define "souk.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{ include "souk.podLabels" . }}
{{- end }}

{{/* Labels of a component's pods. A new version of the chart alone restarts none of them. */}}
{{- define "souk.podLabels" -}}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: souk
{{ include "souk.selector" . }}
{{- end }}

{{/* Labels that select the pods of a component. */}}
{{- define "souk.selector" -}}
app.kubernetes.io/name: souk
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* Name of a component's objects. */}}
{{- define "souk.name" -}}
{{ printf "%s-%s" .root.Release.Name .name }}
{{- end }}

{{/* The image of a service. */}}
{{- define "souk.image" -}}
{{- $image := .root.Values.image -}}
{{- $repository := $image.repository | replace "{service}" .name -}}
{{- if and $image.digest (contains "{service}" $image.repository) -}}
{{- fail "image.digest: a digest fits one image only; image.repository has {service} in it" -}}
{{- end -}}
{{- if $image.digest -}}
{{ $repository }}@{{ $image.digest }}
{{- else -}}
{{ $repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* souk's configuration file as YAML, without secrets. */}}
{{- define "souk.config" -}}
{{- $own := dict
  "admin" (dict "addr" (printf ":%v" .Values.ports.admin))
  "gateway" (dict "addr" (printf ":%v" .Values.ports.http))
  "rpc" (dict "transport" "nats") -}}
{{- if .Values.mtls.enabled -}}
{{- $_ := set $own "natsauth" (dict "trust_domain" .Values.mtls.trustDomain) -}}
{{- if .Values.mtls.redis -}}
{{- $_ := set $own "redis" (dict "tls" true) -}}
{{- end -}}
{{- end -}}
{{- range $section, $settings := $own -}}
{{- range $key, $value := $settings -}}
{{- if hasKey (index $.Values.config $section | default dict) $key -}}
{{- fail (printf "config.%s.%s: the chart sets it" $section $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end }}

{{/* The part of the configuration that a service reads: a change of it restarts the service. */}}
{{- define "souk.configOf" -}}
{{- $config := include "souk.config" .root | fromYaml -}}
{{- pick $config "log" "telemetry" "postgres" "documents" "redis" "cache" "nats" "identity" "admin" "rpc" .service.name | toYaml -}}
{{- end }}

{{/* "true" if a service needs a secret setting, by the setting's section. */}}
{{- define "souk.needs" -}}
{{- $section := .setting | splitList "." | first -}}
{{- if eq $section "postgres" -}}
{{ .service.database }}
{{- else if has $section (list "redis" "cache") -}}
{{ .service.redis }}
{{- else if eq $section "documents" -}}
{{ .service.documents }}
{{- else if has $section (list "identity" "nats" "telemetry") -}}
true
{{- else -}}
{{ eq $section .service.name }}
{{- end -}}
{{- end }}

{{/* "true" if a setting has a value for each service. */}}
{{- define "souk.perService" -}}
{{ has . (list "postgres.passwords" "documents.passwords" "identity.keys") }}
{{- end }}

{{/* The variable of a setting. */}}
{{- define "souk.variable" -}}
SOUK_{{ . | upper | replace "." "_" }}
{{- end }}

{{/* The variables that hold a service's secrets. */}}
{{- define "souk.secretEnv" -}}
{{- range $setting, $from := .root.Values.secrets.settings }}
{{- if eq "true" (include "souk.needs" (dict "setting" $setting "service" $.service)) }}
{{- $variable := include "souk.variable" $setting }}
{{- $each := eq "true" (include "souk.perService" $setting) }}
- name: {{ if $each }}{{ printf "VALUE_OF_%s" $variable }}{{ else }}{{ $variable }}{{ end }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.secret | replace "{service}" $.service.name }}
      key: {{ $from.key | replace "{service}" $.service.name }}
{{- if $each }}
- name: {{ $variable }}
  value: {{ printf "%s=$(VALUE_OF_%s)" $.service.name $variable }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* The variables that hold the passwords of all databases. Takes services, from, and secret: the one Secret that holds all
     of them, by service; empty: each service's own. */}}
{{- define "souk.databaseEnv" -}}
{{- if .from }}
{{- $passwords := list }}
{{- range .services }}
{{- $passwords = append $passwords (printf "%s=$(PASSWORD_%s)" .name (upper .name)) }}
- name: PASSWORD_{{ upper .name }}
  valueFrom:
    secretKeyRef:
      name: {{ get $ "secret" | default ($.from.secret | replace "{service}" .name) }}
      key: {{ ternary .name ($.from.key | replace "{service}" .name) (not (empty (get $ "secret"))) }}
{{- end }}
- name: SOUK_POSTGRES_PASSWORDS
  value: {{ $passwords | join "," | quote }}
{{- end }}
{{- end }}

{{/* A template of the Vault agent for a value of a secret. "souk.vaultFile" replaces the marks: text with spaces would be
     folded into several lines. */}}
{{- define "souk.vaultValue" -}}
{{ printf "<%s/%s#%s>" .root.Values.secrets.vault.path .secret .key }}
{{- end }}

{{/* souk.yaml as a template of the Vault agent. Takes root, config (YAML), services (whose secrets it gets), and
     databases: true leaves out all secrets of services but those of databases; operator keeps its key. */}}
{{- define "souk.vaultFile" -}}
{{- $tree := .config | fromYaml -}}
{{- range $service := .services -}}
{{- range $setting, $from := $.root.Values.secrets.settings -}}
{{- if and (eq "true" (include "souk.needs" (dict "setting" $setting "service" $service)))
    (or (not (get $ "databases")) (hasPrefix "postgres." $setting) (eq $service.name "operator")) -}}
{{- $node := include "souk.vaultValue" (dict "root" $.root
    "secret" ($from.secret | replace "{service}" $service.name) "key" ($from.key | replace "{service}" $service.name)) -}}
{{- $path := $setting | splitList "." -}}
{{- if eq "true" (include "souk.perService" $setting) -}}
{{- $path = append $path $service.name -}}
{{- end -}}
{{- range $part := reverse $path -}}
{{- $node = dict $part $node -}}
{{- end -}}
{{- $tree = mergeOverwrite $tree $node -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- regexReplaceAll "<([^<>#\\s]+)#([^<>#\\s]+)>" (toYaml $tree) "{{ with secret \"${1}\" }}{{ index .Data.data \"${2}\" | toJSON }}{{ end }}" -}}
{{- end }}

{{/* Annotations that make the Vault Agent Injector write /vault/secrets/souk.yaml before the process starts. Takes root,
     name (for the role) and file. */}}
{{- define "souk.vaultAnnotations" -}}
{{- $vault := .root.Values.secrets.vault -}}
vault.hashicorp.com/agent-inject: "true"
vault.hashicorp.com/agent-init-first: "true"
vault.hashicorp.com/agent-pre-populate-only: "true"
vault.hashicorp.com/agent-inject-containers: souk
vault.hashicorp.com/auth-path: {{ $vault.authPath }}
vault.hashicorp.com/role: {{ $vault.role | replace "{service}" .name }}
vault.hashicorp.com/agent-service-account-token-volume-name: vault-token
vault.hashicorp.com/agent-inject-secret-souk.yaml: {{ $vault.path }}
vault.hashicorp.com/agent-inject-template-souk.yaml: |
  {{- .file | nindent 2 }}
{{- end }}

{{/* Volumes of a pod: the configuration, or the token of the Vault agent, and the certificate. Takes root, configMap, and
     name, that of the certificate. */}}
{{- define "souk.volumes" -}}
{{- if eq .root.Values.secrets.source "vault" }}
- name: vault-token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .root.Values.secrets.vault.audience }}
          expirationSeconds: 600
          path: token
{{- else }}
- name: config
  configMap:
    name: {{ .configMap }}
{{- end }}
{{- if .root.Values.mtls.enabled }}
- name: tls
  secret:
    secretName: {{ include "souk.name" . }}-tls
    defaultMode: 0440
{{- with .root.Values.mtls.revokedConfigMap }}
- name: revoked
  configMap:
    name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The volumes that souk's container mounts. */}}
{{- define "souk.volumeMounts" -}}
{{- if eq .Values.secrets.source "vault" }}
- {name: vault-token, mountPath: /var/run/secrets/vault, readOnly: true}
{{- else }}
- {name: config, mountPath: /etc/souk, readOnly: true}
{{- end }}
{{- if .Values.mtls.enabled }}
- {name: tls, mountPath: /etc/souk-tls, readOnly: true}
{{- if .Values.mtls.revokedConfigMap }}
- {name: revoked, mountPath: /etc/souk-revoked, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* The variables that name the files of a pod's certificate. Takes root and redis ("true": the pod uses Redis). */}}
{{- define "souk.certificateEnv" -}}
{{- if .root.Values.mtls.enabled }}
{{- range $prefix := ternary (list "NATS_TLS" "REDIS") (list "NATS_TLS") (and .root.Values.mtls.redis (eq "true" (toString .redis))) }}
- {name: SOUK_{{ $prefix }}_CA_FILE, value: /etc/souk-tls/ca.crt}
- {name: SOUK_{{ $prefix }}_CERT_FILE, value: /etc/souk-tls/tls.crt}
- {name: SOUK_{{ $prefix }}_KEY_FILE, value: /etc/souk-tls/tls.key}
{{- if $.root.Values.mtls.revokedConfigMap }}
- {name: SOUK_{{ $prefix }}_REVOKED_FILE, value: /etc/souk-revoked/revoked.crl}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A Certificate of cert-manager for the process of a service. Takes root, name (the component) and service (the name in the
     certificate). */}}
{{- define "souk.certificate" -}}
spec:
  secretName: {{ include "souk.name" . }}-tls
  # PostgreSQL compares it with the role.
  commonName: {{ .service }}
  uris: [spiffe://{{ .root.Values.mtls.trustDomain }}/service/{{ .service }}]
  usages: [digital signature, client auth]
  duration: {{ .root.Values.mtls.duration }}
  renewBefore: {{ .root.Values.mtls.renewBefore }}
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  issuerRef:
    group: cert-manager.io
    kind: {{ .root.Values.mtls.issuerKind }}
    name: {{ .root.Values.mtls.issuer }}
{{- end }}

{{/* Path of souk.yaml in a pod. */}}
{{- define "souk.configPath" -}}
{{ ternary "/vault/secrets/souk.yaml" "/etc/souk/souk.yaml" (eq .Values.secrets.source "vault") }}
{{- end }}

{{/* Security context of all pods: Pod Security "restricted", and a read-only root. */}}
{{- define "souk.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "souk.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* GOMEMLIMIT: a share of a memory limit. Takes limit (in Mi or Gi) and percent. */}}
{{- define "souk.goMemory" -}}
{{- if hasSuffix "Gi" .limit -}}
{{ div (mul (trimSuffix "Gi" .limit | int) 1024 (int .percent)) 100 }}MiB
{{- else if hasSuffix "Mi" .limit -}}
{{ div (mul (trimSuffix "Mi" .limit | int) (int .percent)) 100 }}MiB
{{- else -}}
{{- fail (printf "resources.limits.memory: want a number of Mi or Gi, not %s" .limit) -}}
{{- end -}}
{{- end }}

{{/* What differs for a service: defaults and its own values. */}}
{{- define "souk.values" -}}
{{- mergeOverwrite (deepCopy .root.Values.defaults) (index .root.Values.services .service.name | default dict) | toYaml -}}
{{- end }}

{{/* Egress rules to one of souk's servers. Takes to and port. */}}
{{- define "souk.egress" -}}
- to:
    {{- toYaml .to | nindent 4 }}
  ports:
    - {protocol: TCP, port: {{ .port }}}
{{- end }}

{{/* Egress rules that every pod needs: DNS, and Vault for its agent. */}}
{{- define "souk.egressOfAll" -}}
- to:
    {{- toYaml .Values.networkPolicy.dns | nindent 4 }}
  ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- if eq .Values.secrets.source "vault" }}
{{ include "souk.egress" (dict "to" .Values.networkPolicy.vault "port" .Values.networkPolicy.ports.vault) }}
{{- end }}
{{- end }}
