{{/*
Pools: `backends` with everything filled in. The other templates take pools from here alone, so that configuration, permissions,
network policy and notes cannot disagree.
*/}}

{{/* What a name stands for, and what a signal may be routed by. Source of the latter: `routing_key` in the Collector. */}}
{{- define "ringway.presets" -}}
traces: {signal: traces, routingKey: traceID, preset: tailSampling}
spanmetrics: {signal: traces, routingKey: service, preset: spanMetrics}
metrics: {signal: metrics, routingKey: metric, preset: cumulativeToDelta}
logs: {signal: logs, routingKey: service, preset: none}
{{- end -}}

{{- define "ringway.routingKeys" -}}
traces: [traceID, service, attributes]
metrics: [metric, service, streamID, resource, attributes]
logs: [service, traceID, resource, attributes]
{{- end -}}

{{/* A map from each pool's name to what the templates need to know of it, as JSON. */}}
{{- define "ringway.pools" -}}
{{- $presets := include "ringway.presets" . | fromYaml -}}
{{- $pools := dict -}}
{{- range $name, $backend := .Values.backends -}}
{{- $backend := $backend | default dict -}}
{{- $preset := get $presets $name | default dict -}}
{{- $pool := dict
  "signal" ($backend.signal | default $preset.signal | default "")
  "routingKey" ($backend.routingKey | default $preset.routingKey | default "")
  "routingAttributes" ($backend.routingAttributes | default list)
  "ports" ($backend.ports | default (list 4317))
  "service" "" "namespace" ""
  "resolver" ($backend.resolver | default dict)
  "exporter" ($backend.exporter | default dict)
  "ringway" ($backend.ringway | default dict)
-}}
{{- if kindIs "map" $backend.collector -}}
{{- $collector := mergeOverwrite (deepCopy $.Values.collector) (deepCopy $backend.collector) -}}
{{- $_ := set $collector "preset" ($collector.preset | default $preset.preset | default "") -}}
{{- $_ := set $pool "collector" $collector -}}
{{- $_ := set $pool "objects" (include "ringway.suffixed" (list $ $name)) -}}
{{- $_ := set $pool "service" (printf "%s.%s" $pool.objects (include "ringway.namespace" $)) -}}
{{- $_ := set $pool "namespace" (include "ringway.namespace" $) -}}
{{- else if $backend.service -}}
{{- $words := splitList "." (tpl $backend.service $) -}}
{{- $namespace := ternary (index $words (min 1 (sub (len $words) 1))) (include "ringway.namespace" $) (gt (len $words) 1) -}}
{{- $_ := set $pool "service" (ternary (tpl $backend.service $) (printf "%s.%s" (first $words) $namespace) (gt (len $words) 1)) -}}
{{- $_ := set $pool "namespace" $namespace -}}
{{- end -}}
{{- $_ := set $pools $name $pool -}}
{{- end -}}
{{- toJson $pools -}}
{{- end -}}

{{/* Namespaces whose EndpointSlices are read: {"namespaces": […]}, sorted, each once. */}}
{{- define "ringway.namespaces" -}}
{{- $names := list -}}
{{- range include "ringway.pools" . | fromJson -}}
{{- if .namespace -}}{{- $names = append $names .namespace -}}{{- end -}}
{{- end -}}
{{- range $service := (include "ringway.configServices" . | fromJson).services -}}
{{- $words := splitList "." $service -}}
{{- if contains "${" $service -}}
{{- else if gt (len $words) 1 -}}
{{- $names = append $names (index $words 1) -}}
{{- else -}}
{{- $names = append $names (include "ringway.namespace" $) -}}
{{- end -}}
{{- end -}}
{{- range .Values.rbac.namespaces -}}{{- $names = append $names (tpl . $) -}}{{- end -}}
{{- dict "namespaces" ($names | uniq | sortAlpha) | toJson -}}
{{- end -}}

{{/* Services that the resolvers of `config` name: {"services": […]}. */}}
{{- define "ringway.configServices" -}}
{{- $services := list -}}
{{- range $id, $exporter := (.Values.config | default dict).exporters -}}
{{- if and (regexMatch "^load_?balancing(/|$)" $id) (kindIs "map" $exporter) -}}
{{- with (($exporter.resolver | default dict).k8s | default dict).service -}}
{{- $services = append $services . -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "services" ($services | uniq) | toJson -}}
{{- end -}}

{{/* "true" if pods need a token for the API server. */}}
{{- define "ringway.needsToken" -}}
{{- if kindIs "invalid" .Values.serviceAccount.automount -}}
{{- $own := include "ringway.configServices" . | fromJson -}}
{{- if or (include "ringway.namespaces" . | fromJson).namespaces $own.services -}}true{{- end -}}
{{- else if .Values.serviceAccount.automount -}}true
{{- end -}}
{{- end -}}
