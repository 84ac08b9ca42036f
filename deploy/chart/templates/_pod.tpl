{{/* Security contexts of the restricted Pod Security Standard. */}}
{{- define "finetuneflow.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "finetuneflow.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a service's volumes lie. Takes a dict with "root" and "service". */}}
{{- define "finetuneflow.mounts" -}}
{{- $values := .root.Values -}}
- {name: state, mountPath: /var/lib/finetuneflow}
- {name: tmp, mountPath: /tmp}
- {name: tokens, mountPath: /etc/finetuneflow/tokens, readOnly: true}
{{- if include "finetuneflow.signs" . }}
- {name: signing, mountPath: /etc/finetuneflow/signing, readOnly: true}
{{- end }}
{{- if $values.auth.tokenReview }}
- {name: service-token, mountPath: /var/run/secrets/finetuneflow, readOnly: true}
{{- end }}
{{- if has .service (list "training" "export" "hardware") }}
- {name: jobs, mountPath: /etc/finetuneflow/jobs, readOnly: true}
{{- end }}
{{- if eq .service "dataset" }}
- {name: llm, mountPath: /etc/finetuneflow/llm, readOnly: true}
{{- end }}
{{- if eq .service "hardware" }}
{{- if $values.hub.existingSecret.name }}
- {name: hub, mountPath: /etc/finetuneflow/hub, readOnly: true}
{{- end }}
{{- if include "finetuneflow.modelsClaim" .root }}
- {name: models, mountPath: {{ $values.models.path }}, readOnly: true}
{{- end }}
{{- end }}
{{- end }}

{{/* A service's volumes. Secrets are mounted whole, so that changes reach running pods within a minute or two. */}}
{{- define "finetuneflow.volumes" -}}
{{- $values := .root.Values -}}
- name: state
  emptyDir: {sizeLimit: {{ (index $values.services .service).stateSize }}}
- name: tmp
  emptyDir: {sizeLimit: {{ (index $values.services .service).stateSize }}}
- name: tokens
  secret: {secretName: {{ include "finetuneflow.tokensSecret" .root }}, defaultMode: 0440}
{{- if include "finetuneflow.signs" . }}
- name: signing
  secret: {secretName: {{ include "finetuneflow.signingSecret" .root }}, defaultMode: 0440}
{{- end }}
{{- if $values.auth.tokenReview }}
- name: service-token
  projected:
    sources:
      - serviceAccountToken: {audience: finetuneflow, expirationSeconds: 3600, path: token}
{{- end }}
{{- if has .service (list "training" "export" "hardware") }}
- name: jobs
  configMap: {name: {{ include "finetuneflow.fullname" .root }}-jobs}
{{- end }}
{{- if eq .service "dataset" }}
- name: llm
  {{- if $values.llm.existingSecret }}
  secret: {secretName: {{ $values.llm.existingSecret }}, defaultMode: 0440}
  {{- else }}
  emptyDir: {sizeLimit: 1Mi}
  {{- end }}
{{- end }}
{{- if eq .service "hardware" }}
{{- if $values.hub.existingSecret.name }}
- name: hub
  secret: {secretName: {{ $values.hub.existingSecret.name }}, defaultMode: 0440}
{{- end }}
{{- with include "finetuneflow.modelsClaim" .root }}
- name: models
  persistentVolumeClaim: {claimName: {{ . }}}
{{- end }}
{{- end }}
{{- end }}
