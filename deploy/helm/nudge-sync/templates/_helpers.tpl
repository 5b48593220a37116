{{- define "nudge-sync.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "nudge-sync.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "nudge-sync.labels" -}}
{{ include "nudge-sync.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "nudge-sync.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* One container; called with a dict of `root` (the chart's scope) and `args` (the verb). */}}
{{- define "nudge-sync.container" -}}
{{- $values := .root.Values -}}
name: nudge-sync
image: {{ printf "%s:%s" $values.image.repository ($values.image.tag | default .root.Chart.AppVersion) | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args: {{ toJson .args }}
{{- with $values.secrets.existingSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
{{- with $values.env }}
env:
  {{- range $name, $value := . }}
  - name: {{ $name }}
    value: {{ $value | quote }}
  {{- end }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
resources:
  {{- toYaml $values.resources | nindent 2 }}
volumeMounts:
  - name: config
    mountPath: /etc/nudge-sync
    readOnly: true
  - name: tmp
    mountPath: /tmp
  {{- if $values.persistence.existingClaim }}
  - name: database
    mountPath: {{ $values.persistence.mountPath }}
  {{- end }}
{{- end -}}

{{- define "nudge-sync.volumes" -}}
- name: config
  configMap:
    name: {{ include "nudge-sync.fullname" . }}
- name: tmp
  emptyDir: {}
{{- with .Values.persistence.existingClaim }}
- name: database
  persistentVolumeClaim:
    claimName: {{ . }}
{{- end }}
{{- end -}}

{{- define "nudge-sync.daemonArgs" -}}
{{- $args := list "serve" "--host" "0.0.0.0" "--port" (toString .Values.daemon.port) "--log-format" "json" -}}
{{- with .Values.daemon.feedbackPort -}}
{{- $args = concat $args (list "--feedback-port" (toString .)) -}}
{{- end -}}
{{- toJson $args -}}
{{- end -}}

{{- define "nudge-sync.daemonContainer" -}}
{{- if not .Values.secrets.existingSecret -}}
{{- fail "secrets.existingSecret: the daemon demands NUDGE_SYNC_TOKEN, since other pods can reach it; name a Secret that has that key" -}}
{{- end -}}
{{ include "nudge-sync.container" (dict "root" . "args" (fromJsonArray (include "nudge-sync.daemonArgs" .))) }}
ports:
  - name: metrics
    containerPort: {{ .Values.daemon.port }}
  {{- with .Values.daemon.feedbackPort }}
  - name: feedback
    containerPort: {{ . }}
  {{- end }}
startupProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 5
  failureThreshold: 24
livenessProbe:
  httpGet: {path: /healthz, port: metrics}
  periodSeconds: 30
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: metrics}
  periodSeconds: 10
  timeoutSeconds: 5
{{- end -}}

{{- define "nudge-sync.placement" -}}
serviceAccountName: {{ include "nudge-sync.fullname" . }}
# It asks Kubernetes nothing.
automountServiceAccountToken: false
securityContext:
  {{- include "nudge-sync.podSecurityContext" . | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "nudge-sync.podMetadata" -}}
labels:
  {{- include "nudge-sync.labels" . | nindent 2 }}
  {{- with .Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ sha256sum .Values.config }}
  {{- with .Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
