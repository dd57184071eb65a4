{{/* ringway's configuration: what `backends` render, or `config`; then what the pod's surroundings ask for. */}}

{{- define "ringway.config" -}}
{{- $config := dict -}}
{{- if .Values.config -}}
{{- $config = deepCopy .Values.config -}}
{{- else -}}
{{- $config = include "ringway.backendsConfig" . | fromYaml -}}
{{- end -}}
{{- $config = mergeOverwrite $config (deepCopy (.Values.extraConfig | default dict)) -}}
{{- include "ringway.surroundings" (dict "root" . "config" $config) -}}
{{- end -}}

{{/* One exporter for each pool, one pipeline for each signal. */}}
{{- define "ringway.backendsConfig" -}}
{{- $ports := .Values.ports -}}
{{- $protocols := dict -}}
{{- if $ports.otlpGrpc.enabled -}}
{{- $_ := set $protocols "grpc" (dict "endpoint" (printf "%s:%d" .Values.listenAddress ($ports.otlpGrpc.containerPort | int))) -}}
{{- end -}}
{{- if $ports.otlpHttp.enabled -}}
{{- $_ := set $protocols "http" (dict "endpoint" (printf "%s:%d" .Values.listenAddress ($ports.otlpHttp.containerPort | int))) -}}
{{- end -}}
{{- $exporters := dict -}}
{{- $pipelines := dict -}}
{{- range $name, $pool := include "ringway.pools" . | fromJson -}}
{{- $id := printf "load_balancing/%s" $name -}}
{{- $_ := set $exporters $id (include "ringway.exporter" (dict "root" $ "pool" $pool) | fromYaml) -}}
{{- $pipeline := get $pipelines $pool.signal | default (dict "receivers" (list "otlp") "exporters" list) -}}
{{- $_ := set $pipeline "exporters" (append $pipeline.exporters $id) -}}
{{- $_ := set $pipelines $pool.signal $pipeline -}}
{{- end -}}
{{- $config := dict
  "receivers" (dict "otlp" (dict "protocols" $protocols))
  "exporters" $exporters
  "service" (dict "pipelines" $pipelines "telemetry" (dict "logs" .Values.logs))
-}}
{{- toYaml $config -}}
{{- end -}}

{{- define "ringway.exporter" -}}
{{- $ := .root -}}
{{- $pool := .pool -}}
{{- $ringway := dict -}}
{{- $exporter := dict
  "routing_key" $pool.routingKey
  "protocol" (dict "otlp" (dict "tls" (dict "insecure" true)))
-}}
{{- if $pool.routingAttributes -}}{{- $_ := set $exporter "routing_attributes" $pool.routingAttributes -}}{{- end -}}
{{- if $pool.service -}}
{{- $_ := set $exporter "resolver" (dict "k8s" (dict "service" $pool.service "ports" $pool.ports)) -}}
{{- else -}}
{{- $_ := set $exporter "resolver" $pool.resolver -}}
{{- end -}}
{{- /* A static list does not change: there is nothing to damp. */ -}}
{{- if not (hasKey $exporter.resolver "static") -}}
{{- $_ := set $ringway "membership" (deepCopy $.Values.membership) -}}
{{- end -}}
{{- /* The pods of a StatefulSet come back under their names: by these they keep their keys. */ -}}
{{- if $pool.collector -}}{{- $_ := set $ringway "k8s" (dict "identity" "pod") -}}{{- end -}}
{{- $ringway = mergeOverwrite $ringway $pool.ringway -}}
{{- if $ringway -}}{{- $_ := set $exporter "ringway" $ringway -}}{{- end -}}
{{- if $.Values.persistentQueue.enabled -}}{{- $_ := set $exporter "sending_queue" (dict "storage" "file_storage" "sizer" "bytes" "queue_size" (include "ringway.queueBytes" $ | int64)) -}}{{- end -}}
{{- toYaml (mergeOverwrite $exporter $pool.exporter) -}}
{{- end -}}

