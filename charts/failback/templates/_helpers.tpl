{{- define "failback.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "failback.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "failback.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "failback.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- /* Names of cluster-wide objects carry the namespace: two releases of one name in two namespaces are usual. */}}
{{- define "failback.clusterName" -}}
{{- if eq .Release.Namespace (include "failback.fullname" .) -}}
{{- include "failback.fullname" . }}
{{- else -}}
{{- printf "%s-%s" (.Release.Namespace | default "default") (include "failback.fullname" .) }}
{{- end }}
{{- end }}

{{- define "failback.selectorLabels" -}}
app.kubernetes.io/name: {{ include "failback.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "failback.labels" -}}
{{ include "failback.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "failback.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "failback.fullname" .) }}
{{- end }}

{{- define "failback.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "failback.listen" -}}
{{- if contains ":" .Values.controller.address -}}
[{{ .Values.controller.address }}]:{{ .Values.controller.port }}
{{- else -}}
{{ .Values.controller.address }}:{{ .Values.controller.port }}
{{- end }}
{{- end }}

{{- /* Namespaces in which Secrets may be read, as a JSON list. */}}
{{- define "failback.secretNamespaces" -}}
{{- .Values.secretNamespaces | default .Values.watchNamespaces | uniq | toJson }}
{{- end }}

{{- define "failback.subject" -}}
- kind: ServiceAccount
  name: {{ include "failback.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- /* What the controller asks of its own kinds; tests/chart compares it with what the code calls. */}}
{{- define "failback.controllerRules" -}}
- apiGroups: [failback.dev]
  resources: [recoveryvaults, vcenters, mastertargets, replicateditems, failbackplans, failbackapprovals]
  verbs: [list, watch]
# Read again, uncached, right before a call; finalizers.
- apiGroups: [failback.dev]
  resources: [replicateditems, failbackplans]
  verbs: [get, patch]
- apiGroups: [failback.dev]
  resources:
    - recoveryvaults/status
    - vcenters/status
    - mastertargets/status
    - replicateditems/status
    - failbackplans/status
    - failbackapprovals/status
  verbs: [patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{- /* Part of a ValidatingAdmissionPolicyBinding: only the namespaces that this release is for. */}}
{{- define "failback.policyScope" -}}
{{- with .Values.watchNamespaces -}}
matchResources:
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: In
        values:
          {{- toYaml . | nindent 10 }}
{{- end }}
{{- end }}

{{- /* CEL: whether an update changes this field of the spec; an empty list is none. */}}
{{- define "failback.changed" -}}
(has(object.spec.{{ . }}) != has(oldObject.spec.{{ . }}) || (has(object.spec.{{ . }}) && object.spec.{{ . }} != oldObject.spec.{{ . }}))
{{- end }}

{{- define "failback.changedList" -}}
(has(object.spec.{{ . }}) ? object.spec.{{ . }} : []) != (has(oldObject.spec.{{ . }}) ? oldObject.spec.{{ . }} : [])
{{- end }}

{{- /* CEL: whether the user may set aside what holds this plan back once it has started. */}}
{{- define "failback.mayWaive" -}}
authorizer.group('failback.dev').resource('failbackplans').namespace(request.namespace).name({{ . }}).check('waive').allowed()
{{- end }}

{{- /* Port of the collector of traces. */}}
{{- define "failback.tracesPort" -}}
{{- $url := urlParse .Values.tracing.otlpEndpoint }}
{{- $port := regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) }}
{{- .Values.networkPolicy.tracesPort | default ($port | default (ternary 443 80 (eq $url.scheme "https"))) }}
{{- end }}
