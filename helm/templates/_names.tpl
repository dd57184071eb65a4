{{/* Names, labels and images: what every object needs. */}}

{{- define "ringway.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 63 characters, since it becomes a label and a DNS name. */}}
{{- define "ringway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- /* A release may have dots in its name, a Service may not. */ -}}
{{- $release := .Release.Name | replace "." "-" -}}
{{- if contains $name $release -}}
{{- $release | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" $release $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
The full name with a suffix, which is never cut off: at most 52 characters, since a StatefulSet's name becomes a label with a
revision behind it. (list $ "suffix")
*/}}
{{- define "ringway.suffixed" -}}
{{- $suffix := index . 1 -}}
{{- $room := sub 51 (len $suffix) | int -}}
{{- printf "%s-%s" (include "ringway.fullname" (index . 0) | trunc $room | trimSuffix "-") $suffix -}}
{{- end -}}

{{- define "ringway.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end -}}

{{/* The immutable set: never a version in it. (list $ "component") */}}
{{- define "ringway.selectorLabels" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ include "ringway.name" $ }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* (list $ "component") */}}
{{- define "ringway.labels" -}}
{{- $ := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "ringway.selectorLabels" . }}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ include "ringway.name" $ }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
{{- with $.Values.labels }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{/* Labels of pods: what selects them, and the user's. (list $ "component") */}}
{{- define "ringway.podLabels" -}}
{{- $ := index . 0 -}}
{{ include "ringway.selectorLabels" . }}
app.kubernetes.io/part-of: {{ include "ringway.name" $ }}
{{- with $.Values.labels }}
{{ tpl (toYaml .) $ }}
{{- end }}
{{- end -}}

{{/*
The metadata of an object. (dict "root" $ "name" … "component" … "namespace" (optional) "labels" … "annotations" …)
*/}}
{{- define "ringway.metadata" -}}
{{- $ := .root -}}
name: {{ .name }}
namespace: {{ .namespace | default (include "ringway.namespace" $) }}
labels:
  {{- include "ringway.labels" (list $ .component) | nindent 2 }}
  {{- with .labels }}
  {{- tpl (toYaml .) $ | nindent 2 }}
  {{- end }}
{{- $annotations := merge (dict) (.annotations | default dict) ($.Values.annotations | default dict) }}
{{- with $annotations }}
annotations:
  {{- tpl (toYaml .) $ | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (list $ image defaultTag) */}}
{{- define "ringway.image" -}}
{{- $ := index . 0 -}}
{{- $image := index . 1 -}}
{{- $global := $.Values.global | default dict -}}
{{- $registry := $global.imageRegistry | default (($global.image | default dict).registry) | default $image.registry -}}
{{- $path := ternary $image.repository (printf "%s/%s" $registry $image.repository) (empty $registry) -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $path $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $path ($image.tag | default (index . 2) | toString) -}}
{{- end -}}
{{- end -}}

{{- define "ringway.pullPolicy" -}}
{{- $ := index . 0 -}}
{{- (index . 1).pullPolicy | default (($.Values.global.image | default dict).pullPolicy) | default "" -}}
{{- end -}}

{{- define "ringway.pullSecrets" -}}
{{- $names := concat (($.Values.global.image | default dict).pullSecrets | default list) (.Values.image.pullSecrets | default list) | uniq -}}
{{- if $names -}}
imagePullSecrets:
  {{- range $names }}
  - name: {{ tpl . $ }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "ringway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- tpl .Values.serviceAccount.name . | default (include "ringway.fullname" .) -}}
{{- else -}}
{{- tpl .Values.serviceAccount.name . | default "default" -}}
{{- end -}}
{{- end -}}

{{/* MiB of a text such as 512Mi or 2Gi; the schema lets no other form through. */}}
{{- define "ringway.mib" -}}
{{- if hasSuffix "Gi" . -}}
{{- mul (trimSuffix "Gi" . | int) 1024 -}}
{{- else -}}
{{- trimSuffix "Mi" . | int -}}
{{- end -}}
{{- end -}}

{{/* "true" if the cluster has the native sleep action for hooks, which an image without a shell needs. */}}
{{- define "ringway.canSleep" -}}
{{- if semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version -}}true{{- end -}}
{{- end -}}

{{/* Seconds of the preStop sleep; 0 where there is none. */}}
{{- define "ringway.delaySeconds" -}}
{{- if include "ringway.canSleep" . -}}{{- .Values.shutdown.delaySeconds | int -}}{{- else -}}0{{- end -}}
{{- end -}}

{{- define "ringway.gracePeriodSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add .Values.shutdown.delaySeconds .Values.shutdown.drainSeconds 5 -}}
{{- else -}}
{{- .Values.terminationGracePeriodSeconds | int -}}
{{- end -}}
{{- end -}}

{{- define "ringway.isDaemonSet" -}}
{{- if eq .Values.mode "daemonset" -}}true{{- end -}}
{{- end -}}

{{/* "true" if something else than this chart says how many gateways there are. */}}
{{- define "ringway.isScaled" -}}
{{- if or .Values.autoscaling.enabled .Values.autoscaling.external -}}true{{- end -}}
{{- end -}}

{{/* The least number of gateways; of a DaemonSet: more than one. */}}
{{- define "ringway.leastReplicas" -}}
{{- if include "ringway.isDaemonSet" . -}}2
{{- else if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.minReplicas | int }}
{{- else if .Values.autoscaling.external -}}2
{{- else -}}{{ .Values.replicas | int }}
{{- end -}}
{{- end -}}

{{- define "ringway.hasDisruptionBudget" -}}
{{- $enabled := .Values.podDisruptionBudget.enabled -}}
{{- if kindIs "invalid" $enabled -}}
{{- if and (not (include "ringway.isDaemonSet" .)) (or (include "ringway.isScaled" .) (gt (.Values.replicas | int) 1)) -}}true{{- end -}}
{{- else if $enabled -}}true
{{- end -}}
{{- end -}}

{{/* Requests and limits of the gateway: `memory` and `cpu`, then `resources`. */}}
{{- define "ringway.resources" -}}
{{- $requests := dict "memory" .Values.memory -}}
{{- if .Values.cpu -}}{{- $_ := set $requests "cpu" (.Values.cpu | toString) -}}{{- end -}}
{{- $base := dict "requests" $requests "limits" (dict "memory" .Values.memory) -}}
{{- toYaml (mergeOverwrite $base (deepCopy (.Values.resources | default dict))) -}}
{{- end -}}
