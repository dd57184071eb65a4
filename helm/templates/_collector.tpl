{{/* The configuration of a pool of the chart's own. (dict "root" $ "pool" pool) */}}

{{- define "ringway.collectorConfig" -}}
{{- $collector := .pool.collector -}}
{{- $signal := .pool.signal -}}
{{- $exporters := $collector.exporters | default (dict "debug" dict) -}}
{{- $names := keys $exporters | sortAlpha -}}
{{- $config := dict
  "receivers" (dict "otlp" (dict "protocols" (dict "grpc" (dict "endpoint" (printf "%s:4317" .root.Values.listenAddress)))))
  "processors" (dict "memory_limiter" (dict "check_interval" "1s" "limit_percentage" 80 "spike_limit_percentage" 25))
  "exporters" $exporters
  "extensions" (dict "health_check" (dict "endpoint" (printf "%s:13133" .root.Values.listenAddress)))
-}}
{{- $processors := list "memory_limiter" -}}
{{- $pipelines := dict -}}
{{- if eq $collector.preset "spanMetrics" -}}
{{- $_ := set $config "connectors" (dict "spanmetrics" dict) -}}
{{- $_ := set $pipelines "traces" (dict "receivers" (list "otlp") "processors" $processors "exporters" (list "spanmetrics")) -}}
{{- $_ := set $pipelines "metrics" (dict "receivers" (list "spanmetrics") "exporters" $names) -}}
{{- else -}}
{{- if eq $collector.preset "tailSampling" -}}
{{- $_ := set $config.processors "tail_sampling" (include "ringway.tailSampling" $collector | fromYaml) -}}
{{- $processors = append $processors "tail_sampling" -}}
{{- else if eq $collector.preset "cumulativeToDelta" -}}
{{- $_ := set $config.processors "cumulativetodelta" dict -}}
{{- $processors = append $processors "cumulativetodelta" -}}
{{- end -}}
{{- $_ := set $pipelines $signal (dict "receivers" (list "otlp") "processors" $processors "exporters" $names) -}}
{{- end -}}
{{- $_ := set $config "service" (dict
  "extensions" (list "health_check")
  "pipelines" $pipelines
  "telemetry" (dict "metrics" (dict "readers" (list (dict "pull" (dict "exporter" (dict "prometheus" (dict "host" (.root.Values.listenAddress | trimPrefix "[" | trimSuffix "]") "port" 8888)))))))
) -}}
{{- toYaml (mergeOverwrite $config (deepCopy ($collector.config | default dict))) -}}
{{- end -}}

{{/* Late spans of a trace that is decided follow its decision, as long as the caches remember it. */}}
{{- define "ringway.tailSampling" -}}
decision_wait: {{ .decisionWaitSeconds | int }}s
num_traces: 50000
decision_cache:
  sampled_cache_size: 100000
  non_sampled_cache_size: 100000
policies:
  {{- if .policies }}
  {{- toYaml .policies | nindent 2 }}
  {{- else }}
  - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
  - {name: slow, type: latency, latency: {threshold_ms: 500}}
  - {name: some, type: probabilistic, probabilistic: {sampling_percentage: 10}}
  {{- end }}
{{- end -}}

{{/*
Seconds between a collector's leaving the ring and its signal to stop. A tail sampler waits until what it holds has been decided in
the usual way; five seconds are for the gateways to notice.
*/}}
{{- define "ringway.collectorDelaySeconds" -}}
{{- if eq .preset "tailSampling" -}}{{- add .decisionWaitSeconds 5 -}}{{- else -}}5{{- end -}}
{{- end -}}
