{{- /* Values that contradict each other, each with the sentence that a person needs. */}}
{{- define "failback.validate" -}}
{{- $v := .Values }}
{{- if and $v.image.tag $v.image.digest }}
{{- fail "image.tag and image.digest are both set: the digest would win and the tag say nothing. Remove one." }}
{{- end }}
{{- if $v.watchNamespace }}
{{- range $v.secretNamespaces }}
{{- if ne . $v.watchNamespace }}
{{- fail (printf "secretNamespaces has %q, but only %q is watched (watchNamespace): Secrets are read in the namespace of the object that names them. Remove it." . $v.watchNamespace) }}
{{- end }}
{{- end }}
{{- end }}
{{- if $v.watchNamespace }}
{{- range $v.jobs.namespaces }}
{{- if ne . $v.watchNamespace }}
{{- fail (printf "jobs.namespaces has %q, but only %q is watched (watchNamespace): a Job is made in the namespace of its plan. Remove it." . $v.watchNamespace) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $v.secretNames (not $v.secretNamespaces) (not $v.watchNamespace) }}
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
{{- $n := $v.networkPolicy }}
{{- if $n.enabled }}
{{- if and (or $m.serviceMonitor.enabled $m.podMonitor.enabled) (not $n.metricsFrom) }}
{{- fail "networkPolicy is enabled and networkPolicy.metricsFrom is empty: Prometheus could not reach the pods. Name who may read /metrics." }}
{{- end }}
{{- else if or $n.egressCidrs $n.apiServerCidrs $n.metricsFrom }}
{{- fail "networkPolicy.enabled is false, so that egressCidrs, apiServerCidrs and metricsFrom restrict nothing. Enable it, or remove them." }}
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
{{- if or (hasPrefix "FAILBACK_" .name) (has .name (list "AZURE_CLIENT_ID" "AZURE_TENANT_ID" "AZURE_FEDERATED_TOKEN_FILE" "SSL_CERT_FILE" "SSL_CERT_DIR")) }}
{{- fail (printf "extraEnv has %s, which the chart sets: use the value for it instead." .name) }}
{{- end }}
{{- end }}
{{- end }}
