{{- /* Values that contradict each other, each with the sentence that a person needs. */}}
{{- define "failback.validate" -}}
{{- $v := .Values }}
{{- if and $v.image.tag $v.image.digest }}
{{- fail "image.tag and image.digest are both set: the digest would win and the tag say nothing. Remove one." }}
{{- end }}
{{- if $v.watchNamespaces }}
{{- $watched := join ", " $v.watchNamespaces }}
{{- range $v.secretNamespaces }}
{{- if not (has . $v.watchNamespaces) }}
{{- fail (printf "secretNamespaces has %q, but only %s is watched (watchNamespaces): Secrets are read in the namespace of the object that names them. Remove it." . $watched) }}
{{- end }}
{{- end }}
{{- range $v.azure.serviceAccountNamespaces }}
{{- if not (has . $v.watchNamespaces) }}
{{- fail (printf "azure.serviceAccountNamespaces has %q, but only %s is watched (watchNamespaces): no vault there is looked at. Remove it." . $watched) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (not $v.azure.sharedIdentity) (ne $v.azure.workloadIdentity "none") }}
{{- fail (printf "azure.sharedIdentity is false and azure.workloadIdentity is %s: the pods would get an identity that no vault may use. Set azure.workloadIdentity to none." $v.azure.workloadIdentity) }}
{{- end }}
{{- if and (not $v.azure.sharedIdentity) $v.azure.managedIdentity }}
{{- fail "azure.sharedIdentity is false and azure.managedIdentity is true: no vault may use the node's identity. Set azure.managedIdentity to false." }}
{{- end }}
{{- range $v.jobs.namespaces }}
{{- if and $v.watchNamespaces (not (has . $v.watchNamespaces)) }}
{{- fail (printf "jobs.namespaces has %q, but only %s is watched (watchNamespaces): a Job is made in the namespace of its plan. Remove it." . (join ", " $v.watchNamespaces)) }}
{{- end }}
{{- end }}
{{- if and $v.secretNames (not $v.secretNamespaces) (not $v.watchNamespaces) }}
{{- fail "secretNames is set without secretNamespaces: name the namespaces in which these Secrets may be read." }}
{{- end }}
{{- if and (not $v.serviceAccount.create) (not $v.serviceAccount.name) }}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: name the ServiceAccount to use. The default one is not given these rights." }}
{{- end }}
{{- if and (not $v.serviceAccount.create) $v.serviceAccount.annotations }}
{{- fail "serviceAccount.annotations is set and serviceAccount.create is false: annotate your own ServiceAccount, and remove the annotations here." }}
{{- end }}
{{- if eq $v.azure.workloadIdentity "none" }}
{{- if or $v.azure.clientId $v.azure.tenantId }}
{{- fail "azure.clientId or azure.tenantId is set and azure.workloadIdentity is none: no token would be there to use them with. Set azure.workloadIdentity to webhook or projected, or remove them." }}
{{- end }}
{{- end }}
{{- if and (eq $v.azure.workloadIdentity "webhook") (not $v.serviceAccount.create) (or $v.azure.clientId $v.azure.tenantId) }}
{{- fail "azure.workloadIdentity is webhook and serviceAccount.create is false: put azure.workload.identity/client-id and azure.workload.identity/tenant-id on your ServiceAccount, and remove azure.clientId and azure.tenantId." }}
{{- end }}
{{- $pdb := $v.podDisruptionBudget }}
{{- if $pdb.enabled }}
{{- if and (not (kindIs "invalid" $pdb.minAvailable)) (not (kindIs "invalid" $pdb.maxUnavailable)) }}
{{- fail "podDisruptionBudget.minAvailable and podDisruptionBudget.maxUnavailable are both set: Kubernetes takes one. Set the other to null." }}
{{- end }}
{{- if and (kindIs "invalid" $pdb.minAvailable) (kindIs "invalid" $pdb.maxUnavailable) }}
{{- fail "podDisruptionBudget is enabled and says nothing: set minAvailable or maxUnavailable." }}
{{- end }}
{{- if not (kindIs "invalid" $pdb.minAvailable) }}
{{- if ge (int $pdb.minAvailable) (int $v.replicas) }}
{{- fail (printf "podDisruptionBudget.minAvailable is %d of %d replicas: no node with such a pod could ever be drained. Lower it, or raise replicas." (int $pdb.minAvailable) (int $v.replicas)) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $v.trust.caBundle $v.trust.configMap }}
{{- fail "trust.caBundle and trust.configMap are both set: put all certificates into one of them." }}
{{- end }}
{{- if and $v.trust.caBundle (not (contains "-----BEGIN CERTIFICATE-----" $v.trust.caBundle)) }}
{{- fail "trust.caBundle has no PEM certificate: it begins with -----BEGIN CERTIFICATE-----." }}
{{- end }}
{{- $m := $v.metrics }}
{{- if and $m.serviceMonitor.enabled (not $m.service.enabled) }}
{{- fail "metrics.serviceMonitor is enabled and metrics.service is not: a ServiceMonitor finds pods through a Service. Enable it, or use metrics.podMonitor." }}
{{- end }}
{{- if and $m.serviceMonitor.enabled $m.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled: every pod would be read twice. Enable one." }}
{{- end }}
{{- if and $m.prometheusRule.enabled (not $m.prometheusRule.runbookBaseUrl) }}
{{- fail "metrics.prometheusRule is enabled and metrics.prometheusRule.runbookBaseUrl is empty: alerts would lead nowhere. Set it to where docs/runbooks can be read." }}
{{- end }}
{{- if and $m.prometheusRule.enabled (not (or $m.podMonitor.enabled $m.serviceMonitor.enabled $m.service.enabled)) }}
{{- fail "metrics.prometheusRule is enabled and nothing reads /metrics: NoLeader would fire for ever. Enable metrics.podMonitor or metrics.serviceMonitor, or metrics.service for a Prometheus that you configure yourself." }}
{{- end }}
{{- $n := $v.networkPolicy }}
{{- if $n.enabled }}
{{- if and (or $m.serviceMonitor.enabled $m.podMonitor.enabled) (not $n.metricsFrom) }}
{{- fail "networkPolicy is enabled and networkPolicy.metricsFrom is empty: Prometheus could not reach the pods. Name who may read /metrics." }}
{{- end }}
{{- else if or $n.egressCidrs $n.apiServerCidrs $n.metricsFrom $n.tracesTo $n.tracesPort }}
{{- fail "networkPolicy.enabled is false, so that egressCidrs, apiServerCidrs, metricsFrom, tracesTo and tracesPort restrict nothing. Enable it, or remove them." }}
{{- end }}
{{- if and (or $n.tracesTo $n.tracesPort) (not $v.tracing.otlpEndpoint) }}
{{- fail "networkPolicy.tracesTo or networkPolicy.tracesPort is set and tracing.otlpEndpoint is empty: no traces are sent there. Set the endpoint, or remove them." }}
{{- end }}
{{- $p := $v.policies }}
{{- if and $p.requester.enabled (not $p.approverIdentity.enabled) }}
{{- fail "policies.requester is enabled and policies.approverIdentity is not: without it anybody can approve in another's name. Enable both." }}
{{- end }}
{{- if and $p.requiredApprovals.enabled (not $p.requiredApprovals.steps) }}
{{- fail "policies.requiredApprovals is enabled and names no steps." }}
{{- end }}
{{- if and (not $v.crds.install) (not $v.crds.keep) }}
{{- fail "crds.keep is false and crds.install is false: this release neither installs nor removes the CRDs. Leave crds.keep at true." }}
{{- end }}
{{- range $v.extraEnv }}
{{- if or (hasPrefix "FAILBACK_" .name) (has .name (list "AZURE_CLIENT_ID" "AZURE_TENANT_ID" "AZURE_FEDERATED_TOKEN_FILE" "OTEL_EXPORTER_OTLP_ENDPOINT" "SSL_CERT_FILE" "SSL_CERT_DIR")) }}
{{- fail (printf "extraEnv has %s, which the chart sets: use the value for it instead." .name) }}
{{- end }}
{{- end }}
{{- if ne $v.azure.workloadIdentity "projected" }}
{{- if or (ne $v.azure.audience "api://AzureADTokenExchange") (ne (int $v.azure.tokenExpirationSeconds) 3600) }}
{{- fail (printf "azure.audience or azure.tokenExpirationSeconds is set and azure.workloadIdentity is %s: they are of the token that the chart projects. Set azure.workloadIdentity to projected, or remove them." $v.azure.workloadIdentity) }}
{{- end }}
{{- end }}
{{- range $key, $value := dict "azure.workload.identity/client-id" $v.azure.clientId "azure.workload.identity/tenant-id" $v.azure.tenantId }}
{{- if and $value (hasKey $v.serviceAccount.annotations $key) }}
{{- fail (printf "serviceAccount.annotations has %s, which azure.clientId and azure.tenantId set: remove one of the two." $key) }}
{{- end }}
{{- end }}
{{- if and $pdb.enabled (not (kindIs "invalid" $pdb.maxUnavailable)) (eq (int $pdb.maxUnavailable) 0) }}
{{- fail "podDisruptionBudget.maxUnavailable is 0: no node with such a pod could ever be drained. Set it to 1, or podDisruptionBudget.enabled to false." }}
{{- end }}
{{- if and $p.requiredApprovals.enabled (not $p.approverIdentity.enabled) }}
{{- fail "policies.requiredApprovals is enabled and policies.approverIdentity is not: without it anybody can approve in another's name. Enable both." }}
{{- end }}
{{- include "failback.validateLabels" . }}
{{- include "failback.validateEnvironment" . }}
{{- end }}

{{- /* A key that is there twice is refused by the API server, in words that lead nowhere. */}}
{{- define "failback.validateLabels" -}}
{{- $v := .Values }}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- $more := dict "podLabels" $v.podLabels "metrics.serviceMonitor.labels" $v.metrics.serviceMonitor.labels "metrics.podMonitor.labels" $v.metrics.podMonitor.labels "metrics.prometheusRule.labels" $v.metrics.prometheusRule.labels "metrics.dashboard.labels" $v.metrics.dashboard.labels }}
{{- range $value, $labels := merge (dict "commonLabels" $v.commonLabels) $more }}
{{- range $key, $_ := $labels }}
{{- if has $key $own }}
{{- fail (printf "%s has %s, which the chart sets: remove it; the names come from nameOverride and the release." $value $key) }}
{{- end }}
{{- if and (ne $value "commonLabels") (hasKey $v.commonLabels $key) }}
{{- fail (printf "%s and commonLabels both have %s: remove it from one of them." $value $key) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $v.azure.workloadIdentity "webhook") (hasKey $v.podLabels "azure.workload.identity/use") }}
{{- fail "podLabels has azure.workload.identity/use, which azure.workloadIdentity: webhook sets: remove it." }}
{{- end }}
{{- range $key := list "kubectl.kubernetes.io/default-container" "failback.dev/trust" }}
{{- if hasKey $v.podAnnotations $key }}
{{- fail (printf "podAnnotations has %s, which the chart sets: remove it." $key) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "failback.validateEnvironment" -}}
{{- $v := .Values }}
{{- $ports := list }}
{{- range $v.networkPolicy.egressPorts }}
{{- $ports = append $ports (toString (int .)) }}
{{- end }}
{{- $names := list }}
{{- range $v.extraEnv }}
{{- if has .name $names }}
{{- fail (printf "extraEnv has %s twice: remove one." .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- if and $v.networkPolicy.enabled (has (upper .name) (list "HTTPS_PROXY" "HTTP_PROXY" "ALL_PROXY")) .value }}
{{- $port := regexFind ":[0-9]+$" (regexReplaceAll "^([a-z0-9]+://)?([^/]*).*$" .value "${2}") | trimPrefix ":" }}
{{- $port = $port | default (ternary "443" "80" (hasPrefix "https://" .value)) }}
{{- if not (has $port $ports) }}
{{- fail (printf "extraEnv has %s with a proxy on port %s, which is not in networkPolicy.egressPorts: the pods could not reach it. Add the port." .name $port) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
