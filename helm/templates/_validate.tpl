{{/*
What the schema cannot see: values that contradict each other. All problems at once; each says the key, what was found, and what is
allowed. tests/chart holds the texts.
*/}}

{{- define "ringway.validate" -}}
{{- $problems := list -}}
{{- range list "ringway.validate.source" "ringway.validate.pools" "ringway.validate.config" "ringway.validate.scaling" "ringway.validate.pod" "ringway.validate.network" -}}
{{- $problems = concat $problems (include . $ | fromJson).problems -}}
{{- end -}}
{{- if $problems -}}
{{- printf "\n\nThese values cannot be installed:\n  - %s\n" (join "\n  - " $problems) | fail -}}
{{- end -}}
{{- end -}}

{{/* Exactly one source of the configuration. */}}
{{- define "ringway.validate.source" -}}
{{- $problems := list -}}
{{- $found := list -}}
{{- if .Values.backends -}}{{- $found = append $found "backends" -}}{{- end -}}
{{- if .Values.config -}}{{- $found = append $found "config" -}}{{- end -}}
{{- if .Values.existingConfigMap.name -}}{{- $found = append $found "existingConfigMap.name" -}}{{- end -}}
{{- if not $found -}}
{{- $problems = append $problems "backends: found none; allowed: at least one pool, for example --set backends.traces.service=samplers.observability (or config, or existingConfigMap.name)" -}}
{{- else if gt (len $found) 1 -}}
{{- $problems = append $problems (printf "%s: found together; allowed: one of backends, config and existingConfigMap.name" (join " and " $found)) -}}
{{- end -}}
{{- if and .Values.extraConfig .Values.existingConfigMap.name -}}
{{- $problems = append $problems "extraConfig: found with existingConfigMap.name; allowed: with backends or config, since the chart does not change a ConfigMap of yours" -}}
{{- end -}}
{{- if and .Values.persistentQueue.enabled (not .Values.backends) -}}
{{- $problems = append $problems "persistentQueue.enabled: found true without backends; allowed: with backends, or sending_queue.storage in your own configuration with extraVolumes" -}}
{{- end -}}
{{- if .Values.persistentQueue.enabled -}}
{{- $least := mul 128 (len .Values.backends) | int -}}
{{- if lt (include "ringway.mib" .Values.persistentQueue.sizeLimit | int) $least -}}
{{- $problems = append $problems (printf "persistentQueue.sizeLimit: found %s for %d pools; allowed: at least %dMi, 128Mi for each" .Values.persistentQueue.sizeLimit (len .Values.backends) $least) -}}
{{- end -}}
{{- end -}}
{{- dict "problems" $problems | toJson -}}
{{- end -}}