{{/*
What a pod needs of any configuration, where that does not say it already: a health check that the kubelet reaches, metrics that
Prometheus reaches, a drain that ends before the grace period, and the budget that follows from `memory`.
*/}}
{{- define "ringway.surroundings" -}}
{{- $ := .root -}}
{{- $config := .config -}}
{{- $service := $config.service | default dict -}}
{{- $extensions := $config.extensions | default dict -}}
{{- $running := $service.extensions | default list -}}
{{- $health := "" -}}
{{- range $running -}}{{- if regexMatch "^health_check(/|$)" . -}}{{- $health = . -}}{{- end -}}{{- end -}}
{{- if not $health -}}
{{- $health = "health_check" -}}
{{- $running = append $running $health -}}
{{- end -}}
{{- $check := get $extensions $health | default dict -}}
{{- if not $check.endpoint -}}{{- $check = merge (dict "endpoint" (printf "%s:13133" $.Values.listenAddress)) $check -}}{{- end -}}
{{- $_ := set $extensions $health $check -}}
{{- if and $.Values.persistentQueue.enabled $.Values.backends -}}
{{- $bytes := include "ringway.queueBytes" $ | int64 -}}
{{- $_ := set $extensions "file_storage" (merge (get $extensions "file_storage" | default dict) (dict "directory" "/var/lib/ringway" "max_size" $bytes)) -}}
{{- $running = append $running "file_storage" | uniq -}}
{{- end -}}
{{- $telemetry := $service.telemetry | default dict -}}
{{- $metrics := $telemetry.metrics | default dict -}}
{{- if and $.Values.ports.metrics.enabled (not (hasKey $metrics "readers")) (ne ($metrics.level | default "" | toString | lower) "none") -}}
{{- $host := $.Values.listenAddress | trimPrefix "[" | trimSuffix "]" -}}
{{- $_ := set $metrics "readers" (list (dict "pull" (dict "exporter" (dict "prometheus" (dict "host" $host "port" ($.Values.ports.metrics.containerPort | int)))))) -}}
{{- else if not $.Values.ports.metrics.enabled -}}
{{- $_ := set $metrics "level" ($metrics.level | default "none") -}}
{{- end -}}
{{- $_ := set $telemetry "metrics" $metrics -}}
{{- $ringway := $service.ringway | default dict -}}
{{- if not (hasKey $ringway "shutdown_timeout") -}}
{{- $_ := set $ringway "shutdown_timeout" (printf "%ds" ($.Values.shutdown.drainSeconds | int)) -}}
{{- end -}}
{{- /* A memory limiter of the configuration's own is the budget then. */ -}}
{{- $limited := false -}}
{{- range $id, $pipeline := $service.pipelines -}}
{{- range ($pipeline | default dict).processors -}}{{- if regexMatch "^memory_limiter(/|$)" . -}}{{- $limited = true -}}{{- end -}}{{- end -}}
{{- end -}}
{{- if and (not $limited) (not (hasKey $ringway "memory_budget_mib")) -}}
{{- $_ := set $ringway "memory_budget_mib" (div (mul (include "ringway.mib" $.Values.memory | int) $.Values.memoryBudgetPercent) 100) -}}
{{- end -}}
{{- $_ := set $service "extensions" $running -}}
{{- $_ := set $service "telemetry" $telemetry -}}
{{- $_ := set $service "ringway" $ringway -}}
{{- $_ := set $config "extensions" $extensions -}}
{{- $_ := set $config "service" $service -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Bytes on disk for each pool's queue: nine tenths of the volume in all, since a pod that fills an emptyDir is evicted. */}}
{{- define "ringway.queueBytes" -}}
{{- div (mul (include "ringway.mib" .Values.persistentQueue.sizeLimit | int) 1048576 9) (mul (len .Values.backends) 10) -}}
{{- end -}}

{{- define "ringway.configMapName" -}}
{{- if .Values.existingConfigMap.name -}}{{- tpl .Values.existingConfigMap.name . -}}{{- else -}}{{- include "ringway.fullname" . -}}{{- end -}}
{{- end -}}
