{{/* The settings of all Jobs, as services/common/kube/template.py reads them. No secret is in it, only references. */}}
{{- define "finetuneflow.jobs" -}}
{{- $fullname := include "finetuneflow.fullname" . -}}
{{- $jobs := omit .Values.jobs "image" "hubToken" -}}
{{- $_ := set $jobs "image" (include "finetuneflow.trainerImage" .) -}}
{{- $_ := set $jobs "imagePullPolicy" .Values.image.pullPolicy -}}
{{- $_ := set $jobs "imagePullSecrets" .Values.image.pullSecrets -}}
{{- $_ := set $jobs "serviceAccountName" (printf "%s-trainer" $fullname) -}}
{{- range (list "runs" "exports") -}}
{{- $asked := index $jobs . | default dict -}}
{{- if hasKey $asked "cpu" -}}
{{- $_ := set $jobs . (merge (dict "cpu" (toString $asked.cpu)) $asked) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.hub.allow -}}
{{- $_ := set $jobs "env" (merge (deepCopy $jobs.env) (dict "HF_HUB_OFFLINE" "1")) -}}
{{- end -}}
{{- with .Values.hub.existingSecret -}}
{{- if .name -}}
{{- $_ := set $jobs "envSecrets" (merge (dict "HF_TOKEN" (dict "secret" .name "key" .key)) $jobs.envSecrets) -}}
{{- end -}}
{{- end -}}
{{- with include "finetuneflow.modelsClaim" . -}}
{{- $_ := set $jobs "modelsClaim" . -}}
{{- $_ := set $jobs "modelsPath" $.Values.models.path -}}
{{- end -}}
{{- if .Values.cache.existingClaim -}}
{{- $_ := set $jobs "cacheClaim" .Values.cache.existingClaim -}}
{{- else -}}
{{- $_ := set $jobs "cacheSize" .Values.cache.size -}}
{{- end -}}
{{- toPrettyJson $jobs -}}
{{- end }}
