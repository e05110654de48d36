{{/* What every name of this release starts with: "autoglm" for a release called autoglm or autoglm-operator. */}}
{{- define "autoglm.base" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := trimSuffix "-operator" .Release.Name -}}
{{- ternary $name (printf "%s-autoglm" $name) (contains "autoglm" $name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Name of a component's objects. Arguments: root, component. */}}
{{- define "autoglm.name" -}}
{{- printf "%s-%s" (include "autoglm.base" .root) .component -}}
{{- end -}}

{{/* Labels that select a component's pods. Arguments: root, component. */}}
{{- define "autoglm.selector" -}}
app.kubernetes.io/name: autoglm-operator
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of a component's objects. Arguments: root, component. */}}
{{- define "autoglm.labels" -}}
{{ include "autoglm.selector" . }}
app.kubernetes.io/part-of: autoglm
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .root.Values.extraLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Reference of an image. Arguments: root, image. */}}
{{- define "autoglm.image" -}}
{{- $registry := .root.Values.imageRegistry | default .image.registry -}}
{{- printf "%s/%s:%s" $registry .image.repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* Environment that operator and autoscaler share. */}}
{{- define "autoglm.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- with .Values.telemetry.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ $.Values.telemetry.sampleRatio | quote }}
{{- end }}
{{- end -}}

{{/* Labels as the processes read them: a=b,c=d. */}}
{{- define "autoglm.labelList" -}}
{{- $pairs := list -}}
{{- range $key, $value := . -}}
{{- $pairs = append $pairs (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- join "," $pairs -}}
{{- end -}}

{{/* What Pod Security "restricted" asks of a container, and a read-only root. */}}
{{- define "autoglm.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What Pod Security "restricted" asks of a pod. */}}
{{- define "autoglm.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Probes of both processes; a standby is ready too, so that it can take over at once. */}}
{{- define "autoglm.probes" -}}
startupProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 2
  failureThreshold: 30
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
{{- end -}}

{{/* Where the pods of a component run. Arguments: root, component, values (of the component). */}}
{{- define "autoglm.placement" -}}
topologySpreadConstraints:
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    # One node is enough to run on: spreading is wanted, not required.
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "autoglm.selector" (dict "root" $.root "component" $.component) | nindent 8 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $.values $key }}
{{ $key }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Namespaces to make Roles in: the watched ones, or one empty name for the whole cluster. */}}
{{- define "autoglm.scopes" -}}
{{- .Values.watchNamespaces | default (list "") | toJson -}}
{{- end -}}

{{/*
A role and its binding to a component's ServiceAccount, for the cluster or one namespace.
Arguments: root, component, name, namespace (empty: the cluster), rules (YAML).
*/}}
{{- define "autoglm.grant" -}}
{{- $kind := ternary "Role" "ClusterRole" (ne .namespace "") -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "autoglm.labels" . | nindent 4 }}
rules: {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "autoglm.labels" . | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ include "autoglm.name" . }}
    namespace: {{ .root.Release.Namespace }}
{{- end -}}

{{/* Rules for the Lease of a component. Arguments: component. */}}
{{- define "autoglm.leaseRules" -}}
# "create" cannot be limited to a name: the name is not known to the authorizer then.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [autoglm-{{ .component }}]
  verbs: [get, update]
{{- end -}}

{{/* What another backend of custom.metrics.k8s.io owns of it, in words; empty if there is none, or no cluster to ask. */}}
{{- define "autoglm.otherMetricsAPI" -}}
{{- $ours := printf "%s/%s" .Release.Namespace (include "autoglm.name" (dict "root" . "component" "autoscaler")) -}}
{{- $found := list -}}
{{- range $version := list "v1beta1" "v1beta2" -}}
{{- $object := printf "%s.custom.metrics.k8s.io" $version -}}
{{- with (lookup "apiregistration.k8s.io/v1" "APIService" "" $object).spec -}}
{{- $service := printf "%s/%s" .service.namespace .service.name -}}
{{- if ne $service $ours -}}
{{- $found = append $found (printf "APIService %s belongs to Service %s" $object $service) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- join ", " $found -}}
{{- end -}}

{{/* "true" if the autoscaler is to be registered for custom.metrics.k8s.io; otherwise empty. */}}
{{- define "autoglm.metricsAPI" -}}
{{- $wish := toString .Values.metricsAPI.enabled -}}
{{- if eq $wish "true" -}}
{{- with include "autoglm.otherMetricsAPI" . -}}
{{- fail (printf "metricsAPI.enabled=true: %s, and a cluster has room for one backend: remove that one, or set metricsAPI.enabled=auto or false, and the autoscaler writes replicas itself" .) -}}
{{- end -}}
true
{{- else if and (eq $wish "auto") (not .Values.metricsAPI.backend) -}}
{{- if not (include "autoglm.otherMetricsAPI" .) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* Object metrics of an AutoGLMDeployment as RBAC names them; RBAC has no wildcard for "any subresource of one resource". */}}
{{- define "autoglm.metricResources" -}}
{{- range list
  "autoglm_desired_replicas"
  "autoglm_queue_depth"
  "autoglm_running_requests"
  "autoglm_ttft_p99_seconds"
  "autoglm_itl_p99_seconds"
  "autoglm_kv_cache_utilization"
  "autoglm_gpu_memory_utilization"
}}
- autoglmdeployments.autoglm.io/{{ . }}
{{- end }}
{{- end -}}