{{- define "ringway.validate.pools" -}}
{{- $problems := list -}}
{{- $keys := include "ringway.routingKeys" . | fromYaml -}}
{{- range $name, $pool := include "ringway.pools" . | fromJson -}}
{{- $at := printf "backends.%s" $name -}}
{{- $backend := get $.Values.backends $name | default dict -}}
{{- $ways := list -}}
{{- range list "service" "resolver" "collector" -}}{{- if or (get $backend .) (and (eq . "collector") (kindIs "map" $backend.collector)) -}}{{- $ways = append $ways . -}}{{- end -}}{{- end -}}
{{- if not $ways -}}
{{- $problems = append $problems (printf "%s.service: found none; allowed: \"name\" or \"name.namespace\" of the pool's Service (or %s.resolver, or %s.collector)" $at $at $at) -}}
{{- else if gt (len $ways) 1 -}}
{{- $problems = append $problems (printf "%s: found %s; allowed: one of service, resolver and collector" $at (join " and " $ways)) -}}
{{- end -}}
{{- if not $pool.signal -}}
{{- $problems = append $problems (printf "%s.signal: found none; allowed: traces, metrics, logs (the names traces, spanmetrics, metrics and logs bring theirs)" $at) -}}
{{- else -}}
{{- $allowed := get $keys $pool.signal -}}
{{- if not (has $pool.routingKey $allowed) -}}
{{- $problems = append $problems (printf "%s.routingKey: found %s; allowed for %s: %s" $at ($pool.routingKey | default "none") $pool.signal (join ", " $allowed)) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $pool.routingKey "attributes") (not $pool.routingAttributes) -}}
{{- $problems = append $problems (printf "%s.routingAttributes: found none; allowed: at least one attribute with routingKey attributes" $at) -}}
{{- else if and $pool.routingAttributes (ne $pool.routingKey "attributes") -}}
{{- $problems = append $problems (printf "%s.routingAttributes: found with routingKey %s; allowed: with routingKey attributes" $at $pool.routingKey) -}}
{{- end -}}
{{- if and $backend.ports (not $backend.service) -}}
{{- $problems = append $problems (printf "%s.ports: found without service; allowed: with service (a collector of the chart's listens on 4317, a resolver says its ports itself)" $at) -}}
{{- end -}}
{{- if and (eq $name "headless") $pool.collector $.Values.headlessService.enabled -}}
{{- $problems = append $problems "backends.headless: found with collector and headlessService.enabled; allowed: another name, since both make a Service of that name" -}}
{{- end -}}
{{- with $pool.collector -}}
{{- $fits := dict "tailSampling" (list "traces" "traceID") "spanMetrics" (list "traces" "") "cumulativeToDelta" (list "metrics" "") "none" (list $pool.signal "") -}}
{{- $fit := get $fits .preset | default (list) -}}
{{- if not $fit -}}
{{- $problems = append $problems (printf "%s.collector.preset: found %s; allowed: tailSampling, spanMetrics, cumulativeToDelta, none" $at (.preset | default "none, and no preset goes with this name")) -}}
{{- else if ne (first $fit) $pool.signal -}}
{{- $problems = append $problems (printf "%s.collector.preset: found %s for %s; allowed: for %s" $at .preset $pool.signal (first $fit)) -}}
{{- else if and (last $fit) (ne (last $fit) $pool.routingKey) -}}
{{- $problems = append $problems (printf "%s.collector.preset: found %s with routingKey %s; allowed: with routingKey %s, or traces are split" $at .preset $pool.routingKey (last $fit)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "problems" $problems | toJson -}}
{{- end -}}

{{/* What a configuration written for one host gets wrong in a pod. */}}
{{- define "ringway.validate.config" -}}
{{- $problems := list -}}
{{- with .Values.config -}}
{{- range $id, $receiver := .receivers -}}
{{- if and (regexMatch "^otlp(/|$)" $id) (kindIs "map" $receiver) -}}
{{- range $protocol, $settings := $receiver.protocols -}}
{{- $endpoint := ($settings | default dict).endpoint | default "" -}}
{{- if and (has $protocol (list "grpc" "http")) (or (not $endpoint) (regexMatch "^(localhost|127\\.|\\[::1\\])" $endpoint)) -}}
{{- $default := ternary "localhost:4317" "localhost:4318" (eq $protocol "grpc") -}}
{{- $problems = append $problems (printf "config.receivers.%s.protocols.%s.endpoint: found %s, which other pods do not reach; allowed: for example %s" $id $protocol ($endpoint | default (printf "none, hence %s" $default)) ($default | replace "localhost" "0.0.0.0")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $id, $extension := .extensions -}}
{{- $endpoint := ($extension | default dict).endpoint | default "" -}}
{{- if and (regexMatch "^health_check(/|$)" $id) $endpoint (not (regexMatch "^(0\\.0\\.0\\.0|\\[::\\]|\\$\\{.*\\})?:13133$" $endpoint)) -}}
{{- $problems = append $problems (printf "config.extensions.%s.endpoint: found %s; allowed: none, 0.0.0.0:13133, [::]:13133, or ${env:MY_POD_IP}:13133, which is where the probes look" $id $endpoint) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range (include "ringway.configServices" . | fromJson).services -}}
{{- if and (contains "${" .) (not $.Values.rbac.namespaces) -}}
{{- $problems = append $problems (printf "rbac.namespaces: found none, and the namespace of the service %s in config is not known to the chart; allowed: the namespaces of such services" .) -}}
{{- end -}}
{{- end -}}
{{- dict "problems" $problems | toJson -}}
{{- end -}}

{{- define "ringway.validate.scaling" -}}
{{- $problems := list -}}
{{- $scaling := .Values.autoscaling -}}
{{- if and (include "ringway.isScaled" .) (include "ringway.isDaemonSet" .) -}}
{{- $problems = append $problems "autoscaling: found with mode daemonset; allowed: with mode deployment" -}}
{{- end -}}
{{- if and $scaling.enabled $scaling.external -}}
{{- $problems = append $problems "autoscaling.external: found true with autoscaling.enabled; allowed: one of the two" -}}
{{- end -}}
{{- if $scaling.enabled -}}
{{- if gt ($scaling.minReplicas | int) ($scaling.maxReplicas | int) -}}
{{- $problems = append $problems (printf "autoscaling.minReplicas: found %d; allowed: at most autoscaling.maxReplicas, %d" ($scaling.minReplicas | int) ($scaling.maxReplicas | int)) -}}
{{- end -}}
{{- if not (or $scaling.targetCPUUtilizationPercentage $scaling.targetMemoryUtilizationPercentage $scaling.metrics) -}}
{{- $problems = append $problems "autoscaling: found no metric; allowed: one of targetCPUUtilizationPercentage, targetMemoryUtilizationPercentage and metrics" -}}
{{- end -}}
{{- $requests := (include "ringway.resources" . | fromYaml).requests | default dict -}}
{{- if and $scaling.targetCPUUtilizationPercentage (not $requests.cpu) -}}
{{- $problems = append $problems "cpu: found none with autoscaling.targetCPUUtilizationPercentage; allowed: a request such as 250m, since the target is a share of it" -}}
{{- end -}}
{{- end -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and (not (kindIs "invalid" $budget.minAvailable)) (not (kindIs "invalid" $budget.maxUnavailable)) -}}
{{- $problems = append $problems (printf "podDisruptionBudget: found minAvailable %v and maxUnavailable %v; allowed: one of them" $budget.minAvailable $budget.maxUnavailable) -}}
{{- end -}}
{{- if include "ringway.hasDisruptionBudget" . -}}
{{- $least := include "ringway.leastReplicas" . | int -}}
{{- if and (not (kindIs "invalid" $budget.minAvailable)) (not (kindIs "string" $budget.minAvailable)) -}}
{{- if ge ($budget.minAvailable | int) $least -}}
{{- $problems = append $problems (printf "podDisruptionBudget.minAvailable: found %d of at least %d gateways, which would stop every drain of a node; allowed: at most %d" ($budget.minAvailable | int) $least (sub $least 1)) -}}
{{- end -}}
{{- else if and (eq ($budget.minAvailable | toString) "100%") -}}
{{- $problems = append $problems "podDisruptionBudget.minAvailable: found 100%, which would stop every drain of a node; allowed: less" -}}
{{- end -}}
{{- if has ($budget.maxUnavailable | toString) (list "0" "0%") -}}
{{- $problems = append $problems (printf "podDisruptionBudget.maxUnavailable: found %v, which would stop every drain of a node; allowed: more" $budget.maxUnavailable) -}}
{{- end -}}
{{- end -}}
{{- dict "problems" $problems | toJson -}}
{{- end -}}

{{/* The pod's own arithmetic: time and memory. */}}
{{- define "ringway.validate.pod" -}}
{{- $problems := list -}}
{{- $needed := add .Values.shutdown.delaySeconds .Values.shutdown.drainSeconds 1 -}}
{{- if lt (include "ringway.gracePeriodSeconds" . | int) ($needed | int) -}}
{{- $problems = append $problems (printf "terminationGracePeriodSeconds: found %d; allowed: at least %d, shutdown.delaySeconds and shutdown.drainSeconds and one second, or what is queued is lost" (include "ringway.gracePeriodSeconds" . | int) $needed) -}}
{{- end -}}
{{- $timeout := (((.Values.config | default dict).service | default dict).ringway | default dict).shutdown_timeout -}}
{{- with (((.Values.extraConfig | default dict).service | default dict).ringway | default dict).shutdown_timeout -}}{{- $timeout = . -}}{{- end -}}
{{- if and (not (kindIs "invalid" $timeout)) (ne ($timeout | toString) (printf "%ds" (.Values.shutdown.drainSeconds | int))) -}}
{{- $problems = append $problems (printf "service.ringway.shutdown_timeout: found %v in the configuration; allowed: none, since shutdown.drainSeconds says it, and the grace period with it" $timeout) -}}
{{- end -}}
{{- range list "requests" "limits" -}}
{{- $memory := ((get $.Values.resources .) | default dict).memory -}}
{{- if $memory -}}
{{- $problems = append $problems (printf "resources.%s.memory: found %v; allowed: the value memory, from which request, limit and the gateway's budget follow" . $memory) -}}
{{- end -}}
{{- end -}}
{{- if lt (include "ringway.mib" .Values.memory | int) 64 -}}
{{- $problems = append $problems (printf "memory: found %s; allowed: 64Mi or more" .Values.memory) -}}
{{- end -}}
{{- range $name, $port := include "ringway.ports" . | fromJson -}}
{{- if eq ($port.containerPort | int) 13133 -}}
{{- $problems = append $problems (printf "ports: found containerPort 13133 for %s; allowed: another, that one is the health check's" $name) -}}
{{- end -}}
{{- end -}}
{{- if not (or .Values.ports.otlpGrpc.enabled .Values.ports.otlpHttp.enabled) -}}
{{- $problems = append $problems "ports: found neither otlpGrpc nor otlpHttp enabled; allowed: at least one" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) .Values.rbac.create (include "ringway.namespaces" . | fromJson).namespaces -}}
{{- $problems = append $problems "serviceAccount.name: found none with serviceAccount.create false; allowed: an account of yours, since every pod of the namespace would get the permissions of default" -}}
{{- end -}}
{{- if and (not (kindIs "invalid" .Values.serviceAccount.automount)) (not .Values.serviceAccount.automount) -}}
{{- range $name, $pool := include "ringway.pools" . | fromJson -}}
{{- if and $pool.service (not (($pool.ringway.k8s | default dict).kubeconfig)) -}}
{{- $problems = append $problems (printf "serviceAccount.automount: found false, and backends.%s is found through the Kubernetes API; allowed: null or true, or ringway.k8s.kubeconfig in the pool" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "problems" $problems | toJson -}}
{{- end -}}

{{- define "ringway.validate.network" -}}
{{- $problems := list -}}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.extraEgress) -}}
{{- range $name, $pool := include "ringway.pools" . | fromJson -}}
{{- if and $pool.resolver (not $pool.service) -}}
{{- $problems = append $problems (printf "networkPolicy.extraEgress: found none, and the addresses of backends.%s are not known to the chart; allowed: a rule that lets them out" $name) -}}
{{- end -}}
{{- end -}}
{{- range $source := list "config" "extraConfig" -}}
{{- range $id, $exporter := (get $.Values $source | default dict).exporters -}}
{{- $isPool := or (((((($exporter | default dict).resolver) | default dict).k8s) | default dict).service) (hasKey ($.Values.backends | default dict) (trimPrefix "load_balancing/" $id)) -}}
{{- if not $isPool -}}
{{- $problems = append $problems (printf "networkPolicy.extraEgress: found none, and the address of %s.exporters.%s is not known to the chart; allowed: a rule that lets it out" $source $id) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.existingConfigMap.name (not .Values.rbac.namespaces) -}}
{{- $problems = append $problems "networkPolicy.extraEgress: found none, and no pool of the configuration is known to the chart; allowed: rules that let them out, or rbac.namespaces" -}}
{{- end -}}
{{- end -}}
{{- if and (or .Values.serviceMonitor.enabled .Values.podMonitor.enabled) (not .Values.ports.metrics.enabled) -}}
{{- $problems = append $problems "ports.metrics.enabled: found false with a monitor; allowed: true, or no serviceMonitor and podMonitor" -}}
{{- else if .Values.serviceMonitor.enabled -}}
{{- $onService := ternary (eq .Values.service.type "ClusterIP") .Values.ports.metrics.onService (kindIs "invalid" .Values.ports.metrics.onService) -}}
{{- if not (and .Values.service.enabled $onService) -}}
{{- $problems = append $problems (printf "serviceMonitor.enabled: found true, and the Service of type %s has no metrics port; allowed: podMonitor, or ports.metrics.onService true" .Values.service.type) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{- $problems = append $problems "podMonitor.enabled: found true with serviceMonitor.enabled; allowed: one of them, or every sample is taken twice" -}}
{{- end -}}
{{- dict "problems" $problems | toJson -}}
{{- end -}}
