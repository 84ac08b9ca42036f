{{/* Egress rules that several policies share. */}}

{{/* A list of rules of the values; nothing where it is empty. */}}
{{- define "finetuneflow.network.rules" -}}
{{- with . }}{{ toYaml . }}{{ end -}}
{{- end }}

{{- define "finetuneflow.network.objectStorage" -}}
{{- if .Values.bundled.minio.enabled -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "finetuneflow.selector" (dict "root" . "service" "minio") | nindent 10 }}
  ports: [{protocol: TCP, port: 9000}]
{{- else -}}
{{- include "finetuneflow.network.rules" .Values.networkPolicy.objectStorage -}}
{{- end -}}
{{- end }}

{{- define "finetuneflow.network.databases" -}}
{{- range $store, $port := dict "mongodb" 27017 "nats" 4222 }}
{{- if (index $.Values.bundled $store).enabled }}
- to:
    - podSelector:
        matchLabels:
          {{- include "finetuneflow.selector" (dict "root" $ "service" $store) | nindent 10 }}
  ports: [{protocol: TCP, port: {{ $port }}}]
{{- end }}
{{- end }}
{{- with .Values.networkPolicy.databases }}
{{ toYaml . }}
{{- end }}
{{- end }}
