{{/* What the schema cannot say: settings that need one another. Each message ends with the remedy. */}}

{{/* Whether the chart keeps a Secret of store addresses and keys of its own. */}}
{{- define "finetuneflow.storesOwn" -}}
{{- if not (and .Values.documents.existingSecret.name .Values.objects.existingSecret.name .Values.nats.existingSecret.name) -}}
true
{{- end -}}
{{- end }}

{{- define "finetuneflow.checkStores" -}}
{{- $v := .Values -}}
{{- if not (or $v.documents.existingSecret.name $v.documents.url $v.bundled.mongodb.enabled) -}}
{{- fail "No document store. Set documents.existingSecret.name, or bundled.mongodb.enabled=true for a trial." -}}
{{- end -}}
{{- if and $v.bundled.mongodb.enabled (or $v.documents.existingSecret.name $v.documents.url) -}}
{{- fail "Two document stores. Set bundled.mongodb.enabled=false, or leave documents.existingSecret.name and documents.url empty." -}}
{{- end -}}
{{- if not (or $v.objects.existingSecret.name (and $v.objects.accessKey $v.objects.secretKey) $v.bundled.minio.enabled) -}}
{{- fail "No keys of the object store. Set objects.existingSecret.name, or bundled.minio.enabled=true for a trial." -}}
{{- end -}}
{{- if and $v.bundled.minio.enabled (or $v.objects.url $v.objects.existingSecret.name $v.objects.accessKey) -}}
{{- fail "Two object stores. Set bundled.minio.enabled=false, or leave objects.url, objects.accessKey and objects.existingSecret.name empty." -}}
{{- end -}}
{{- if not (or $v.nats.existingSecret.name $v.nats.url $v.bundled.nats.enabled) -}}
{{- fail "No NATS. Set nats.existingSecret.name or nats.url, or bundled.nats.enabled=true for a trial." -}}
{{- end -}}
{{- if and $v.bundled.nats.enabled (or $v.nats.existingSecret.name $v.nats.url) -}}
{{- fail "Two NATS. Set bundled.nats.enabled=false, or leave nats.existingSecret.name and nats.url empty." -}}
{{- end -}}
{{- if and $v.bundled.nats.enabled (ne (int $v.nats.replicas) 1) -}}
{{- fail "The bundled NATS is one server. Set nats.replicas=1, or give a NATS cluster in nats.existingSecret.name." -}}
{{- end -}}
{{- end }}

{{- define "finetuneflow.checkNetwork" -}}
{{- $v := .Values -}}
{{- if not (or $v.bundled.minio.enabled $v.networkPolicy.objectStorage) -}}
{{- fail "Trainers could not reach the object store. Say where it is in networkPolicy.objectStorage, or set networkPolicy.enabled=false." -}}
{{- end -}}
{{- if not (and $v.bundled.mongodb.enabled $v.bundled.nats.enabled) -}}
{{- if not $v.networkPolicy.databases -}}
{{- fail "Services could not reach MongoDB or NATS. Say where they are in networkPolicy.databases, or set networkPolicy.enabled=false." -}}
{{- end -}}
{{- end -}}
{{- end }}
