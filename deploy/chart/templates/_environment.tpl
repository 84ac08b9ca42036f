{{/* The environment of a service. Takes a dict with "root" and "service". No value here is a secret. */}}
{{- define "finetuneflow.environment" -}}
{{- $own := include "finetuneflow.environment.chart" . -}}
{{- include "finetuneflow.checkEnvironment" (merge (dict "own" (fromYamlArray $own)) .) -}}
{{ $own }}
{{- range $name, $value := (index .root.Values.services .service).env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* What the chart itself sets. */}}
{{- define "finetuneflow.environment.chart" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
- name: FTF_INSTANCE
  value: $(POD_NAME)
- name: FTF_RELEASE
  value: {{ $root.Release.Name }}
- name: FTF_LISTEN
  value: {{ $values.ipv6 | ternary "[$(POD_IP)]:9000" "$(POD_IP):9000" | quote }}
- name: FTF_METRICS
  value: {{ $values.ipv6 | ternary "[$(POD_IP)]:9090" "$(POD_IP):9090" | quote }}
- name: FTF_STATE
  value: /var/lib/finetuneflow
# Programs that look for a home find the one folder that can be written.
- name: HOME
  value: /var/lib/finetuneflow
{{- range (include "finetuneflow.services" . | splitList " ") }}
- name: FTF_{{ upper . }}_ADDRESS
  value: {{ include "finetuneflow.address" (dict "root" $root "service" .) }}
{{- end }}
{{ include "finetuneflow.environment.stores" $root }}
{{ include "finetuneflow.environment.auth" . }}
- name: FTF_ALLOW_HUB
  value: {{ $values.hub.allow | ternary "1" "0" | quote }}
- name: FTF_MAX_UPLOAD_BYTES
  value: {{ $values.settings.maxUploadBytes | int64 | quote }}
- name: FTF_SWEEP_SECONDS
  value: {{ $values.settings.sweepSeconds | toString | quote }}
- name: FTF_LEASE_SECONDS
  value: {{ $values.settings.leaseSeconds | toString | quote }}
- name: FTF_DRAIN_SECONDS
  value: {{ max 1 (sub (sub $values.drain.terminationGracePeriodSeconds $values.drain.preStopSeconds) 5) | quote }}
{{- include "finetuneflow.environment.own" . }}
{{- end }}

{{- define "finetuneflow.environment.stores" -}}
{{- $own := include "finetuneflow.storesSecret" . -}}
- name: FTF_DOCUMENTS
  valueFrom:
    secretKeyRef:
      {{- if .Values.documents.existingSecret.name }}
      name: {{ .Values.documents.existingSecret.name }}
      key: {{ .Values.documents.existingSecret.key }}
      {{- else }}
      name: {{ $own }}
      key: documents-url
      {{- end }}
- name: FTF_OBJECTS
  value: {{ include "finetuneflow.objectsUrl" . | quote }}
{{- range $variable, $key := dict "AWS_ACCESS_KEY_ID" "accessKeyKey" "AWS_SECRET_ACCESS_KEY" "secretKeyKey" }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      {{- if $.Values.objects.existingSecret.name }}
      name: {{ $.Values.objects.existingSecret.name }}
      key: {{ index $.Values.objects.existingSecret $key }}
      {{- else }}
      name: {{ $own }}
      key: {{ eq $key "accessKeyKey" | ternary "objects-access-key" "objects-secret-key" }}
      {{- end }}
{{- end }}
- name: FTF_NATS_URL
  valueFrom:
    secretKeyRef:
      {{- if .Values.nats.existingSecret.name }}
      name: {{ .Values.nats.existingSecret.name }}
      key: {{ .Values.nats.existingSecret.key }}
      {{- else }}
      name: {{ $own }}
      key: nats-url
      {{- end }}
- name: FTF_NATS_REPLICAS
  value: {{ .Values.nats.replicas | quote }}
{{- end }}

{{- define "finetuneflow.environment.auth" -}}
{{- $root := .root -}}
- name: FTF_TOKENS_DIR
  value: /etc/finetuneflow/tokens
{{- if include "finetuneflow.signs" . }}
- name: FTF_SIGNING_KEY_FILE
  value: /etc/finetuneflow/signing/{{ $root.Values.signingKey.key }}
{{- end }}
{{- if $root.Values.auth.tokenReview }}
- name: FTF_SERVICE_TOKEN_FILE
  value: /var/run/secrets/finetuneflow/token
{{- $accounts := list }}
{{- range (include "finetuneflow.services" $root | splitList " ") }}
{{- $accounts = append $accounts (printf "system:serviceaccount:%s:%s-%s=%s" $root.Release.Namespace (include "finetuneflow.fullname" $root) . .) }}
{{- end }}
- name: FTF_SERVICE_ACCOUNTS
  value: {{ join "," $accounts | quote }}
{{- end }}
{{- end }}

{{/* What only one service, or some, are told. */}}
{{- define "finetuneflow.environment.own" -}}
{{- $values := .root.Values -}}
{{- if has .service (list "training" "export") }}
- name: FTF_JOBS
  value: kubernetes
{{- end }}
{{- if has .service (list "training" "export" "hardware") }}
- name: FTF_JOB_TEMPLATE
  value: /etc/finetuneflow/jobs/jobs.json
{{- end }}
{{- if eq .service "hardware" }}
- name: FTF_INVENTORY
  value: {{ $values.hardware.inventory }}
{{- if $values.hub.existingSecret.name }}
- name: FTF_HUB_TOKEN_FILE
  value: /etc/finetuneflow/hub/{{ $values.hub.existingSecret.key }}
{{- end }}
{{- end }}
{{- if eq .service "ingest" }}
- name: FTF_OCR
  value: {{ $values.ocr.enabled | ternary "auto" "off" | quote }}
- name: FTF_OCR_LANGUAGES
  value: {{ $values.ocr.languages | quote }}
{{- end }}
{{- if eq .service "dataset" }}
# Set, even if empty: only these are called.
- name: FTF_LLM_ALLOW
  value: {{ join "," $values.llm.allow | quote }}
# Set, even if it is empty: a key that came with a call would lie in one pod only.
- name: FTF_LLM_KEYS_DIR
  value: /etc/finetuneflow/llm
{{- end }}
{{- end }}
