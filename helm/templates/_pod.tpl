{{/* The gateway's pod, the same for a Deployment and a DaemonSet. */}}

{{- define "ringway.podTemplate" -}}
metadata:
  labels:
    # No version: an upgrade of the chart alone replaces no pod.
    {{- include "ringway.podLabels" (list . "gateway") | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- $annotations := .Values.podAnnotations | default dict }}
  {{- if or $annotations (not .Values.existingConfigMap.name) }}
  annotations:
    {{- if not .Values.existingConfigMap.name }}
    checksum/config: {{ include "ringway.config" . | sha256sum }}
    {{- end }}
    {{- with $annotations }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "ringway.serviceAccountName" . }}
  automountServiceAccountToken: {{ include "ringway.needsToken" . | default "false" }}
  enableServiceLinks: false
  {{- with include "ringway.pullSecrets" . }}
  {{- . | nindent 2 }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "ringway.gracePeriodSeconds" . }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with .Values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  {{- if kindIs "invalid" .Values.topologySpreadConstraints }}
  {{- if not (include "ringway.isDaemonSet" .) }}
  topologySpreadConstraints:
    {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ $key }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "ringway.selectorLabels" (list $ "gateway") | nindent 10 }}
      # Each revision by itself: a roll-out does not lean on where the pods of the old one are.
      matchLabelKeys: [pod-template-hash]
    {{- end }}
  {{- end }}
  {{- else if .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- tpl (toYaml .Values.topologySpreadConstraints) $ | nindent 4 }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- tpl (toYaml .) $ | nindent 4 }}
  {{- end }}
  containers:
    - name: ringway
      image: {{ include "ringway.image" (list . .Values.image .Chart.AppVersion) }}
      {{- with include "ringway.pullPolicy" (list . .Values.image) }}
      imagePullPolicy: {{ . }}
      {{- end }}
      args:
        - --config
        - /etc/ringway/{{ include "ringway.configKey" . }}
        {{- range .Values.extraArgs }}
        - {{ tpl . $ | quote }}
        {{- end }}
      env:
        # Configurations written for the Collector's charts listen on it.
        - name: MY_POD_IP
          valueFrom: {fieldRef: {apiVersion: v1, fieldPath: status.podIP}}
        {{- with .Values.extraEnvs }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
      {{- with .Values.extraEnvsFrom }}
      envFrom:
        {{- tpl (toYaml .) $ | nindent 8 }}
      {{- end }}
      ports:
        {{- range $name, $port := include "ringway.ports" . | fromJson }}
        - name: {{ $name }}
          containerPort: {{ $port.containerPort | int }}
          protocol: TCP
          {{- with $port.hostPort }}
          hostPort: {{ . | int }}
          {{- end }}
        {{- end }}
        - name: health
          containerPort: 13133
          protocol: TCP
      {{- range $probe := list "startupProbe" "livenessProbe" "readinessProbe" }}
      {{- with get $.Values $probe }}
      {{ $probe }}:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- $delay := include "ringway.delaySeconds" . | int }}
      {{- if $delay }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $delay }}
      {{- end }}
      resources:
        {{- include "ringway.resources" . | nindent 8 }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: config
          mountPath: /etc/ringway
          readOnly: true
        {{- if .Values.persistentQueue.enabled }}
        - name: queue
          mountPath: /var/lib/ringway
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- tpl (toYaml .) $ | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "ringway.configMapName" . }}
    {{- if .Values.persistentQueue.enabled }}
    - name: queue
      {{- if .Values.persistentQueue.volume }}
      {{- tpl (toYaml .Values.persistentQueue.volume) $ | nindent 6 }}
      {{- else }}
      emptyDir:
        sizeLimit: {{ .Values.persistentQueue.sizeLimit }}
      {{- end }}
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- tpl (toYaml .) $ | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* Ports that are on, by the name they have in pods and Services, as JSON; health is always there and in no Service. */}}
{{- define "ringway.ports" -}}
{{- $ports := dict -}}
{{- range $key, $name := dict "otlpGrpc" "otlp-grpc" "otlpHttp" "otlp-http" "metrics" "metrics" -}}
{{- $port := get $.Values.ports $key -}}
{{- if $port.enabled -}}{{- $_ := set $ports $name $port -}}{{- end -}}
{{- end -}}
{{- toJson $ports -}}
{{- end -}}

{{- define "ringway.configKey" -}}
{{- if .Values.existingConfigMap.name -}}{{- .Values.existingConfigMap.key -}}{{- else -}}ringway.yaml{{- end -}}
{{- end -}}
