{{/* Names and labels. Every template takes the root context, or a dict with "root" and "service". */}}

{{- define "finetuneflow.services" -}}
ingest dataset hardware training export
{{- end }}

{{/* The release's name, which all objects of the release begin with; short enough for "-training" and the like. */}}
{{- define "finetuneflow.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "finetuneflow" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-finetuneflow" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "finetuneflow.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" -}}
{{- end }}

{{- define "finetuneflow.labels" -}}
helm.sh/chart: {{ include "finetuneflow.chart" . }}
app.kubernetes.io/name: finetuneflow
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: finetuneflow
{{- end }}

{{/* What finds a component's pods; it must never change, for a Deployment's selector cannot. */}}
{{- define "finetuneflow.selector" -}}
app.kubernetes.io/name: finetuneflow
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .service }}
{{- end }}

{{/* What finds the pods of Jobs; the job runner sets these labels. */}}
{{- define "finetuneflow.trainerSelector" -}}
app.kubernetes.io/name: finetuneflow-trainer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "finetuneflow.serviceImage" -}}
{{- $image := .root.Values.image -}}
{{- $own := (index .root.Values.services .service).image -}}
{{- $own | default (printf "%s/%s:%s" $image.repository .service ($image.tag | default .root.Chart.AppVersion)) -}}
{{- end }}

{{- define "finetuneflow.trainerImage" -}}
{{- $image := .Values.image -}}
{{- .Values.jobs.image | default (printf "%s/trainer:%s" $image.repository ($image.tag | default .Chart.AppVersion)) -}}
{{- end }}

{{/* The host name of an object in the release's namespace. */}}
{{- define "finetuneflow.host" -}}
{{- $domain := .root.Values.addresses.clusterDomain -}}
{{- printf "%s-%s.%s.svc" (include "finetuneflow.fullname" .root) .service .root.Release.Namespace -}}
{{- if $domain }}.{{ $domain }}{{ end -}}
{{- end }}

{{/* The gRPC target of a service. "dns:///" makes the client balance over all ready pods of the headless Service. */}}
{{- define "finetuneflow.address" -}}
dns://{{ .root.Values.addresses.dnsAuthority }}/{{ include "finetuneflow.host" . }}:9000
{{- end }}

{{/* Names of Secrets: the one given, or the chart's own. */}}
{{- define "finetuneflow.tokensSecret" -}}
{{- .Values.tokens.existingSecret | default (printf "%s-tokens" (include "finetuneflow.fullname" .)) -}}
{{- end }}

{{- define "finetuneflow.signingSecret" -}}
{{- .Values.signingKey.existingSecret | default (printf "%s-signing" (include "finetuneflow.fullname" .)) -}}
{{- end }}

{{/*
Whether a service has the shared signing key: training and export do, for they start Jobs, and export signs weights.
Without TokenReview all do, for they know each other by it. Takes a dict with "root" and "service"; empty for no.
*/}}
{{- define "finetuneflow.signs" -}}
{{- if or (has .service (list "training" "export")) (not .root.Values.auth.tokenReview) }}yes{{ end -}}
{{- end }}

{{- define "finetuneflow.storesSecret" -}}
{{- printf "%s-stores" (include "finetuneflow.fullname" .) -}}
{{- end }}

{{- define "finetuneflow.modelsClaim" -}}
{{- if .Values.models.existingClaim -}}
{{- .Values.models.existingClaim -}}
{{- else if .Values.models.create -}}
{{- printf "%s-models" (include "finetuneflow.fullname" .) -}}
{{- end -}}
{{- end }}

{{- define "finetuneflow.objectsUrl" -}}
{{- if .Values.bundled.minio.enabled -}}
s3://{{ include "finetuneflow.host" (dict "root" . "service" "minio") }}:9000/finetuneflow?secure=false&region=us-east-1
{{- else -}}
{{- required "objects.url is not set. Give the address of an S3 bucket, or set bundled.minio.enabled=true for a trial." .Values.objects.url -}}
{{- end -}}
{{- end }}

{{/* Whether a service talks to the Kubernetes API, and so needs its ServiceAccount's token. */}}
{{- define "finetuneflow.usesApi" -}}
{{- if or .root.Values.auth.tokenReview (has .service (list "training" "export")) (and (eq .service "hardware") (eq .root.Values.hardware.inventory "kubernetes")) -}}
true
{{- end -}}
{{- end }}
